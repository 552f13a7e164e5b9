"""The stack that signal handlers of this thread run on: libraries put small ones of their own there, and leave them."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Generator


class _Stack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextlib.contextmanager
def kept_signal_stack() -> Generator[None]:
    """Within the block a library may change the alternate signal stack of this thread; afterwards it is as before.

    Each of OpenVINO's CPU plugins puts one there and, when it goes, brings back the one that it found. Of two plugins
    that go in the order in which they came, the second brings back memory that the first has freed: the next Ctrl-C
    then ends the process with a segmentation fault, or writes into what others keep there by now.
    Elsewhere than on Linux, which alone has this layout, nothing is done.
    """
    if sys.platform != "linux":
        yield
        return
    change = ctypes.CDLL(None, use_errno=True).sigaltstack
    before = _Stack()
    known = change(None, ctypes.byref(before)) == 0
    try:
        yield
    finally:
        if known:
            change(ctypes.byref(before), None)
