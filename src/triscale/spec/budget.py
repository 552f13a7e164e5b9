"""Budgets: "macs<=1.2G, params<=8M" as data, and the largest network of a family that is inside one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from triscale.errors import BudgetError
from triscale.spec.cost import cost
from triscale.spec.network import Network
from triscale.spec.scaling import ALPHA, BETA, GAMMA, scale

Measure = Callable[[Network], float]
Direction = Literal["depth", "width", "resolution"]

COUNTED = ("params", "macs", "activations", "memory")
MEASURED = ("latency", "size")
DIRECTIONS: tuple[Direction, ...] = ("depth", "width", "resolution")

_COUNTS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
UNITS: dict[str, dict[str, float]] = {
    "params": _COUNTS,
    "macs": _COUNTS,
    "activations": _COUNTS,
    "memory": _BYTES,
    "size": _BYTES,
    "latency": _SECONDS,
}

_LIMIT = re.compile(r"\s*([A-Za-z_]+)\s*(<=|≤)\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ]*)\s*")

FURTHEST = 40.0  # |phi| beyond which nothing changes any more (small) or nothing fits any machine (large)
LOPSIDED = (2.0, 4.0, 8.0)  # by how much phi one direction may outgrow the others to fill what rounding left over
ENOUGH = 0.95  # share of a limit beyond which no network is made more lopsided


@dataclass(frozen=True, slots=True)
class Budget:
    """Hard limits, by word: counts as such, memory and size in bytes, latency in seconds."""

    limits: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{word}<={quantity(word, limit)}" for word, limit in self.limits.items())

    def used(self, values: Mapping[str, float]) -> dict[str, float]:
        """Share of each limit that `values` uses; above 1 is over."""
        return {word: values[word] / limit for word, limit in self.limits.items()}


def parse(text: str) -> Budget:
    """Read a budget such as "macs<=1.2G, params<=8M, latency<=12ms".

    Words: macs, params, activations (K, M, G, T); memory, size (B, KB, MB, GB, KiB, MiB, GiB); latency (us, ms, s).
    Raises: BudgetError naming the word, the unit or the place that cannot be read.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        match = _LIMIT.fullmatch(part)
        if match is None:
            raise BudgetError(f'budget {text!r}: cannot read {part.strip()!r}; write limits as "macs<=1G, params<=8M".')
        word, _, number, unit = match.groups()
        if word not in UNITS:
            near = difflib.get_close_matches(word.lower(), UNITS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            if word.lower() in ("flops", "flop", "madds"):
                hint = "multiply-accumulates are called 'macs' here. "
            raise BudgetError(f"budget {text!r}: unknown word {word!r}; {hint}Known: {', '.join(UNITS)}.")
        if word in limits:
            raise BudgetError(f"budget {text!r}: {word} is limited twice; give it once.")
        units = UNITS[word]
        factor = units.get(unit, units.get(unit.upper()) if unit.upper() in units else None)
        if factor is None:
            known = ", ".join(each for each in units if each)
            raise BudgetError(f"budget {text!r}: {word} has unknown unit {unit!r}; known: {known}.")
        limits[word] = float(number.replace("_", "")) * factor
        if not 0 < limits[word] < math.inf:
            raise BudgetError(f"budget {text!r}: {word} must be above zero, got {number}{unit}.")
    return Budget(limits)


def quantity(word: str, value: float) -> str:
    """A value of a budget word with the largest unit that keeps it at or above 1."""
    units = UNITS[word]
    plain = [(name, factor) for name, factor in units.items() if "i" not in name]
    name, factor = max((u for u in plain if value >= u[1]), key=lambda u: u[1], default=plain[0])
    return f"{value / factor:.4g}{name}"


def counted(network: Network) -> dict[str, float]:
    """The four costs that are arithmetic, by budget word, at the network's own resolution."""
    own = cost(network)
    return {"params": own.params, "macs": own.macs, "activations": own.activations, "memory": own.memory}


def measured(network: Network, budget: Budget, measures: Mapping[str, Measure]) -> dict[str, float]:
    """Every value that `budget` limits; measures are called only where the arithmetic is inside already."""
    values = counted(network)
    if all(values[word] <= limit for word, limit in budget.limits.items() if word in COUNTED):
        values |= {word: measures[word](network) for word in budget.limits if word in MEASURED}
    else:
        values |= {word: math.inf for word in budget.limits if word in MEASURED}
    return values


def solve(
    network: Network,
    budget: Budget,
    measures: Mapping[str, Measure] | None = None,
    *,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    directions: tuple[Direction, ...] = DIRECTIONS,
    largest: float = FURTHEST,
) -> Network:
    """The network of a compound-scaled family that makes the most of a budget.

    The largest phi inside every limit, then what rounding left over is filled by letting fewer directions grow on.

    network: the baseline (phi 0); it may come out smaller or larger.
    measures: for latency (seconds) and size (bytes), if the budget limits them; a measure may be slow, so it is asked
        only where the counted limits hold, and as seldom as a search over phi allows.
    directions: what may change; ("resolution",) keeps the weights' shapes.
    largest: the largest phi tried; 0 never grows beyond the baseline.
    Returns: a Network inside every limit.
    Raises: BudgetError when nothing is, with the smallest that can be reached; or when a measure is missing.
    """
    measures = measures or {}
    for word in budget.limits:
        if word in MEASURED and word not in measures:
            raise BudgetError(f"budget {budget}: {word} must be measured on an exported file; pass a measure for it.")
    bases = {"depth": alpha, "width": beta, "resolution": gamma}
    smallest = _smallest_side(network)

    def at(phis: Mapping[Direction, float]) -> Network:
        r = max(bases["resolution"] ** phis["resolution"], smallest)
        return scale(network, bases["depth"] ** phis["depth"], bases["width"] ** phis["width"], r)

    search = _Search(budget, measures)
    start = dict.fromkeys(DIRECTIONS, 0.0)
    least = {**start, **dict.fromkeys(directions, -FURTHEST)}
    if not search.inside(at(least)):
        raise BudgetError(_impossible(network, at(least), budget, measures))
    phis = search.furthest(at, least, directions, largest)
    for lopsided in LOPSIDED:
        phis = search.fill(at, phis, directions, lopsided, largest)
        if search.share(at(phis)) >= ENOUGH:
            break
    return replace(at(phis), name=f"{network.name}@{_slug(budget)}") if any(phis.values()) else network


class _Search:
    """Remembers what was measured, so that no network is measured twice."""

    def __init__(self, budget: Budget, measures: Mapping[str, Measure]) -> None:
        self.budget, self.measures = budget, measures
        self.known: dict[Network, float] = {}
        self.slow = any(word in MEASURED for word in budget.limits)

    def share(self, network: Network) -> float:
        """The largest share of a limit that is used; above 1 is over the budget."""
        if network not in self.known:
            self.known[network] = max(self.budget.used(measured(network, self.budget, self.measures)).values())
        return self.known[network]

    def inside(self, network: Network) -> bool:
        return self.share(network) <= 1.0

    def fill(
        self,
        at: Callable[[Mapping[Direction, float]], Network],
        phis: dict[Direction, float],
        directions: tuple[Direction, ...],
        lopsided: float,
        largest: float,
    ) -> dict[Direction, float]:
        """Let fewer and fewer directions grow on until each is held back by a limit.

        A direction that no limit holds back (resolution, when only parameters count) stays where compound scaling put it.
        """
        for size in range(len(directions) - 1, 0, -1):
            for chosen in combinations(directions, size):
                cap = min(largest, max(phis.values()) + lopsided)
                filled = self.furthest(at, phis, chosen, cap)
                if all(filled[each] < cap for each in chosen):
                    phis = filled
        return phis

    def furthest(
        self,
        at: Callable[[Mapping[Direction, float]], Network],
        start: Mapping[Direction, float],
        directions: tuple[Direction, ...],
        largest: float,
    ) -> dict[Direction, float]:
        """Go from `start` (inside) along `directions` to the last phi that is inside.

        Costs never fall as phi grows, so bisection finds it; a slow measure gets a coarser end.
        """

        def moved(phi: float) -> dict[Direction, float]:
            return {**start, **{each: max(start[each], phi) for each in directions}}

        def fits(phi: float) -> bool:
            return self.inside(at(moved(phi)))

        low, high = _bracket(fits, min(start[each] for each in directions), largest)
        while high - low > (0.1 if self.slow else 1e-3):
            middle = (low + high) / 2
            low, high = (middle, high) if fits(middle) else (low, middle)
        return moved(low)


def _bracket(fits: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """(inside, outside) around the edge of a budget, by doubling steps from 0; equal when all up to `high` is inside.

    `low` is known to be inside. Far ends are never tried first: a network at phi 40 has thousands of blocks.
    """
    step = 0.5
    inside, outside = low, min(max(low, 0.0), high)
    if outside > low and not fits(outside):
        while True:
            inside = max(low, outside - step)
            if inside == low or fits(inside):
                return inside, outside
            outside, step = inside, 2 * step
    inside = outside
    while inside < high:
        outside = min(high, inside + step)
        if not fits(outside):
            return inside, outside
        inside, step = outside, 2 * step
    return inside, inside


def _smallest_side(network: Network) -> float:
    """The resolution multiplier below which the last map would have less than one pixel of the network's stride."""
    stride = max(network.reductions())
    return min(1.0, stride / min(network.resolution))


def _impossible(network: Network, least: Network, budget: Budget, measures: Mapping[str, Measure]) -> str:
    values = counted(least)
    over = [word for word in budget.limits if word in COUNTED and values[word] > budget.limits[word]]
    if not over:
        values |= {word: measures[word](least) for word in budget.limits if word in MEASURED}
        over = [word for word in budget.limits if values[word] > budget.limits[word]]
    reached = ", ".join(f"{word} {quantity(word, values[word])}" for word in over)
    return (
        f"budget {budget}: nothing of {network.name} with {network.classes} classes is inside; "
        f"the smallest that can be reached has {reached}; raise the limit, or start from a smaller network."
    )


def _slug(budget: Budget) -> str:
    return ",".join(f"{word}{quantity(word, limit)}" for word, limit in budget.limits.items())


def fit_budget(network: Network, budget: str) -> Network:
    """`network`, compound-scaled to make the most of a budget of params, macs, activations or memory.

    Example: fit_budget(network("efficientnet_b0"), "macs<=1G, params<=8M")
    Raises: BudgetError; see `parse` and `solve`.
    """
    return solve(network, parse(budget))
