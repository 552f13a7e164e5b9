"""The largest module that a factory with depth and width makes inside a budget, found by calling it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triscale.errors import BudgetError, SpecError
from triscale.spec.limits import Budget, quantity
from triscale.spec.scaling import ALPHA, BETA

Counts = Callable[[float, float], Mapping[str, float]]
BASES = {"depth": ALPHA, "width": BETA}
FURTHEST = 24.0  # |phi|; the width is then a tenth or ten times the factory's own
FIRST_STEP, CLOSE = 1.0, 0.02  # of phi: how the search begins, and how near to the edge of the budget it ends
ENOUGH = 0.97  # share of a limit beyond which nothing more is tried
LOPSIDED = 3.0  # by how much phi one multiplier may outgrow the other to fill what rounding left over


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

    phis = dict.fromkeys(directions, 0.0)
    least = _first_inside(share, phis)
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
    return _multipliers(phis)


def _multipliers(phis: Mapping[str, float]) -> tuple[float, float]:
    """(depth, width) with four digits: what is printed, and given again, means the same module."""
    depth, width = (round(BASES[each] ** phis.get(each, 0.0), 4) for each in ("depth", "width"))
    return depth, width


def _first_inside(share: Callable[[Mapping[str, float]], float], start: Mapping[str, float]) -> float | None:
    """The first phi from 0 downwards that is inside; None when the factory makes nothing so small."""
    phi, step = 0.0, FIRST_STEP
    while phi >= -FURTHEST:
        try:
            if share(dict.fromkeys(start, phi)) <= 1:
                return phi
        except SpecError:
            if phi == 0:
                raise  # its own size: the code is wrong, and the line says where
            return None
        phi, step = phi - step, 2 * step
    return None


def _grown(
    share: Callable[[Mapping[str, float]], float], start: Mapping[str, float], directions: tuple[str, ...], most: float
) -> dict[str, float]:
    """From `start` (inside) along `directions` to the last phi that is inside, by doubling steps, then by halves."""

    def moved(phi: float) -> dict[str, float]:
        return {**start, **dict.fromkeys(directions, phi)}

    low = start[directions[0]]
    high, step = min(most, low + FIRST_STEP), FIRST_STEP
    while share(moved(high)) <= 1:
        low, step = high, 2 * step
        if low >= most:
            return moved(low)
        high = min(most, low + step)
    while high - low > CLOSE and share(moved(low)) < ENOUGH:
        middle = (low + high) / 2
        low, high = (middle, high) if share(moved(middle)) <= 1 else (low, middle)
    return moved(low)
