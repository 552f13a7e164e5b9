"""The journal file of a shared search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock


class Journal(JournalFileBackend):
    """Optuna's journal file, which a line that a crash has cut off would spoil for good: here it is taken away."""

    def __init__(self, path: str) -> None:
        self._path, self._own_lock = Path(path), JournalFileSymlinkLock(path)
        super().__init__(path, self._own_lock)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add whole lines at the end. Raises: OSError where that cannot be written."""
        if not _is_whole(self._path):
            self._own_lock.acquire()  # nobody writes now, so what has no end never will have one
            try:
                _cut_to_whole(self._path)
            finally:
                self._own_lock.release()
        super().append_logs(logs)


def _is_whole(path: Path) -> bool:
    """Whether the last line of a file has an end."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _cut_to_whole(path: Path) -> None:
    """Take a last line without an end away."""
    if not _is_whole(path):
        with path.open("rb+") as file:
            file.truncate(file.read().rfind(b"\n") + 1)
