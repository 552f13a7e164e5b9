"""How fast this device is at a moment, told by one network that never changes: what drifts, drifts for all networks.

Processors change their clock, and neighbours come and go: the same file takes 3.1 ms now and 3.6 ms a minute later. A
time is therefore kept with that of the reference at the same moment. Times of different moments can then be compared,
and a limit can be held against the slow moments too.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from triscale.deployment.engine import graph_runner
from triscale.deployment.export import ExportEngine
from triscale.deployment.latency import median_ms
from triscale.spec import families
from triscale.spec.network import as_size

REFERENCE, PIXELS = "efficientnet_lite0", 160
RUNS, WARM_UP = 30, 3
SLOW = 0.9  # share of all moments that a limit is held against
RECENT = 120.0  # seconds for which a moment counts: longer than a search takes; older ones tell of what ran then


@dataclass(frozen=True, slots=True)
class Moment:
    """How long the reference took at a time (seconds since 1970).

    ms: the median of its runs, as a user meets them. low_ms: their lower decile, which what else runs hardly touches.
    """

    ms: float
    low_ms: float
    when: float = field(default_factory=time.time)


def between(before: Moment, after: Moment) -> Moment:
    """The moment of what was measured between two others."""
    return Moment((before.ms + after.ms) / 2, (before.low_ms + after.low_ms) / 2, after.when)


class Reference:
    """The network that never changes, exported once, when it is first asked for."""

    def __init__(self, engine: ExportEngine, threads: int) -> None:
        self.engine: ExportEngine = engine
        self.threads = threads
        self._run: Callable[[], object] | None = None

    def __call__(self) -> Moment:
        """How fast the device is now. Raises: MissingExtraError without the engine's library."""
        if self._run is None:
            self._run = self._made()
        runs = [median_ms(self._run, runs=1, warm_up=0) for _ in range(WARM_UP + RUNS)][WARM_UP:]
        return Moment(statistics.median(runs), float(np.quantile(runs, 0.1)))

    def _made(self) -> Callable[[], object]:
        from triscale.deployment.fuse import fuse
        from triscale.deployment.onnx_graph import onnx_graph
        from triscale.deployment.untrained import untrained

        network = replace(families.network(REFERENCE), resolution=as_size(PIXELS))
        shape = (network.in_channels, *network.resolution)
        graph = onnx_graph(fuse(untrained(network)), network.in_channels, network.classes)
        infer = graph_runner(graph.SerializeToString(), self.engine, self.threads, shape)
        image = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
        return lambda: infer(image)


def slowdown(now: Moment, moments: Sequence[Moment]) -> float:
    """By how much a slow moment is slower than this one, at least 1: nine of ten recent moments are no slower."""
    recent = [each.ms for each in (*moments, now) if each.when >= now.when - RECENT]
    return max(1.0, float(np.quantile(recent, SLOW)) / now.ms)


def spread(moments: Sequence[Moment]) -> tuple[float, float]:
    """The fast and the slow end of recent moments (10 % and 90 %), as shares of their middle one."""
    if not moments:
        return 1.0, 1.0
    last = max(each.when for each in moments)
    recent = [each.ms for each in moments if each.when >= last - RECENT]
    low, middle, high = (float(np.quantile(recent, q)) for q in (1 - SLOW, 0.5, SLOW))
    return low / middle, high / middle
