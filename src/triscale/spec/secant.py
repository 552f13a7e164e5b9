"""The largest point along a line whose measured cost is inside a limit, with few measurements."""

from __future__ import annotations

import math
from collections.abc import Callable

AIM, SATISFIED = 0.95, 0.9  # of a measured limit: share aimed at, share to stop at


def secant(
    share: Callable[[float], float], low: float, high: float, guess: float, growth: float, calls: int
) -> float | None:
    """The largest phi in low..high that was found inside with `calls` measurements; None when not even `low` is.

    Measured costs grow about exponentially with phi, so the next guess is where log(share) should reach AIM: on a line
    through the last points inside and outside, or in their middle when that line came no closer.
    """
    inside: tuple[float, float] | None = None
    outside: tuple[float, float] | None = None
    stride, gap = 1.0, math.inf
    for _ in range(calls):
        used = share(guess)
        if used <= 1:
            inside = guess, used
        else:
            outside = guess, used
        if (inside and (inside[1] >= SATISFIED or inside[0] >= high)) or (outside and outside[0] <= low):
            break
        if inside and outside:
            before, gap = gap, outside[0] - inside[0]
            if gap < 0.02:
                break
            share_of_gap = math.log(AIM / inside[1]) / math.log(outside[1] / inside[1])
            if gap > before / 2 or not 0 < share_of_gap < 1:
                share_of_gap = 0.5
            guess = inside[0] + min(max(share_of_gap, 0.05), 0.95) * gap
        else:
            guess = min(max(guess + stride * math.log(AIM / used) / math.log(growth), low), high)
            stride *= 1.5
    if inside is None and share(low) <= 1:
        return low
    return inside[0] if inside else None
