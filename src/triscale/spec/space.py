"""The networks (or detectors) that can be reached from a baseline by scaling: one phi for each direction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, cast

from triscale.errors import SpecError
from triscale.spec.detector import Detector
from triscale.spec.network import Network
from triscale.spec.rules import DIRECTIONS, Direction, Multipliers, Rule
from triscale.spec.scaling import detector_steps, require_no_gamma, resolution_factor, scale
from triscale.spec.subject import Subject

Phis = Mapping[Direction, float]

FURTHEST = 40.0  # |phi| beyond which nothing changes any more (small) or nothing fits any machine (large)
DOWNWARDS = (-FURTHEST, -20.0, -10.0, -5.0, -3.0, -2.0, -1.0, -0.5)


@dataclass(frozen=True, slots=True)
class Space(Generic[Subject]):
    """A baseline, the rule by which each direction grows, which may change, and the largest phi.

    A detector grows by EfficientDet's rule where that of a network is compound scaling; by any other rule its backbone,
    pyramid and heads grow alike.
    """

    subject: Subject
    rule: Rule
    directions: tuple[Direction, ...]
    largest: float

    def __post_init__(self) -> None:
        """Refuse coefficients that the rule does not have. Raises: SpecError."""
        if self._steps():
            require_no_gamma(self.rule.gamma)

    @property
    def backbone(self) -> Network:
        """The network itself, or the detector's."""
        return self.subject.backbone if isinstance(self.subject, Detector) else self.subject

    def start(self, phi: float) -> dict[Direction, float]:
        """The same phi in every direction that may change."""
        return {each: phi if each in self.directions else 0.0 for each in DIRECTIONS}

    def multipliers(self, phis: Phis) -> Multipliers:
        """Those there (of a detector by EfficientDet's rule, its backbone's); never below one pixel of the last map."""
        phi = phis["resolution"]
        resolution = resolution_factor(phi) if self._steps() else self.rule.gamma**phi
        smallest = min(1.0, max(self.backbone.reductions()) / min(self.backbone.resolution))
        depth, width = self.rule.alpha ** phis["depth"], self.rule.beta ** phis["width"]
        return Multipliers(depth, width, max(resolution, smallest))

    def at(self, phis: Phis) -> Subject:
        """What is there."""
        if isinstance(self.subject, Detector) and self._steps():
            made = detector_steps(self.subject, phis["depth"], phis["width"], self.multipliers(phis))
            return cast("Subject", made)
        return scale(self.subject, *self.multipliers(phis))

    def smallest(self) -> float:
        """The lowest phi that makes a network at all (units that split their channels have no narrow ones)."""
        return next((phi for phi in DOWNWARDS if self.made(self.start(phi)) is not None), 0.0)

    def made(self, phis: Phis) -> Subject | None:
        """What is there, or None where there can be nothing."""
        try:
            return self.at(phis)
        except (SpecError, OverflowError):
            return None

    def growth(self, directions: tuple[Direction, ...]) -> float:
        """By how much the cost grows per step of phi: d w^2 r^2 over the directions that change."""
        rule = self.rule
        steps = {"depth": rule.alpha, "width": rule.beta**2, "resolution": rule.gamma**2}
        return max(1.01, math.prod(steps[each] for each in directions))

    def _steps(self) -> bool:
        return isinstance(self.subject, Detector) and self.rule.name == "compound"
