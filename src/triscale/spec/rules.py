"""The ways of making one network larger: each is compound scaling with its own three numbers.

A rule says what one step of phi multiplies depth, width and resolution by. With those of Tan and Le a step about
doubles the multiply-accumulates; with the others it doubles them exactly, before rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from triscale.errors import SpecError
from triscale.spec.checks import shown
from triscale.spec.scaling import ALPHA, BETA, GAMMA, scale
from triscale.spec.subject import Subject

Direction = Literal["depth", "width", "resolution"]
RuleName = Literal["compound", "fast", "depth", "width", "resolution"]

DIRECTIONS: tuple[Direction, ...] = ("depth", "width", "resolution")
FAST_ALPHA = 0.8  # Dollar, Singh & Girshick 2021, section 5, https://arxiv.org/abs/2103.06877
FURTHEST = 1e6  # the largest factor by which MACs may be asked to grow, or shrink


class Multipliers(NamedTuple):
    """What a network's depth, width and resolution are multiplied by."""

    depth: float
    width: float
    resolution: float

    def __str__(self) -> str:
        return f"depth x{self.depth:.4g}, width x{self.width:.4g}, resolution x{self.resolution:.4g}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a network grows: depth by alpha^phi, width by beta^phi, resolution by gamma^phi."""

    name: RuleName
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1.0

    def __str__(self) -> str:
        return f"{self.name} (per step of phi: depth {self.alpha:.4g}, width {self.beta:.4g}, pixels {self.gamma:.4g})"

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that change at all."""
        bases = (self.alpha, self.beta, self.gamma)
        return tuple(each for each, base in zip(DIRECTIONS, bases, strict=True) if base != 1)

    @property
    def growth(self) -> float:
        """By how much MACs grow per step of phi, before rounding: d w^2 r^2. Compound: 1.92; the others: 2."""
        return self.alpha * self.beta**2 * self.gamma**2

    def multipliers(self, phi: float) -> Multipliers:
        """The three multipliers at phi."""
        return Multipliers(self.alpha**phi, self.beta**phi, self.gamma**phi)

    def phi(self, factor: float) -> float:
        """The phi at which MACs are `factor` times the baseline's, before rounding."""
        return math.log(factor) / math.log(self.growth)


def fast_rule(alpha: float = FAST_ALPHA) -> Rule:
    """Fast compound scaling: most of the growth goes into width, so activations, and with them time, grow least.

    Of a factor s in MACs, depth takes s^((1 - alpha) / 2), width s^(alpha / 2) and resolution s^((1 - alpha) / 4).
    So d w^2 r^2 = s, and activations grow as d w r^2 = s^(1 - alpha / 2): s^0.6 at 0.8.
    alpha: the share of width, 0..1; 1 is width alone, 1/3 shares equally among the three.
    Raises: SpecError for an alpha outside.
    Source: Dollar, Singh & Girshick 2021, section 5, https://arxiv.org/abs/2103.06877.
    """
    if not 0 <= alpha <= 1:
        raise SpecError(f"fast scaling's alpha is width's share of the growth, 0..1; got {shown(alpha)}.")
    return Rule("fast", 2 ** ((1 - alpha) / 2), 2 ** (alpha / 2), 2 ** ((1 - alpha) / 4))


COMPOUND = Rule("compound", ALPHA, BETA, GAMMA)
RULES: dict[RuleName, Rule] = {
    "compound": COMPOUND,
    "fast": fast_rule(),
    "depth": Rule("depth", alpha=2.0),
    "width": Rule("width", beta=math.sqrt(2)),
    "resolution": Rule("resolution", gamma=math.sqrt(2)),
}


def fast_compound(network: Subject, factor: float, alpha: float = FAST_ALPHA) -> Subject:
    """A network (or detector) with `factor` times the MACs, before rounding, and as few more activations as can be.

    factor: above 0; below 1 makes a smaller network by the same rule.
    alpha: see `fast_rule`.
    Returns: the same kind, whose name tells the rule and the factor.
    Raises: SpecError for a factor or an alpha that cannot be.
    Source: Dollar, Singh & Girshick 2021, https://arxiv.org/abs/2103.06877. Their scaler also widens the groups of
        grouped convolutions; depthwise ones stay depthwise there and here.
    """
    if not 1 / FURTHEST <= factor <= FURTHEST:
        raise SpecError(f"fast_compound needs a factor in 1e-06..1e+06, got {shown(factor)}.")
    scaled = scale(network, *fast_rule(alpha).multipliers(math.log2(factor)))
    return scaled if scaled is network else replace(scaled, name=f"{network.name}-fast{factor:.4g}")
