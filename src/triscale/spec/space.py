"""The networks that can be reached from a baseline by scaling: one phi for each direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from triscale.errors import SpecError
from triscale.spec.network import Network
from triscale.spec.rules import DIRECTIONS, Direction, Multipliers
from triscale.spec.scaling import scale

Phis = Mapping[Direction, float]

FURTHEST = 40.0  # |phi| beyond which nothing changes any more (small) or nothing fits any machine (large)
DOWNWARDS = (-FURTHEST, -20.0, -10.0, -5.0, -3.0, -2.0, -1.0, -0.5)


@dataclass(frozen=True, slots=True)
class Space:
    """A baseline, what one step of phi multiplies each direction by, which may change, and the largest phi."""

    network: Network
    bases: Mapping[Direction, float]
    directions: tuple[Direction, ...]
    largest: float

    def start(self, phi: float) -> dict[Direction, float]:
        """The same phi in every direction that may change."""
        return {each: phi if each in self.directions else 0.0 for each in DIRECTIONS}

    def multipliers(self, phis: Phis) -> Multipliers:
        """Those there; below one pixel of the last map, resolution shrinks no more."""
        smallest = min(1.0, max(self.network.reductions()) / min(self.network.resolution))
        depth, width, resolution = (self.bases[each] ** phis[each] for each in DIRECTIONS)
        return Multipliers(depth, width, max(resolution, smallest))

    def at(self, phis: Phis) -> Network:
        """The network there."""
        return scale(self.network, *self.multipliers(phis))

    def smallest(self) -> float:
        """The lowest phi that makes a network at all (units that split their channels have no narrow ones)."""
        return next((phi for phi in DOWNWARDS if self.made(self.start(phi)) is not None), 0.0)

    def made(self, phis: Phis) -> Network | None:
        """The network there, or None where there can be none."""
        try:
            return self.at(phis)
        except SpecError:
            return None

    def growth(self, directions: tuple[Direction, ...]) -> float:
        """By how much the cost grows per step of phi: d w^2 r^2 over the directions that change."""
        power = {"depth": 1, "width": 2, "resolution": 2}
        return max(1.01, math.prod(self.bases[each] ** power[each] for each in directions))
