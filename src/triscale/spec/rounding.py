"""The rules by which scaled widths and depths become whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from triscale.errors import SpecError
from triscale.spec.checks import whole


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a scaled channel count becomes a multiple that hardware likes.

    divisor: channels are multiples of this.
    minimum: and never fewer than this.
    floor: a result below `floor` times the exact width is raised by one divisor; 0 switches that off.
    Source: tensorflow/tpu `round_filters` (V1: floor 0.9); google/automl effnetv2 (V2: no floor).
    """

    divisor: int = 8
    minimum: int = 8
    floor: float = 0.9

    def __post_init__(self) -> None:
        whole("Rounding.divisor", self.divisor)
        whole("Rounding.minimum", self.minimum)
        if not 0 <= self.floor <= 1:
            raise SpecError(f"Rounding.floor must be in 0..1, got {self.floor}.")

    def channels(self, base: int, width: float) -> int:
        """`base` channels scaled by `width` and rounded; a width of 1 changes nothing."""
        return base if width == 1.0 else self.nearest(base * width)

    def nearest(self, exact: float) -> int:
        """The multiple that stands for `exact` channels."""
        divisor = self.divisor
        rounded = int(exact + divisor / 2) // divisor * divisor
        if rounded < self.minimum:
            rounded = self.minimum
        return rounded + divisor if rounded < self.floor * exact else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """Blocks in a stage after scaling: ceil(depth x repeats), at least one (tensorflow/tpu `round_repeats`).

    A product that is whole up to rounding error counts as whole: 5 x 1.4 is 7 blocks, not 8.
    """
    scaled = math.ceil(depth * repeats - 1e-9)
    return scaled if scaled > 1 else 1
