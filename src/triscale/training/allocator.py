"""Memory that a step frees stays with the process until training ends: the next step asks for the same again.

glibc gives large blocks back to the system at once. On a CPU that costs a training step a tenth of its time: some
twenty thousand pages (EfficientNet-B0, 16 images of 128 px) are taken, cleared and given back in each.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Callable, Generator

# Parameters of mallopt, and what glibc begins with: https://man7.org/linux/man-pages/man3/mallopt.3.html
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_KEPT = {_TRIM_THRESHOLD: 2**31 - 1, _MMAP_MAX: 0}
_RETURNED = {_MMAP_THRESHOLD: 2 * 1024**2}  # smaller ones would take more time than they save
_USUAL = {_TRIM_THRESHOLD: 128 * 1024, _MMAP_THRESHOLD: 128 * 1024, _MMAP_MAX: 65536}


@contextlib.contextmanager
def freed_memory_kept(keep: bool = True) -> Generator[bool]:
    """Within the block, freed memory is kept for the next allocation; behind it, it is given back to the system.

    keep: without it, the opposite: every large block is a piece of its own that goes back at once. So nothing is lost
        between blocks, and the process is never larger than what it holds (glibc alone keeps half as much again).
    Yields: whether this is so; it needs glibc, and changes nothing without it.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        yield False
        return
    for parameter, value in (_KEPT if keep else _RETURNED).items():
        mallopt(parameter, value)
    try:
        yield True
    finally:
        for parameter, value in _USUAL.items():
            mallopt(parameter, value)
        trim = _function("malloc_trim")
        if trim is not None:
            trim(0)


def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library; None where there is none of that name."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
