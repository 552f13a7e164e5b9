"""A network for a budget of milliseconds or megabytes on this device: predicted, measured, held in a fresh process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from triscale.deployment.drift import Moment, between, slowdown, spread
from triscale.deployment.export import ExportEngine
from triscale.deployment.latency import Latency
from triscale.deployment.table import LatencyTable, Prediction
from triscale.deployment.trial import file_bytes, measure_untrained, measures
from triscale.errors import BudgetError
from triscale.spec.budget import Budget, Measure, measured, quantity, solution
from triscale.spec.network import Network
from triscale.spec.rules import COMPOUND, Multipliers, Rule
from triscale.training.progress import Progress, SilentProgress

CONFIRMATIONS = 4  # most networks that are solved for and measured in a fresh process


@dataclass(frozen=True, slots=True)
class OnDevice:
    """A network inside a budget, with what was predicted and what was measured.

    multipliers: of its depth, width and resolution.
    values: what each limited word was measured to be: counts, bytes, seconds.
    latency: in a process of its own; prediction: of the table; slowdown: by how much a slow moment of this device is
        slower than the one of that measurement, which the limit has room for. All None where no latency is limited.
    spread: the device's fast and slow end, as shares of its middle speed.
    """

    network: Network
    multipliers: Multipliers
    values: Mapping[str, float]
    latency: Latency | None = None
    prediction: Prediction | None = None
    slowdown: float | None = None
    spread: tuple[float, float] = (1.0, 1.0)

    def lines(self) -> list[str]:
        """What a person should know of its latency; nothing where none is limited."""
        if self.latency is None:
            return []
        low, high = self.spread
        return [
            f"measured in a fresh process: {self.latency}; predicted {self.prediction}",
            f"speed of this device: {low - 1:+.0%} to {high - 1:+.0%} of its middle; "
            f"kept free for its slow moments: {(self.slowdown or 1) - 1:.1%}",
        ]

    def as_json(self) -> dict[str, object]:
        """What was measured, as JSON values."""
        told: dict[str, object] = {"measured": dict(self.values)}
        if self.latency is not None and self.prediction is not None:
            told["latency"] = {**asdict(self.latency), "upper_quartile_ms": self.latency.upper_quartile_ms}
            told["prediction"] = asdict(self.prediction)
            told |= {"slowdown": self.slowdown, "device_speed": list(self.spread)}
        return told


def solve_on_device(
    network: Network,
    budget: Budget,
    engine: ExportEngine = "onnx",
    *,
    rule: Rule = COMPOUND,
    threads: int | None = None,
    cache: Path | None = None,
    table: LatencyTable | None = None,
    progress: Progress | None = None,
) -> OnDevice:
    """`budget.solution` for a budget that limits latency or size of the exported file.

    The latency table predicts, so that candidates cost nothing; the few that remain are exported and measured, and the
    last one again in a fresh process. It is inside with room for the slow moments that this device was seen to have.

    threads, cache: as for `try_out`. table: of this engine, whose threads then count; by default the one in the cache.
    Raises: BudgetError when nothing is inside, with the smallest that can be reached; MissingExtraError without the
        engine's library.
    """
    table = table or LatencyTable(engine, threads)
    threads = table.threads
    plain = measures(engine, budget.limits.get("latency"), threads=threads, cache=cache)
    if "latency" not in budget.limits:
        made, multipliers = solution(network, budget, plain, predictions={"size": file_bytes}, rule=rule)
        return OnDevice(made, multipliers, measured(made, budget, plain))
    device = _Device(table, plain["latency"], threads, cache, progress or SilentProgress())
    asked = {**plain, "latency": device.guarded}
    rough = predictions(table, progress)
    limit = budget.limits["latency"]
    for _ in range(CONFIRMATIONS):
        made, multipliers = solution(network, budget, asked, predictions=rough, rule=rule)
        if device.confirm(made) <= limit:
            values = measured(made, budget, {**plain, "latency": device.confirm})
            values["latency"] = device.fresh[made].upper_quartile_ms / 1e3
            return OnDevice(
                made,
                multipliers,
                values,
                device.fresh[made],
                table.predict(made),
                device.slow[made],
                spread(table.moments),
            )
    raise BudgetError(
        f"budget {budget}: this device's speed changes too much at the moment: {CONFIRMATIONS} networks that were "
        f"inside were not when measured again, the last one at {quantity('latency', device.guarded(made), up=True)}; "
        f"stop what else is running, or raise the limit."
    )


def predictions(table: LatencyTable, progress: Progress | None = None) -> dict[str, Measure]:
    """What `budget.solve` takes to search with: latency in seconds from the table, size in bytes by arithmetic.

    Layers of a kind that the table does not know are timed first.
    """

    def latency(network: Network) -> float:
        table.prepare(network, progress)
        return table.predict(network).sum_ms / 1e3

    return {"latency": latency, "size": file_bytes}


class _Device:
    """Seconds of networks on this device at a slow moment; what was found out is never forgotten or improved upon."""

    def __init__(
        self,
        table: LatencyTable,
        measure: Callable[[Network], float],
        threads: int | None,
        cache: Path | None,
        progress: Progress,
    ) -> None:
        self.table, self.measure, self.threads, self.cache, self.progress = table, measure, threads, cache, progress
        self.fresh: dict[Network, Latency] = {}
        self.slow: dict[Network, float] = {}
        self.held: dict[Network, float] = {}
        self.moments: list[Moment] = []

    def guarded(self, network: Network) -> float:
        """Seconds at a slow moment of the device."""
        if network not in self.held:
            before = self.table.clock()
            seconds = self.measure(network)
            now = between(before, self.table.clock())
            self.moments.append(now)
            self.held[network] = seconds * slowdown(now, self._moments())
            predicted = self.table.predict(network).sum_ms
            self.progress.say(f"{_told(network)}: predicted {predicted:.2f} ms, measured {1e3 * seconds:.2f} ms")
        return self.held[network]

    def confirm(self, network: Network) -> float:
        """Seconds at a slow moment, measured once more in a process of its own."""
        if network in self.fresh:
            return self.held[network]
        engine, threads = self.table.engine, self.table.threads
        now, found = self.table.whole(network, lambda: measure_untrained(network, engine, threads))
        self.fresh[network], self.slow[network] = found, slowdown(now, self._moments())
        self.held[network] = max(self.held.get(network, 0.0), found.upper_quartile_ms / 1e3 * self.slow[network])
        return self.held[network]

    def _moments(self) -> list[Moment]:
        return [*self.table.moments, *self.moments]


def _told(network: Network) -> str:
    blocks = sum(len(each.blocks) for each in network.stages)
    return f"{blocks} blocks, {network.stages[-1].channels} channels, {' x '.join(map(str, network.resolution))} px"
