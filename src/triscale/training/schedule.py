"""The learning rate of each step: a linear warm-up, then a cosine; a pure function, so resuming keeps its place."""

from __future__ import annotations

import math


def learning_rate(step: int, peak: float, warmup_steps: int, total_steps: int, final_share: float = 0.0) -> float:
    """Learning rate of step `step` (from 0).

    It rises linearly and reaches `peak` at step `warmup_steps`, then falls along half a cosine to `final_share` * peak,
    which the step after the last would have.
    Source: SGDR, https://arxiv.org/abs/1608.03983, eq. 5 (one period); warm-up: https://arxiv.org/abs/1706.02677, 2.2.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    share = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * share)))
