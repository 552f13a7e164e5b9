"""How far a baseline can grow inside its limits: along phi, along one direction, and in pixels at a given shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from triscale.errors import BudgetError
from triscale.search.budget.limited import Limited, Spent
from triscale.search.candidate import Multipliers
from triscale.spec.limits import quantity
from triscale.spec.rules import Rule

FURTHEST = 40.0  # |phi| beyond which nothing fits any machine (large) or nothing changes any more (small)
STEPS = 24  # of halving an interval of phi: far below one channel and one pixel


class Filled(NamedTuple):
    """The most of a shape that the limits allow: pixels of its shorter side, and what those cost."""

    pixels: int
    spent: Spent


def furthest(inside: Callable[[float], bool], low: float = -FURTHEST, high: float = FURTHEST) -> float | None:
    """The largest x in low..high at which `inside` holds, which it does below wherever it does at all.

    None where it holds nowhere. Sought from 0 in steps that double, for a network at the far end has thousands of
    blocks.
    """
    at, step, bottom = min(max(0.0, low), high), 0.5, None
    if inside(at):
        bottom = at
        while at < high:
            at, step = min(high, at + step), 2 * step
            if not inside(at):
                break
            bottom = at
        else:
            return high
        top = at
    else:
        top = at
        while at > low and bottom is None:
            at, step = max(low, at - step), 2 * step
            bottom, top = (at, top) if inside(at) else (None, at)
        if bottom is None:
            return None
    for _ in range(STEPS):
        middle = (bottom + top) / 2
        bottom, top = (middle, top) if inside(middle) else (bottom, middle)
    return bottom


def along(limited: Limited, rule: Rule) -> Multipliers | None:
    """The largest multipliers that a rule reaches inside the limits; None where it reaches none."""
    least = limited.smallest_resolution()

    def at(phi: float) -> Multipliers:
        depth, width, resolution = rule.multipliers(phi)
        return Multipliers(depth, width, max(resolution, least))

    phi = furthest(lambda phi: _share(limited, at(phi)) <= 1)
    return None if phi is None else at(phi)


def fill(spend: Callable[[int], Spent | None], pixels: Sequence[int], aim: float = 1.0) -> Filled | None:
    """The most of `pixels`, which ascend, that use at most `aim` of each limit; None where none do.

    spend: what so many pixels cost, which never falls as they are added.
    """
    best, inside, outside = None, -1, len(pixels)
    place = 0  # where even the fewest are too many, one cost tells
    while outside - inside > 1:
        spent = spend(pixels[place])
        if spent is not None and spent.share <= aim:
            best, inside = Filled(pixels[place], spent), place
        else:
            outside = place
        place = (inside + outside) // 2
    return best


def impossible(limited: Limited, rule: Rule) -> BudgetError:
    """What to raise where nothing is inside: the smallest that can be reached, and what it costs."""
    phis = (-FURTHEST, -20.0, -10.0, -5.0, -3.0, -2.0, -1.0, -0.5, 0.0)
    least = limited.smallest_resolution()
    made = (limited.at(Multipliers(*rule.multipliers(phi)[:2], max(rule.multipliers(phi)[2], least))) for phi in phis)
    nearest = next((each for each in made if each is not None), limited.own)
    values = limited.counted(nearest) | {
        word: limited.predictions[word](nearest).value for word in limited.measured_limits
    }
    limits = limited.budget.limits
    over = {word: values[word] for word, limit in limits.items() if values[word] > limit}
    told = ", ".join(f"{word} {quantity(word, value, up=True)}" for word, value in over.items())
    return BudgetError(
        f"budget {limited.budget}: nothing of {limited.baseline.name} is inside; the nearest has {told}; "
        "raise the limit, or start from a smaller network.",
        overrun=max(limited.budget.used(values).values()),
    )


def _share(limited: Limited, multipliers: Multipliers) -> float:
    candidate = limited.at(multipliers)
    return math.inf if candidate is None else limited.spent(candidate).share
