"""The same function over many files, on all cores: reading, hashing and decoding let other threads run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

_AT_ONCE = 16  # few enough that Ctrl-C is obeyed soon, enough to be worth a thread's while


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_files(
    function: Callable[[Item], Result], items: Sequence[Item], progress: Progress | None = None
) -> list[Result]:
    """`[function(each) for each in items]` in threads, in order.

    progress: called in this thread with (done, total) after every few items.
    """

    def some(start: int) -> list[Result]:
        return [function(each) for each in items[start : start + _AT_ONCE]]

    pool = ThreadPoolExecutor(cores())
    results: list[Result] = []
    try:
        for part in pool.map(some, range(0, len(items), _AT_ONCE)):
            results += part
            if progress is not None:
                progress(len(results), len(items))
    finally:  # after Ctrl-C what has not begun never does
        pool.shutdown(cancel_futures=True)
    return results
