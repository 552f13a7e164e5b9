"""Depth only, width only, resolution only, and all three together, at equal cost: the comparison that the paper makes.

Source: EfficientNet, https://arxiv.org/abs/1905.11946, figures 3 and 8, table 7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triscale.errors import SearchError, SpecError
from triscale.search.asking import Asker, asked_together
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.grid import Coefficients
from triscale.search.noise import Estimate, estimate, pooled_noise

MOST_MULTIPLIER = 64.0  # of one dimension
_TRIES = 48  # halvings of an interval: more than a float has digits for

Along = Callable[[float], Multipliers]


def ways_to_scale(coefficients: Coefficients) -> dict[str, Along]:
    """The ways by name; each gives the multipliers at a number that is 0 for the baseline and grows with the cost."""
    return {
        "depth": lambda x: Multipliers(depth=2**x),
        "width": lambda x: Multipliers(width=2**x),
        "resolution": lambda x: Multipliers(resolution=2**x),
        "compound": coefficients.at,
    }


def at_cost(baseline: Baseline, along: Along, macs: float) -> Candidate:
    """The candidate on a way whose multiply-accumulates are nearest to `macs`, above or below.

    Cost grows with the number but for jumps, where channels and pixels round; so both sides of the last jump are looked
    at. Raises: SearchError where the way ends before it.
    """
    low, high, top = 0.0, 1.0, MOST_MULTIPLIER
    while _made(baseline, along, high) is not None and _macs(baseline, along, high) < macs:
        low, high = high, 2 * high
        if high > top:
            raise SearchError(f"{baseline.name}: cannot be scaled to {macs:,.0f} MACs in this way.")
    for _ in range(_TRIES):
        middle = (low + high) / 2
        if _made(baseline, along, middle) is not None and _macs(baseline, along, middle) < macs:
            low = middle
        else:
            high = middle
    sides = [made for made in (_made(baseline, along, low), _made(baseline, along, high)) if made is not None]
    if not sides:
        raise SearchError(f"{baseline.name}: cannot be scaled to {macs:,.0f} MACs in this way.")
    return min(sides, key=lambda each: abs(each.macs - macs))


def _made(baseline: Baseline, along: Along, number: float) -> Candidate | None:
    try:
        return baseline.at(along(number))
    except (SpecError, OverflowError):  # beyond what a network may be
        return None


def _macs(baseline: Baseline, along: Along, number: float) -> int:
    made = _made(baseline, along, number)
    assert made is not None  # as the caller saw
    return made.macs


def all_at_cost(baseline: Baseline, coefficients: Coefficients, macs: float) -> dict[str, Candidate]:
    """The candidate of each way that is nearest to `macs`, by its name, without ways that end before it.

    A module of equal blocks none of which may be repeated, say, has no depth.
    """
    found = {}
    for way, along in ways_to_scale(coefficients).items():
        try:
            found[way] = at_cost(baseline, along, macs)
        except SearchError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Point:
    """One network of the comparison.

    way: how it was scaled. target: multiply-accumulates that were wanted. estimate: its scores; None where all failed.
    """

    way: str
    target: float
    candidate: Candidate
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Curves of scaling: the baseline, and every way at every cost.

    noise: standard deviation of one score. steps, seeds: of each.
    """

    baseline: Estimate | None
    points: tuple[Point, ...]
    noise: float | None
    steps: int
    seeds: int

    @property
    def ways(self) -> tuple[str, ...]:
        """By name, in order."""
        return tuple(dict.fromkeys(each.way for each in self.points))

    def curve(self, way: str) -> list[Point]:
        """The points of a way, the cheapest first."""
        return sorted((each for each in self.points if each.way == way), key=lambda each: each.candidate.macs)


def compare_ways(
    baseline: Baseline, coefficients: Coefficients, growths: Sequence[float], ask: Asker, steps: int, seeds: int
) -> Comparison:
    """Train every way at every cost with equal steps.

    growths: the costs, as multiples of the baseline's.
    """
    own = baseline.at(Multipliers())
    made = [
        (way, growth * own.macs, candidate)
        for growth in growths
        for way, candidate in all_at_cost(baseline, coefficients, growth * own.macs).items()
    ]
    scores = asked_together([own, *(candidate for _, _, candidate in made)], ask, steps, seeds)
    told = {candidate: estimate(found) if found else None for candidate, found in scores.items()}
    points = tuple(Point(way, target, candidate, told[candidate]) for way, target, candidate in made)
    return Comparison(told[own], points, pooled_noise(scores.values()), steps, seeds)
