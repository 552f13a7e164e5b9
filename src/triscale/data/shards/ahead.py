"""Shards from elsewhere are brought here while those before them are used."""

from __future__ import annotations

import bisect
import collections
import threading
from types import TracebackType
from typing import Self

from triscale.data.member import Shard
from triscale.data.shards.order import Reading
from triscale.data.shards.store import FetchedShard, Store
from triscale.errors import TriscaleError

_AT_ONCE = 2


class Ahead:
    """Brings the shards of the window that is read, and of the next; use it in a `with` block.

    What cannot be brought is tried again by whoever reads it, who then says why.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading, self.window = reading, -1
        self.wanted: collections.deque[FetchedShard] = collections.deque()
        self.changed, self.ended = threading.Condition(), False
        self.threads: list[threading.Thread] = []
        self.stores: tuple[Store, ...] = ()

    def __enter__(self) -> Self:
        fetched = [each for window in self.reading.windows for each in window if isinstance(each, FetchedShard)]
        self.stores = tuple({id(each.store): each.store for each in fetched}.values())
        for store in self.stores:
            store.abandoned.clear()
        if fetched:
            # daemons: a long download does not keep a stopped program alive; what it leaves is removed by the next one
            self.threads = [threading.Thread(target=self._bring, daemon=True) for _ in range(_AT_ONCE)]
            for thread in self.threads:
                thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:  # readers that wait for a download would keep a stopped program waiting too
            for store in self.stores:
                store.abandoned.set()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def reach(self, place: int) -> None:
        """Samples from this place in the order on are about to be read."""
        window = bisect.bisect_right(self.reading.starts, place) - 1
        if not self.threads or window == self.window:
            return
        self.window = window
        needed = [each for each in self._shards(window) + self._shards(window + 1) if isinstance(each, FetchedShard)]
        # the last batches of the window before are still being made
        kept = [*needed, *(each for each in self._shards(window - 1) if isinstance(each, FetchedShard))]
        for store in self.stores:
            store.keep(each.key for each in kept if each.store is store)
        with self.changed:
            self.wanted = collections.deque(needed)
            self.changed.notify_all()

    def _shards(self, window: int) -> tuple[Shard, ...]:
        return self.reading.windows[window] if 0 <= window < len(self.reading.windows) else ()

    def _bring(self) -> None:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ended or self.wanted)
                if self.ended:
                    return
                shard = self.wanted.popleft()
            try:
                shard.local()
            except (TriscaleError, OSError):
                continue
