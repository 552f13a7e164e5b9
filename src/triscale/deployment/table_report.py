"""The latency table of one network: its layers, their sum, and the network itself measured beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from triscale.deployment.drift import spread
from triscale.deployment.export import ExportEngine
from triscale.deployment.latency import Latency
from triscale.deployment.layers import layers_of
from triscale.deployment.table import LatencyTable, Prediction
from triscale.deployment.trial import measure_untrained
from triscale.errors import SpecError
from triscale.spec.network import Network
from triscale.training.progress import Progress


@dataclass(frozen=True, slots=True)
class TableRow:
    """A distinct layer: how often the network has it, and its milliseconds at the device's middle speed."""

    name: str
    times: int
    ms: float


@dataclass(frozen=True, slots=True)
class TableReport:
    """What the table says of a network, and what is true.

    prediction: made before the network itself was measured. latency: of the whole network, in a fresh process.
    now_ms: the same at the device's middle speed, as the layers are. timed_now, cached: distinct layers.
    error: of the sum, as a share of the whole. spread: the device's fast and slow end, as shares of its middle speed.
    """

    network: Network
    rows: tuple[TableRow, ...]
    prediction: Prediction
    latency: Latency
    now_ms: float
    timed_now: int
    spread: tuple[float, float]

    @property
    def cached(self) -> int:
        """Distinct layers that were in the table before."""
        return len(self.rows) - self.timed_now

    @property
    def error(self) -> float:
        """By what share of the whole network's time the sum is too large."""
        return self.prediction.sum_ms / self.now_ms - 1

    def as_json(self) -> dict[str, object]:
        """All of it as JSON values."""
        ran = self.latency
        return {
            "network": self.network.name,
            "engine": ran.engine,
            "version": ran.version,
            "precision": ran.precision,
            "threads": ran.threads,
            "device": ran.device,
            "layers": [{"layer": row.name, "times": row.times, "ms": row.ms} for row in self.rows],
            "timed_now": self.timed_now,
            "cached": self.cached,
            "sum_ms": self.prediction.sum_ms,
            "predicted_ms": self.prediction.ms,
            "predicted_error": self.prediction.error,
            "networks_measured": self.prediction.networks,
            "measured_ms": ran.median_ms,
            "upper_quartile_ms": ran.upper_quartile_ms,
            "measured_at_middle_speed_ms": self.now_ms,
            "error": self.error,
            "device_speed": list(self.spread),
        }


def tabulate(
    network: Network,
    engine: ExportEngine,
    threads: int | None = None,
    *,
    table: LatencyTable | None = None,
    progress: Progress | None = None,
) -> TableReport:
    """Time the layers that are missing, sum them, and measure the network.

    table: of this engine; by default the one in the cache.
    Raises: MissingExtraError without the engine's library; SpecError for a network without a classifier.
    """
    table = table or LatencyTable(engine, threads)
    if network.head is None:
        raise SpecError(f"bench: {network.name} has no classifier, so it cannot be exported; give its Network a head.")
    timed_now = table.fill([network], progress)
    prediction = table.predict(network)
    moment, latency = table.whole(network, lambda: measure_untrained(network, engine, table.threads))
    counted = Counter(layers_of(network))
    rows = tuple(TableRow(str(layer), times, table.layer_ms(layer) or 0.0) for layer, times in counted.items())
    now_ms = latency.median_ms * table.middle_ms / moment.ms
    return TableReport(network, rows, prediction, latency, now_ms, timed_now, spread(table.moments))
