"""The learning rate of each step: a linear warm-up, then a curve; a pure function, so that resuming keeps its place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

ScheduleName = Literal["cosine", "staircase", "constant"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rates of one training.

    peak: the highest rate. warmup_steps: of the linear rise, which reaches `peak` at step `warmup_steps`.
    total_steps: of warm-up and curve together. begins: steps before those, all at `peak`.
    kind: "cosine" falls along half a cosine to `final_share` * peak, which the step after the last would have;
        "staircase" is multiplied by `decay_rate` every `decay_steps` steps; "constant" stays.
    The stairs are counted from the first step, as their owners do: where the warm-up ends, some are already taken.
    Sources: cosine: SGDR, https://arxiv.org/abs/1608.03983, eq. 5 (one period); warm-up:
    https://arxiv.org/abs/1706.02677, 2.2; staircase: https://arxiv.org/abs/1905.11946, section 5.2 (0.97 every 2.4
    epochs), counted as in tensorflow/tpu efficientnet/utils.py and google/automl efficientnetv2/utils.py.
    """

    peak: float
    warmup_steps: int
    total_steps: int
    kind: ScheduleName = "cosine"
    final_share: float = 0.0
    decay_rate: float = 0.97
    decay_steps: float = 1.0
    begins: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of step `step` (from 0)."""
        if step < self.begins:
            return self.peak
        step -= self.begins
        if step < self.warmup_steps:
            return self.peak * (step + 1) / (self.warmup_steps + 1)
        if self.kind == "constant":
            return self.peak
        if self.kind == "staircase":
            # A step of an epoch's fraction (2.4 * 312) is whole but for rounding: without it a stair comes one late.
            return self.peak * self.decay_rate ** math.floor(step / self.decay_steps + 1e-9)
        share = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        return self.peak * (self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * share)))
