"""A folder for one process: locked by the kernel, so that no crash leaves it locked."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from triscale.errors import RunError

_held: set[int] = set()  # descriptors of the locks of this process


def take_lock(path: Path) -> int:
    """Make a folder and lock it; the kernel unlocks it when this process ends, however it ends.

    Returns: what `release_lock` wants.
    Raises: RunError when another process holds it, or it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(f"{path}: cannot be used as a run folder: {error.strerror}; choose another --out.") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise RunError(f"{path}: in use by process {holder}; wait for it, or choose another --out.") from None
    except OSError as error:
        os.close(lock)
        raise RunError(f"{path}: cannot be locked: {error.strerror}; choose a folder on a local disk.") from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    _held.add(lock)
    return lock


def is_locked(path: Path) -> bool:
    """Whether some process holds a folder at this moment."""
    try:
        lock = os.open(path / ".lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def release_lock(lock: int) -> None:
    """Unlock the folder."""
    _held.discard(lock)
    os.close(lock)


def _forget_locks() -> None:
    """In a forked child: a worker that outlives a killed parent must not keep the folder locked."""
    for lock in _held:
        os.close(lock)
    _held.clear()


os.register_at_fork(after_in_child=_forget_locks)
