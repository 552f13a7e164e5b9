"""Training in float16: the loss is multiplied, so that small gradients do not become zero, and gradients divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

LARGEST = 2.0**24
GROWTH_STEPS = 2000


@dataclass(slots=True)
class LossScale:
    """What the loss is multiplied with; a power of two, so that dividing by it again is exact.

    A step whose gradients are not finite is skipped and halves it; 2000 good steps in a row double it.
    value: now. good: steps since it last changed. skipped: steps so far that changed nothing.
    Source: Micikevicius et al. 2017, https://arxiv.org/abs/1710.03740, section 3.2; the numbers are PyTorch's.
    """

    value: float = 2.0**16
    good: int = 0
    skipped: int = 0

    def update(self, finite: bool) -> None:
        """Note a step whose gradients were finite, or not."""
        if not finite:
            self.value, self.good, self.skipped = self.value / 2, 0, self.skipped + 1
        elif self.good + 1 == GROWTH_STEPS:
            self.value, self.good = min(LARGEST, self.value * 2), 0
        else:
            self.good += 1

    @property
    def exhausted(self) -> bool:
        """Whether it cannot be the scale: gradients are not finite even where the loss is not enlarged."""
        return self.value < 1

    def values(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def restore(self, values: Mapping[str, Any]) -> None:
        """Undo `values`."""
        for name, value in values.items():
            setattr(self, name, value)
