"""Stopping on Ctrl-C: the first one asks, and the step that is running is finished; the second stops at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from types import FrameType
from typing import Any


class StopRequest:
    """Whether a signal has asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_on_signal(patient: bool = False) -> Generator[StopRequest]:
    """Within the block, SIGINT and SIGTERM set `asked` once, and then mean again what they meant before.

    patient: later ones do nothing. Among processes that a launcher started, each signal may come twice: from whoever
        sent it, and from the launcher; and it ends those by force that do not end themselves.
    Raises: KeyboardInterrupt behind a block that was asked to stop and ended without having looked.
    Outside the main thread, where Python delivers no signals, `asked` stays False.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def ask(number: int, frame: FrameType | None) -> None:
        request.asked = True
        if not patient:
            restore()

    for number in before:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()
    if request.asked:  # while the last step was finished: what follows the block must not go on as if nobody had asked
        raise KeyboardInterrupt
