"""The grid of coefficients: every (alpha, beta, gamma) whose network costs about twice as much as the baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from triscale.errors import SearchError, SpecError
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.spec.scaling import ALPHA, BETA, GAMMA

Constraint = Literal["counted", "formula"]

GROWTH, TOLERANCE = 2.0, 0.05
STEPS = (0.05, 0.025, 0.0125)  # between neighbours of the grid; finer ones where a coarser gives too few networks
FEWEST = 20  # networks that differ
MOST = 2.0  # of a coefficient: twice the depth alone doubles the cost


@dataclass(frozen=True, slots=True)
class Coefficients:
    """alpha, beta, gamma: what depth, width and resolution are multiplied by for each step of phi."""

    alpha: float
    beta: float
    gamma: float

    def __str__(self) -> str:
        return f"{self.alpha:.4g}, {self.beta:.4g}, {self.gamma:.4g}"

    @property
    def formula(self) -> float:
        """alpha x beta^2 x gamma^2, by which the cost grows before rounding.

        Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3.
        """
        return self.alpha * self.beta**2 * self.gamma**2

    def at(self, phi: float) -> Multipliers:
        """The multipliers at phi."""
        return Multipliers(self.alpha**phi, self.beta**phi, self.gamma**phi)


PUBLISHED = Coefficients(ALPHA, BETA, GAMMA)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Coefficients and what they make of the baseline.

    counted: the candidate's multiply-accumulates over the baseline's, after rounding. inside: whether the constraint
    holds. others: coefficients of the grid that round to the same network, which is trained once.
    """

    coefficients: Coefficients
    candidate: Candidate
    counted: float
    inside: bool
    others: tuple[Coefficients, ...] = ()


def coefficient_grid(
    baseline: Baseline,
    constraint: Constraint = "counted",
    growth: float = GROWTH,
    tolerance: float = TOLERANCE,
    fewest: int = FEWEST,
    most: int | None = None,
) -> list[Proposal]:
    """The networks that are to be compared, each with the coefficients that stand for it; the published ones come last.

    constraint: "counted" wants the counted cost of alpha, beta, gamma >= 1 within `tolerance` of `growth` times the
        baseline's; "formula" wants alpha x beta^2 x gamma^2 there, as the paper did, whatever the network then costs.
    fewest: networks for which a finer grid is tried. most: if there are more, those that are farthest from each other.
    Returns: proposals inside the constraint, each of another network, and those of the paper (1.2, 1.1, 1.15), inside
        or not. Of coefficients that make the same network those whose formula is nearest to the growth stand for it.
    Raises: SpecError for numbers that cannot be; SearchError where no network is inside.
    """
    if not growth > 1 or not 0 < tolerance < 1 or fewest < 1 or (most is not None and most < 1):
        raise SpecError(
            f"a grid needs a growth above 1, a tolerance in 0..1 and at least one network, got growth {growth:g}, "
            f"tolerance {tolerance:g}, fewest {fewest}, most {most}."
        )
    base = baseline.at(Multipliers())
    found: list[Proposal] = []
    for step in STEPS:
        found = _of_step(baseline, base.macs, constraint, growth, tolerance, step)
        if len(found) >= fewest:
            break
    if not found:
        raise SearchError(
            f"{baseline.name}: no alpha, beta, gamma >= 1 gives {growth:g} times its {base.macs:,} MACs within "
            f"{tolerance:.0%}: its widths or pixels are too few to be scaled so finely; raise the tolerance."
        )
    published = _proposal(baseline, PUBLISHED, base.macs, constraint, growth, tolerance)
    found = [each for each in found if each.candidate != published.candidate] if published.inside else found
    if most is not None and len(found) + published.inside > most:
        found = farthest(found, most - published.inside)
    return [*found, published]


def farthest(proposals: Sequence[Proposal], count: int) -> list[Proposal]:
    """So many of them, far from each other in the logarithms of their coefficients; in the order of the grid.

    It begins with the one in the middle, and each next one is the farthest from all that were taken.
    """
    points = [_point(each.coefficients) for each in proposals]
    middle = tuple(sum(axis) / len(points) for axis in zip(*points, strict=True))
    taken = [min(range(len(points)), key=lambda number: math.dist(points[number], middle))]
    away = [math.dist(point, points[taken[0]]) for point in points]
    while len(taken) < min(count, len(points)):
        taken.append(max(range(len(points)), key=lambda number: away[number]))
        away = [min(far, math.dist(point, points[taken[-1]])) for far, point in zip(away, points, strict=True)]
    return [proposals[number] for number in sorted(taken[:count])]


def _point(coefficients: Coefficients) -> tuple[float, float, float]:
    """Cost grows as depth, width squared and resolution squared: alike steps cost alike."""
    return math.log(coefficients.alpha), 2 * math.log(coefficients.beta), 2 * math.log(coefficients.gamma)


def _of_step(
    baseline: Baseline, macs: int, constraint: Constraint, growth: float, tolerance: float, step: float
) -> list[Proposal]:
    values = [1 + number * step for number in range(round((MOST - 1) / step) + 1)]
    by_network: dict[Candidate, list[Proposal]] = {}
    for alpha in values:
        for beta in values:
            for gamma in values:
                coefficients = Coefficients(round(alpha, 6), round(beta, 6), round(gamma, 6))
                # Rounding moves the cost of a small network far from the formula, but not by more than this.
                if not growth / 1.6 <= coefficients.formula <= growth * 1.6:
                    continue
                if constraint == "formula" and abs(coefficients.formula / growth - 1) > tolerance:
                    continue
                made = _proposal(baseline, coefficients, macs, constraint, growth, tolerance)
                if made.inside:
                    by_network.setdefault(made.candidate, []).append(made)
    return [_standing_for(each, growth) for each in by_network.values()]


def _standing_for(proposals: Sequence[Proposal], growth: float) -> Proposal:
    first, *others = sorted(proposals, key=lambda each: abs(math.log(each.coefficients.formula / growth)))
    rest = tuple(each.coefficients for each in others)
    return Proposal(first.coefficients, first.candidate, first.counted, first.inside, rest)


def _proposal(
    baseline: Baseline, coefficients: Coefficients, macs: int, constraint: Constraint, growth: float, tolerance: float
) -> Proposal:
    candidate = baseline.at(coefficients.at(1))
    counted = candidate.macs / macs
    reached = counted if constraint == "counted" else coefficients.formula
    return Proposal(coefficients, candidate, counted, abs(reached / growth - 1) <= tolerance)
