"""Who is alive: a worker's pulse is a number that grows in the storage; one that stands still for long has died.

Clocks of different machines, and clocks that jump, do not matter: who looks counts the seconds by a clock of its own
that only ever goes forward.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

EVERY = 10.0  # seconds between two beats
DEAD_AFTER = 90.0  # seconds without one


@contextmanager
def beating(beat: Callable[[int], None], every: float = EVERY) -> Generator[None]:
    """Call beat(1), beat(2), ... from another thread while the block runs; one that fails is left out."""
    ended = threading.Event()

    def run() -> None:
        number = 0
        while not ended.wait(every):
            number += 1
            try:
                beat(number)
            except Exception:  # the storage is away, or somebody took us for dead: the next call that counts tells
                continue

    thread = threading.Thread(target=run, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Watch:
    """Tells which of some workers have died. dead_after: seconds without a beat."""

    def __init__(self, dead_after: float = DEAD_AFTER) -> None:
        self.dead_after = dead_after
        self._seen: dict[int, tuple[int, float]] = {}  # trial -> (its last beat, when that was first seen)

    def dead(self, pulses: Iterable[tuple[int, int]]) -> list[int]:
        """Of the (trial, beat) that there are now, the trials whose beat has not changed for so long."""
        now, seen, found = time.monotonic(), {}, []
        for trial, beat in pulses:
            last, since = self._seen.get(trial, (-1, now))
            seen[trial] = (beat, now) if beat != last else (last, since)
            if now - seen[trial][1] > self.dead_after:
                found.append(trial)
        self._seen = seen
        return found
