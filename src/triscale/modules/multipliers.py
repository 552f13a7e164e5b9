"""The largest module that a factory with depth and width makes inside a budget, found by calling it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from triscale.errors import BudgetError, SpecError
from triscale.spec.limits import Budget, quantity
from triscale.spec.scaling import ALPHA, BETA

Share = Callable[[Mapping[str, float]], float]
Counts = Callable[[float, float], Mapping[str, float]]
BASES = {"depth": ALPHA, "width": BETA}
POWERS = {"depth": 1, "width": 2}  # of a multiplier in what a network costs
LARGEST = 100.0  # multiplier, as on a command line
FURTHEST = 24.0  # |phi|; the width is then a tenth or ten times the factory's own
STEP, CLOSE = 1.0, 0.02  # of phi: the least that is stepped outwards, and how near to the edge a search ends
AIM, ENOUGH = 0.985, 0.97  # share of a limit that a guess aims at, and beyond which nothing more is tried
LOPSIDED = 3.0  # by how much phi one multiplier may outgrow the other to fill what rounding left over
TRADES = (1.0, -1.0, 2.0, -2.0)  # of phi, from width to depth
PATIENCE = 16  # modules that one search makes at most


def largest_inside(counts: Counts, budget: Budget, directions: tuple[str, ...], name: str) -> tuple[float, float]:
    """(depth, width) of the largest module inside a budget: compound scaling first, then what rounding left over.

    counts: what the module at (depth, width) costs, by budget word; it is made for this. Costs must not fall as a
        multiplier grows. directions: which multipliers the factory takes. name: of the factory, for errors.
    Raises: BudgetError when nothing is inside, with the smallest that was reached.
    """
    found: dict[tuple[float, float], float] = {}
    reached: list[Mapping[str, float]] = []

    def share(phis: Mapping[str, float]) -> float:
        depth, width = _multipliers(phis)
        if (depth, width) not in found:
            values = counts(depth, width)
            found[depth, width] = max(budget.used(values).values())
            reached.append(values)
        return found[depth, width]

    least = _first_inside(share, directions)
    if least is None:
        smallest = min(reached, key=lambda values: max(budget.used(values).values()))
        over = [word for word, limit in budget.limits.items() if smallest[word] > limit]
        raise BudgetError(
            f"budget {budget}: nothing that {name} makes is inside; the smallest that was reached has "
            f"{', '.join(f'{word} {quantity(word, smallest[word], up=True)}' for word in over)}; raise the limit."
        )
    phis = _grown(share, dict.fromkeys(directions, least), directions, FURTHEST)
    for direction in directions if len(directions) > 1 else ():
        if share(phis) < ENOUGH:
            phis = _grown(share, phis, (direction,), phis[direction] + LOPSIDED)
    return _multipliers(_traded(share, phis) if len(directions) > 1 else phis)


def _traded(share: Share, start: dict[str, float]) -> dict[str, float]:
    """Depth for width, or width for depth, where that fills what coarse steps left over; `start` where nothing does."""
    best = start
    for shift in TRADES:
        if share(best) >= ENOUGH:
            break
        moved = {"depth": start["depth"] + shift, "width": start["width"] - max(shift, 0.0) - STEP}
        try:
            if share(moved) <= 1:
                moved = _grown(share, moved, ("width",), start["width"] + LOPSIDED)
                best = max(best, moved, key=share)
        except SpecError:  # a factory may make nothing so small
            continue
    return best


def _multipliers(phis: Mapping[str, float]) -> tuple[float, float]:
    """(depth, width) with four digits: what is printed, and given again, means the same module."""
    depth, width = (min(round(BASES[each] ** phis.get(each, 0.0), 4), LARGEST) for each in ("depth", "width"))
    return depth, width


def _first_inside(share: Share, directions: tuple[str, ...]) -> float | None:
    """The first phi from 0 downwards that is inside; None when the factory makes nothing so small."""
    phi, step = 0.0, STEP
    while phi >= -FURTHEST:
        try:
            used = share(dict.fromkeys(directions, phi))
        except SpecError:
            if phi == 0:
                raise  # its own size: the code is wrong, and the line says where
            return None
        if used <= 1:
            return phi
        phi, step = phi - max(step, _way(used, directions)), 2 * step
    return None


def _grown(share: Share, start: Mapping[str, float], directions: tuple[str, ...], most: float) -> dict[str, float]:
    """From `start` (inside) along `directions` to the last phi that is inside, as far as `most`.

    Costs grow about exponentially with phi: the next guess is where that line meets the limit, and every other time the
    middle, because rounding makes steps of it.
    """

    def moved(phi: float) -> dict[str, float]:
        return {**start, **dict.fromkeys(directions, phi)}

    low, high = start[directions[0]], math.inf
    used, over, step = share(start), math.inf, STEP
    for number in range(PATIENCE):
        if used >= ENOUGH or low >= most or high - low <= CLOSE:
            break
        if high == math.inf:
            guess, step = min(most, low + max(step, _way(1 / used, directions))), 2 * step
        else:
            part = math.log(AIM / used) / math.log(over / used) if number % 2 else 0.5
            guess = low + min(max(part, 0.1), 0.9) * (high - low)
        found = share(moved(guess))
        if found <= 1:
            low, used = guess, found
        else:
            high, over = guess, found
    return moved(low)


def _way(ratio: float, directions: tuple[str, ...]) -> float:
    """How much phi makes costs `ratio` times as large."""
    return math.log(ratio) / sum(POWERS[each] * math.log(BASES[each]) for each in directions)
