"""What each way of scaling one network costs, over a range of sizes: the numbers behind a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from triscale.errors import SpecError
from triscale.spec.cost import cost
from triscale.spec.network import Network
from triscale.spec.rules import RULES, Rule
from triscale.spec.scaling import scale

SMALLEST, LARGEST = 0.25, 16.0  # of the baseline's MACs, before rounding
STEPS_PER_DOUBLING = 4


class Point(NamedTuple):
    """One network on a curve; factor: of the baseline's MACs before rounding; memory in bytes."""

    factor: float
    params: int
    macs: int
    activations: int
    memory: int


class Curve(NamedTuple):
    """A way of scaling, and the networks that it makes, smallest first."""

    rule: Rule
    points: tuple[Point, ...]


def scaling_curves(
    base: Network, rules: Sequence[Rule] = tuple(RULES.values()), smallest: float = SMALLEST, largest: float = LARGEST
) -> tuple[Curve, ...]:
    """Scale `base` by every rule to the same factors of its MACs.

    smallest, largest: the range of those factors; the baseline itself (1) is among the points.
    Returns: a curve for each rule. A factor at which there is no network (units that split their channels have no
        narrow ones) is left out.
    """
    return tuple(Curve(rule, _points(base, rule, smallest, largest)) for rule in rules)


def _points(base: Network, rule: Rule, smallest: float, largest: float) -> tuple[Point, ...]:
    step = 2 ** (1 / STEPS_PER_DOUBLING)
    factors, factor = [1.0], 1.0
    while (factor := factor * step) <= largest * 1.001:
        factors.append(factor)
    factor = 1.0
    while (factor := factor / step) >= smallest / 1.001:
        factors.insert(0, factor)
    points = []
    for factor in factors:
        try:
            own = cost(scale(base, *rule.multipliers(rule.phi(factor))))
        except SpecError:
            continue
        points.append(Point(factor, own.params, own.macs, own.activations, own.memory))
    return tuple(points)
