"""Released detectors beside EfficientDet's rule: where they depart from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from triscale.spec.families.efficientdet import MEMBERS, D, own_detector_name
from triscale.spec.rounding import Rounding
from triscale.spec.scaling import HEAD_STEP, PYRAMID_WIDTH, resolution_factor, whole_steps

BASELINE = D["efficientdet_d0"]
PHIS: Mapping[str, int] = {**{name: phi for phi, name in enumerate(list(D)[:8])}, "efficientdet_d7x": 7}


class Ruled(NamedTuple):
    """One number of a released detector, and what the rule says before rounding."""

    what: str
    rule: float | str
    released: float | str

    @property
    def departs(self) -> bool:
        """Whether rounding to a multiple of 8 does not explain the difference."""
        if isinstance(self.rule, str) or isinstance(self.released, str):
            return self.rule != self.released
        return self.rule != self.released and (
            self.what != "pyramid width" or Rounding().nearest(self.rule) != self.released
        )

    def __str__(self) -> str:
        return f"{self.what}: {told(self.rule)} by the rule, {told(self.released)} released"


def told(value: float | str) -> str:
    """A value of the rule in four figures."""
    return value if isinstance(value, str) else f"{value:.4g}"


def rule_and_released(name: str) -> tuple[Ruled, ...]:
    """What EfficientDet's rule says of a released detector, and what was released, number by number.

    Returns: nothing for the Lite ones, of which no rule was published. D7x is taken as phi 7.
    Raises: SpecError for an unknown name.
    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 4.2 and table 1; google/automl hparams_config.py.
    """
    own = own_detector_name(name)
    if own not in PHIS:
        return ()
    phi, released = PHIS[own], MEMBERS[own]
    return (
        Ruled("backbone", f"B{phi}", released.backbone.removeprefix("tf_efficientnet_").upper()),
        Ruled("pyramid width", BASELINE.channels * PYRAMID_WIDTH**phi, released.channels),
        Ruled("pyramid repeats", BASELINE.pyramid_repeats + phi, released.pyramid_repeats),
        Ruled("head layers", BASELINE.head_repeats + whole_steps(phi / HEAD_STEP), released.head_repeats),
        Ruled("resolution", BASELINE.resolution * resolution_factor(phi), released.resolution),
        Ruled("levels", _levels(BASELINE.levels), _levels(released.levels)),
        Ruled("anchor scale", BASELINE.anchor_scale, released.anchor_scale),
        Ruled("fusion", BASELINE.fusion, released.fusion),
    )


def departures(name: str) -> tuple[Ruled, ...]:
    """Only where a released detector departs from the rule; see `rule_and_released`."""
    return tuple(each for each in rule_and_released(name) if each.departs)


def _levels(levels: tuple[int, int]) -> str:
    return f"P{levels[0]} to P{levels[1]}"
