"""Files that are either there whole or not there: written beside their place, then moved into it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Generator
from pathlib import Path

from triscale.errors import FileError

_WHY = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "the file would exceed the size limit; raise it (ulimit -f) and run the same command again",
    errno.EACCES: "no permission to write there; choose another folder",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EEXIST: "a part of the path is a file, not a folder; choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another folder",
}


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader, or a crash, sees the old file or the new one, never a part.

    Raises: FileError when it cannot be written (full disk, no permission); the old file is then untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically; see `write_bytes`."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def replacing(path: str | Path) -> Generator[Path]:
    """A temporary path in the same folder; what is written there takes the place of `path` when the block ends well.

    Raises: FileError when it cannot be written; `path` is then untouched and the temporary file gone.
    """
    path = Path(path)
    if not path.name:
        raise FileError(f"{path}: cannot be written: it is a folder; give the name of a file.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # some writers make private files; what ships is as readable as any other
        temporary.replace(path)
    except OSError as error:
        why = _WHY.get(error.errno or 0, error.strerror or str(error))
        raise FileError(f"{path}: cannot be written: {why}.") from error
    finally:
        # Where the folder itself cannot be, nothing was written, and the error that is on its way says why.
        with contextlib.suppress(NotADirectoryError, PermissionError):
            temporary.unlink(missing_ok=True)
