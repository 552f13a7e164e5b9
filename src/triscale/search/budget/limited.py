"""What a baseline costs at any multipliers, beside the limits: arithmetic, and predictions of what must be measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from triscale.errors import BudgetError, ModuleError, SpecError
from triscale.search.candidate import Baseline, Candidate, Multipliers, NetworkBaseline
from triscale.spec.cost import cost
from triscale.spec.limits import COUNTED, MEASURED, Budget
from triscale.spec.network import Network
from triscale.spec.scaling import scale

FEWEST_PIXELS = 32  # of a side, where a module does not say how often it halves a map


class Predicted(NamedTuple):
    """What a measurement would give, and the standard error of that guess; seconds or bytes."""

    value: float
    error: float = 0.0


Prediction = Callable[[Candidate], Predicted]


class Spent(NamedTuple):
    """What a candidate costs.

    made: the candidate's. values: by budget word; predicted ones are expected values.
    share: the largest share of a limit that they use.
    inside: the probability that every limit holds; 0 or 1 where all are counted.
    """

    made: Hashable
    values: Mapping[str, float]
    share: float
    inside: float


@dataclass(frozen=True)
class Shape:
    """A baseline at some depth and width, at any resolution.

    network: at the baseline's resolution; None of a module, which is made for each resolution.
    octaves: log2 of the depth and the width that rounding has left, relative to the baseline.
    """

    multipliers: Multipliers
    network: Network | None
    octaves: tuple[float, float]

    @property
    def key(self) -> Hashable:
        """Equal for shapes that are one network at any resolution."""
        made = self.network
        return self.multipliers if made is None else (made.stem, made.stages, made.head)


@dataclass(frozen=True)
class Limited:
    """A baseline and the limits that its candidates must keep.

    predictions: for latency (seconds) and size (bytes), where the budget limits them.
    Raises: BudgetError without a limit, or where a limit that must be measured has no prediction.
    """

    baseline: Baseline
    budget: Budget
    predictions: Mapping[str, Prediction] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.budget.limits:
            raise BudgetError('a search needs at least one limit; write it as "macs<=1G, params<=8M".')
        for word in self.budget.limits:
            if word in MEASURED and word not in self.predictions:
                raise BudgetError(f"budget {self.budget}: {word} must be measured; pass a prediction for it.")

    @property
    def quick(self) -> bool:
        """Whether every cost is arithmetic on data, thousands of times a second."""
        return isinstance(self.baseline, NetworkBaseline) and not self.measured_limits

    @cached_property
    def counted_limits(self) -> dict[str, float]:
        """Those that are arithmetic."""
        return {word: limit for word, limit in self.budget.limits.items() if word in COUNTED}

    @cached_property
    def measured_limits(self) -> dict[str, float]:
        """Those that are predicted here."""
        return {word: limit for word, limit in self.budget.limits.items() if word in MEASURED}

    @cached_property
    def own(self) -> Candidate:
        """The baseline itself."""
        return self.baseline.at(Multipliers())

    def smallest_resolution(self) -> float:
        """The multiplier that leaves one pixel of the last map."""
        own = self.own
        least = max(own.made.reductions()) if isinstance(own.made, Network) else FEWEST_PIXELS
        return min(1.0, least / min(own.size))

    def at(self, multipliers: Multipliers) -> Candidate | None:
        """The candidate there, None where there can be none."""
        try:
            return self.baseline.at(multipliers)
        except (SpecError, ModuleError, OverflowError):
            return None

    def spent(self, candidate: Candidate) -> Spent:
        """What it costs. Raises: BudgetError for a limit that this kind of baseline does not count."""
        values, share, inside = self.counted(candidate), 0.0, 1.0
        for word, limit in self.counted_limits.items():
            if word not in values:
                raise BudgetError(f"budget {self.budget}: {word} of {self.baseline.name} is not known; limit macs.")
            share = max(share, values[word] / limit)
        if share > 1:
            return Spent(candidate.made, values, share, 0.0)
        for word, limit in self.measured_limits.items():  # asked only where the arithmetic is inside
            guess = self.predictions[word](candidate)
            values[word], share = guess.value, max(share, guess.value / limit)
            inside *= probability(guess, limit)
        return Spent(candidate.made, values, share, inside)

    def counted(self, candidate: Candidate) -> dict[str, float]:
        """Its costs by arithmetic: all four of a network, params and macs of a module."""
        if isinstance(candidate.made, Network):
            own = cost(candidate.made)
            return {word: getattr(own, word) for word in COUNTED}
        return {"params": candidate.params, "macs": candidate.macs}

    def shape(self, depth: float, width: float) -> Shape | None:
        """The baseline at some depth and width; None where it cannot be."""
        multipliers = Multipliers(depth, width, 1.0)
        if not isinstance(self.baseline, NetworkBaseline):
            return Shape(multipliers, None, (math.log2(depth), math.log2(width)))
        try:
            made = scale(self.baseline.network, depth, width)
        except (SpecError, OverflowError):
            return None
        return Shape(multipliers, made, reached(made, self.baseline.network))

    def octaves(self, candidate: Candidate) -> tuple[float, float, float]:
        """log2 of what rounding has left of depth, width and resolution, relative to the baseline."""
        own = self.own
        pixels = math.log2(min(candidate.size) / min(own.size))
        if isinstance(candidate.made, Network) and isinstance(own.made, Network):
            return (*reached(candidate.made, own.made), pixels)
        depth, width, _ = candidate.multipliers
        return math.log2(depth), math.log2(width), pixels


def probability(guess: Predicted, limit: float) -> float:
    """That a value with a normal error is at most `limit`."""
    if guess.error <= 0:
        return float(guess.value <= limit)
    return 0.5 * math.erfc((guess.value - limit) / (guess.error * math.sqrt(2)))


def reached(network: Network, base: Network) -> tuple[float, float]:
    """log2 of (blocks, channels of all stages together) relative to a baseline's.

    Sums, because rounding to multiples of eight makes a narrow stage half as wide again, which says little of the
    network; in octaves, because what one step of phi adds is about the same everywhere then.
    """
    (blocks, channels), (own_blocks, own_channels) = _sums(network), _sums(base)
    return math.log2(blocks / own_blocks), math.log2(channels / own_channels)


def _sums(network: Network) -> tuple[int, int]:
    return sum(len(each.blocks) for each in network.stages), sum(each.channels for each in network.stages)
