"""Shards from elsewhere, kept on this disk while they are needed, and no more of them than it is given room for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from triscale import atomic
from triscale.cache import cache_folder
from triscale.errors import BudgetError, DataError
from triscale.spec.limits import parse

LIMIT_VARIABLE = "TRISCALE_SHARDS_LIMIT"
DEFAULT_LIMIT = "20GB"

Bring = Callable[[Path], None]


@dataclass(slots=True)
class Store:
    """A folder of shards. Several processes may share it.

    limit: bytes that all of them together may take. What is needed now (`keep`) stays even above it, so that a limit
        which is too small costs time and not the training.
    abandoned: set when nobody waits for what is on its way any more. coming: bytes of what is on its way, by key.
    """

    folder: Path
    limit: int
    kept: frozenset[str] = frozenset()
    abandoned: threading.Event = field(default_factory=threading.Event, repr=False)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    coming: dict[str, int] = field(default_factory=dict, repr=False)

    def path(self, key: str) -> Path:
        """Where that shard lies when it is here."""
        return self.folder / f"{key}.tar"

    def has(self, key: str, bring: Bring, size: int) -> Path:
        """The shard's file, brought here first where it is missing; whole or not there at all.

        bring: writes it. size: its bytes, 0 where unknown. Raises: what `bring` raises; FileError on a full disk.
        """
        path = self.path(key)
        if not path.exists():
            with self._alone(key):
                if not path.exists():
                    for left in self.folder.glob(f".{path.name}.*.part"):  # of a process that was killed
                        left.unlink(missing_ok=True)
                    self._make_room(size, key)
                    try:
                        with atomic.replacing(path) as temporary:
                            bring(temporary)
                    finally:
                        self.coming.pop(key, None)
        return path

    def keep(self, keys: Iterable[str]) -> None:
        """From now on these are needed, and others may go."""
        self.kept = frozenset(keys)
        for key in self.kept:
            with contextlib.suppress(OSError):
                status = self.path(key).stat()
                os.utime(self.path(key), ns=(time.time_ns(), status.st_mtime_ns))

    def _make_room(self, size: int, key: str) -> None:
        """Remove what was not used for longest until `size` bytes more are within the limit."""
        with self.lock:
            there = []
            for path in self.folder.glob("*.tar"):
                with contextlib.suppress(OSError):  # another process may have removed it
                    status = path.stat()
                    there.append((status.st_atime_ns, status.st_size, path))
            taken = sum(each[1] for each in there) + sum(self.coming.values())
            self.coming[key] = size
            for _, length, path in sorted(there):
                if taken + size <= self.limit:
                    return
                if path.stem not in self.kept and path.stem != key:
                    path.unlink(missing_ok=True)
                    taken -= length

    @contextlib.contextmanager
    def _alone(self, key: str) -> Generator[None]:
        """No other thread or process brings this shard meanwhile; the kernel unlocks when this process ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / f".{key}.lock").open("w")
        except OSError as error:
            raise DataError(f"{self.folder}: shards cannot be kept there: {error.strerror}; set XDG_CACHE_HOME to "
                            f"a folder with room.") from error  # fmt: skip
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@dataclass(frozen=True, slots=True)
class FetchedShard:
    """A shard that is brought here when it is needed.

    name: its URL, or the table that it is made from. key: in the store. size: bytes, 0 where unknown.
    """

    name: str
    key: str
    store: Store = field(compare=False, repr=False)
    bring: Bring = field(compare=False, repr=False)
    size: int = field(default=0, compare=False)

    def local(self) -> Path:
        """Its file on this disk, from now until it makes room for others."""
        return self.store.has(self.key, self.bring, self.size)

    def read(self, offset: int, length: int) -> bytes:
        """See `Shard.read`."""
        while True:
            path = self.local()
            try:
                file = path.open("rb")
            except FileNotFoundError:
                continue  # it had to make room just now
            with file:
                file.seek(offset)
                return file.read(length)


def default_store() -> Store:
    """The user's store, with the limit that `$TRISCALE_SHARDS_LIMIT` sets ("100GB"), 20 GB by default.

    Raises: DataError where that is no number of bytes.
    """
    wanted = os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT
    return Store(cache_folder("shards"), bytes_of(wanted, LIMIT_VARIABLE))


def bytes_of(text: str, place: str) -> int:
    """ "256MB" as a number. place: what messages call it. Raises: DataError."""
    try:
        return int(parse(f"size<={text}").limits["size"])
    except BudgetError as error:
        raise DataError(f"{place}: {text!r} is no number of bytes; expected one like 256MB or 20GB.") from error
