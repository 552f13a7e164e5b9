"""The depth and width at which a module makes the most of a budget, found by arithmetic on its traced graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from triscale.errors import BudgetError
from triscale.modules.channels import Group
from triscale.modules.count import ModuleCost
from triscale.modules.plan import STEPS, Analysis, Plan
from triscale.spec.limits import COUNTED, MEASURED, Budget, quantity
from triscale.spec.scaling import ALPHA, BETA

Measure = Callable[[Plan], float]

FURTHEST = 20.0  # phi: depth 38, width 6.7; beyond it no module is what it was
SMALLEST = 1e-6  # a depth and a width at which every stage has one block and every width one step
ENOUGH = 0.95  # share of a counted limit that is looked for
LEVELS = 8  # other depths tried on each side of the compound one
FEW = 6  # groups of which every choice is tried
BEST = 4  # plans that are tried with a step for each width
FINE = 1e-7  # width, relative: where a width changes is known to so much
AIM, SATISFIED = 0.95, 0.9  # of a measured limit: share aimed at, share to stop at
PATIENCE = 11  # most measurements


@dataclass(frozen=True, slots=True)
class Found:
    """A plan that is inside the counted limits, with the largest share of one that it uses."""

    plan: Plan
    share: float


def solve(analysis: Analysis, budget: Budget, measures: Mapping[str, Measure], name: str) -> Plan:
    """The plan that makes the most of a budget: depth and width grow together as in compound scaling.

    measures: of latency (seconds) and size (bytes), for the plan's built module. name: of the module, for errors.
    Returns: a Plan inside every limit; where widths meet a step halfway, they go up as far as the budget has room.
    Raises: BudgetError when nothing is inside, with the smallest that can be reached, or when a measure is missing.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3, without resolution.
    """
    for word in budget.limits:
        if word in MEASURED and word not in measures:
            raise BudgetError(f"budget {budget}: {word} must be measured; pass measures={{{word!r}: ...}} for it.")
    space = _Space(analysis, budget)
    least = analysis.plan(SMALLEST, SMALLEST, STEPS[-1])
    if space.share(least) > 1:
        raise impossible(budget, name, analysis.cost(least).values())
    found = _within_counted(space, Found(least, space.share(least)))
    if all(word in COUNTED for word in budget.limits):
        return found.plan
    return _within_measured(space, found.plan, least, measures, name)


@dataclass(frozen=True, slots=True)
class _Space:
    """Plans of one module against one budget."""

    analysis: Analysis
    budget: Budget

    def share(self, plan: Plan) -> float:
        """The largest share that a plan uses of a counted limit; 0 where none is counted."""
        words = [word for word in self.budget.limits if word in COUNTED]
        values = self.analysis.cost(plan, memory="memory" in words).values() if words else {}
        return max((values[word] / self.budget.limits[word] for word in words), default=0.0)

    def at(self, phi: float, step: int) -> Plan:
        """Compound scaling of depth and width."""
        return self.analysis.plan(ALPHA**phi, BETA**phi, step)


def _within_counted(space: _Space, least: Found) -> Found:
    """One step for all widths if that uses enough of the budget, the coarsest first; else a step for each."""
    tried = [least]
    for step in STEPS:
        phi = _last(lambda p, step=step: space.share(space.at(p, step)) <= 1, -4 * FURTHEST, FURTHEST, 1e-4)
        if phi is None:
            continue
        if phi >= FURTHEST:
            return Found(space.at(phi, step), space.share(space.at(phi, step)))
        for depth in _depths(space.analysis, ALPHA**phi):
            found = _widest(space, depth, BETA**phi, step)
            if found is not None and found.share >= ENOUGH:
                return found
            tried += [found] if found is not None else []
    tried.sort(key=lambda found: -found.share)
    for found in tried[:BEST]:
        tried.append(_filled(space, found, _coarser(space.analysis, found.plan)))
        if tried[-1].share >= ENOUGH:
            break
    return max(tried, key=lambda found: found.share)


def _depths(analysis: Analysis, depth: float) -> Iterator[float]:
    """Depths that make different lengths: the one at hand, then its neighbours, nearest first."""
    lengths = {len(stage.units) for stage in analysis.stages if not stage.fixed_because}
    most = math.ceil(4 * depth) + 1
    levels = sorted({number / n for n in lengths for number in range(1, most * n + 1)})
    yield depth
    at_hand = analysis.plan(depth).lengths
    above = [level for level in levels if level > depth and analysis.plan(level).lengths != at_hand]
    below = [level for level in reversed(levels) if level < depth and analysis.plan(level).lengths != at_hand]
    for number in range(LEVELS):
        yield from below[number : number + 1]
        yield from above[number : number + 1]


def _widest(space: _Space, depth: float, near: float, step: int) -> Found | None:
    """The widest plan of a depth that is inside; widths halfway between steps go up one by one while there is room."""

    def inside(exponent: float) -> bool:
        return space.share(space.analysis.plan(depth, math.exp(exponent), step)) <= 1

    start = math.log(near)
    exponent = _last(inside, start - 16, start + 2, FINE)
    if exponent is None:
        return None
    plan = space.analysis.plan(depth, math.exp(exponent), step)
    if space.share(plan) >= ENOUGH:
        return Found(plan, space.share(plan))
    wider = space.analysis.plan(depth, math.exp(exponent + 2 * FINE), step)
    halfway = {group: [units] for group, units in wider.widths.items() if units > plan.widths[group]}
    return _filled(space, Found(plan, space.share(plan)), halfway)


def _coarser(analysis: Analysis, plan: Plan) -> dict[Group, list[int]]:
    """What each group of a plan would be at other steps, where that is wider: the widest first."""
    options = {}
    for each in analysis.widths:
        units = {each.scaled(plan.width, step) for step in STEPS}
        wider = sorted((u for u in units if u > plan.widths[each.group]), reverse=True)
        if wider:
            options[each.group] = wider
    return options


def _filled(space: _Space, start: Found, options: Mapping[Group, Sequence[int]]) -> Found:
    """Groups take a wider one of their options where the budget has room: the best choice of a few, else the first."""
    groups, best = list(options), start
    orders = [groups, groups[::-1]]
    if len(groups) <= FEW:
        orders = [list(order) for count in range(1, len(groups) + 1) for order in combinations(groups, count)]
    for order in orders:
        found = start
        for group in order:
            for units in options[group]:
                wider = replace(found.plan, widths={**found.plan.widths, group: units})
                share = space.share(wider)
                if share <= 1:
                    found = Found(wider, share)
                    break
        best = max(best, found, key=lambda each: each.share)
    return best


def _last(inside: Callable[[float], bool], low: float, high: float, precision: float) -> float | None:
    """The last value of low..high that is inside, where all below it are; None when not even `low` is."""
    if not inside(low):
        return None
    if inside(high):
        return high
    while high - low > precision:
        middle = (low + high) / 2
        low, high = (middle, high) if inside(middle) else (low, middle)
    return low


def _within_measured(space: _Space, largest: Plan, least: Plan, measures: Mapping[str, Measure], name: str) -> Plan:
    """From the plans that no counted limit forbids, the largest whose measurements are inside.

    Measured costs grow about exponentially with phi: each guess is where the logarithm of the share should reach AIM.
    """
    limits = {word: limit for word, limit in space.budget.limits.items() if word in MEASURED}

    def share(plan: Plan) -> float:
        return max(measures[word](plan) / limit for word, limit in limits.items())

    low, high = math.log(SMALLEST) / math.log(BETA), min(FURTHEST, math.log(largest.width) / math.log(BETA))
    inside: tuple[float, float, Plan] | None = None
    outside: tuple[float, float] | None = None
    guess = min(0.0, high)
    for _ in range(PATIENCE):
        plan = largest if guess >= high else space.at(guess, STEPS[0])
        used = share(plan)
        if used <= 1:
            inside = guess, used, plan
        else:
            outside = guess, used
        if inside and (inside[1] >= SATISFIED or inside[0] >= high):
            break
        guess = _next_guess(guess, used, inside, outside)
        guess = min(max(guess, low), high)
        if inside and outside and outside[0] - inside[0] < 0.02:
            break
    if inside is not None:
        return inside[2]
    values = {word: measures[word](least) for word in limits}
    if all(values[word] <= limit for word, limit in limits.items()):
        return least
    raise impossible(space.budget, name, {**space.analysis.cost(least).values(), **values})


def _next_guess(
    guess: float, used: float, inside: tuple[float, float, Plan] | None, outside: tuple[float, float] | None
) -> float:
    if inside is None or outside is None:
        growth = math.log(ALPHA * BETA**2)
        return guess + math.log(AIM / used) / growth * 1.3
    between = math.log(AIM / inside[1]) / math.log(outside[1] / inside[1])
    return inside[0] + min(max(between, 0.1), 0.9) * (outside[0] - inside[0])


def impossible(budget: Budget, name: str, least: Mapping[str, float]) -> BudgetError:
    """The error of a budget that is too small for everything that a module can become."""
    over = [word for word, limit in budget.limits.items() if least.get(word, 0.0) > limit] or list(budget.limits)
    reached = ", ".join(f"{word} {quantity(word, least[word], up=True)}" for word in over)
    return BudgetError(
        f"budget {budget}: nothing of {name} is inside; the smallest that can be reached has {reached}; raise the "
        f"limit, or start from a smaller module.",
        overrun=max(least[word] / limit for word, limit in budget.limits.items() if word in least),
    )


def over(budget: Budget, cost: ModuleCost) -> bool:
    """Whether a module that was counted again exceeds a counted limit."""
    values = cost.values()
    return any(values[word] > limit for word, limit in budget.limits.items() if word in COUNTED)
