"""The largest network of a family, or the largest detector, that is inside a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Generic, NamedTuple

from triscale.errors import BudgetError, SpecError
from triscale.spec.checks import shown
from triscale.spec.limits import COUNTED, MEASURED, Budget, Measure, counted, measured, parse, quantity
from triscale.spec.predicted import predict_then_measure
from triscale.spec.rules import COMPOUND, DIRECTIONS, RULES, Direction, Multipliers, Rule, RuleName
from triscale.spec.scaling import ALPHA, BETA, GAMMA
from triscale.spec.secant import AIM, SATISFIED, secant
from triscale.spec.space import FURTHEST, Phis, Space
from triscale.spec.subject import Subject

__all__ = [
    "Budget",
    "Measure",
    "Solution",
    "counted",
    "fit_budget",
    "measured",
    "parse",
    "quantity",
    "solution",
    "solve",
]

LOPSIDED = (2.0, 4.0, 8.0)  # by how much phi one direction may outgrow the others to fill what rounding left over
ENOUGH = 0.95  # share of a counted limit beyond which no network is made more lopsided
PATIENCE, PATIENCE_TO_FILL = 11, 4  # most measurements along phi, and along resolution alone
FILLING: tuple[Direction, ...] = ("resolution", "width")  # in this order, what a measured latency leaves over
BLIND = ("params", "size")  # limits that do not see pixels
LARGEST_BASE = 10.0  # of alpha, beta and gamma: one step of phi never makes more than ten times as much


class Solution(NamedTuple, Generic[Subject]):
    """What a budget allows: the network (or detector), and what its depth, width and resolution were multiplied by.

    multipliers: of a detector that grew by EfficientDet's rule, those of its backbone.
    """

    network: Subject
    multipliers: Multipliers


def fit_budget(network: Subject, budget: str, rule: RuleName = "compound") -> Subject:
    """`network` (or a detector), scaled to make the most of a budget of params, macs, activations or memory.

    Example: fit_budget(network("efficientnet_b0"), "macs<=1G, params<=8M")
    rule: "compound" (Tan & Le; of a detector EfficientDet's), "fast" (Dollár et al.), or one direction alone: "depth",
        "width", "resolution".
    Returns: the same kind, inside every limit; its name tells the budget, and the rule where it is not compound.
    Raises: BudgetError; see `parse` and `solve`. SpecError for an unknown rule.
    """
    if rule not in RULES:
        raise SpecError(f"fit_budget's rule must be one of {', '.join(RULES)}; got {shown(rule)}.")
    return solution(network, parse(budget), rule=RULES[rule]).network


def solve(
    network: Subject,
    budget: Budget,
    measures: Mapping[str, Measure[Subject]] | None = None,
    *,
    predictions: Mapping[str, Measure[Subject]] | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    directions: tuple[Direction, ...] = DIRECTIONS,
    largest: float = FURTHEST,
) -> Subject:
    """The network of a compound-scaled family that makes the most of a budget; see `solution`.

    directions: what may change; ("resolution",) keeps the weights' shapes.
    """
    rule = Rule("compound", alpha, beta, gamma)
    return solution(
        network, budget, measures, predictions=predictions, rule=rule, directions=directions, largest=largest
    ).network


def solution(
    network: Subject,
    budget: Budget,
    measures: Mapping[str, Measure[Subject]] | None = None,
    *,
    predictions: Mapping[str, Measure[Subject]] | None = None,
    rule: Rule = COMPOUND,
    directions: tuple[Direction, ...] | None = None,
    largest: float = FURTHEST,
) -> Solution[Subject]:
    """The network that makes the most of a budget when it grows by `rule`, and its multipliers.

    Counted limits: the largest phi inside them, then what rounding left over is filled by letting fewer directions grow
    on. Measured limits: from there down along phi, with as few measurements as a secant search needs.

    network: the baseline (phi 0); it may come out smaller or larger.
    measures: for latency (seconds) and size (bytes), where the budget limits them; asked only inside counted limits.
    predictions: quick and rough ones of the same; where each measured limit has one, candidates are searched with them
        and measures are asked for the few that remain. What comes back was measured either way.
    directions: what may change; by default all that the rule changes.
    largest: the largest phi tried; 0 never grows beyond the baseline.
    Returns: a Network inside every limit; the multipliers are the rule's, but for what was filled.
    Raises: BudgetError when nothing is, with the smallest that can be reached; or when a measure is missing.
    """
    measures = measures or {}
    directions = rule.directions if directions is None else directions
    _check(budget, measures, rule, directions, largest)
    space = Space(network, rule, directions, largest)
    arithmetic = Budget({word: limit for word, limit in budget.limits.items() if word in COUNTED})
    phis: Phis = _within_counted(space, arithmetic) if arithmetic.limits else space.start(largest)
    if len(arithmetic.limits) < len(budget.limits):
        phis = _within_measured(space, phis, budget, measures, predictions or {})
    made = space.at(phis)
    if made == network:
        return Solution(network, Multipliers(1.0, 1.0, 1.0))
    suffix = "" if rule.name == "compound" else f"-{rule.name}"
    return Solution(replace(made, name=f"{network.name}@{_slug(budget)}{suffix}"), space.multipliers(phis))


def _check(
    budget: Budget,
    measures: Mapping[str, Measure[Subject]],
    rule: Rule,
    directions: tuple[Direction, ...],
    largest: float,
) -> None:
    """Raise BudgetError for what no search can answer."""
    if not budget.limits or not directions:
        raise BudgetError('a budget needs at least one limit and one direction; write it as "macs<=1G, params<=8M".')
    if not all(1 <= base <= LARGEST_BASE for base in (rule.alpha, rule.beta, rule.gamma)):
        raise BudgetError(
            f"alpha, beta and gamma must be in 1..{LARGEST_BASE:g} so that costs grow with phi, "
            f"got {rule.alpha:g}, {rule.beta:g} and {rule.gamma:g}."
        )
    for word in budget.limits:
        if word in MEASURED and word not in measures:
            raise BudgetError(f"budget {budget}: {word} must be measured on an exported file; pass a measure for it.")
    if directions == ("resolution",) and largest > 0 and not set(budget.limits) - set(BLIND):
        raise BudgetError(
            f"budget {budget}: {' and '.join(budget.limits)} do not depend on resolution, so nothing would stop it "
            "from growing; limit macs, activations, memory or latency too, or scale by another rule."
        )


def _within_counted(space: Space[Subject], budget: Budget) -> dict[Direction, float]:
    def share(phis: Phis) -> float:
        made = space.made(phis)
        return math.inf if made is None else max(budget.used(counted(made)).values())

    least = space.start(space.smallest())
    if share(least) > 1:
        raise _impossible(space, budget, counted(space.at(least)))
    phis = _furthest(share, least, space.directions, space.largest)
    for lopsided in LOPSIDED:
        phis = _filled(share, phis, space, lopsided)
        if share(phis) >= ENOUGH:
            break
    return _at_own_size(share, phis, space)


def _at_own_size(
    share: Callable[[Phis], float], phis: dict[Direction, float], space: Space[Subject], largest: float = 0.0
) -> dict[Direction, float]:
    """Resolution back at the baseline's where compound scaling shrank it for nothing: parameters know no pixels."""
    own: dict[Direction, float] = {**phis, "resolution": min(0.0, largest, space.largest)}
    shrunk = "resolution" in space.directions and phis["resolution"] < own["resolution"]
    return own if shrunk and share(own) <= 1 else phis


def _filled(
    share: Callable[[Phis], float], phis: dict[Direction, float], space: Space[Subject], lopsided: float
) -> dict[Direction, float]:
    """Let fewer and fewer directions grow on until each is held back by a limit.

    A direction that no limit holds back (resolution, when only parameters count) stays where compound scaling put it.
    """
    for size in range(len(space.directions) - 1, 0, -1):
        for chosen in combinations(space.directions, size):
            cap = min(space.largest, max(phis.values()) + lopsided)
            filled = _furthest(share, phis, chosen, cap)
            if all(filled[each] < cap for each in chosen):
                phis = filled
    return phis


def _furthest(
    share: Callable[[Phis], float], start: Phis, directions: tuple[Direction, ...], largest: float
) -> dict[Direction, float]:
    """Go from `start` (inside) along `directions` to the last phi that is inside: costs never fall as phi grows."""

    def moved(phi: float) -> dict[Direction, float]:
        return {**start, **{each: max(start[each], phi) for each in directions}}

    def fits(phi: float) -> bool:
        return share(moved(phi)) <= 1

    low, high = _bracket(fits, min(start[each] for each in directions), largest)
    while high - low > 1e-3:
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


def _within_measured(
    space: Space[Subject],
    limit: Phis,
    budget: Budget,
    measures: Mapping[str, Measure[Subject]],
    predictions: Mapping[str, Measure[Subject]],
) -> dict[Direction, float]:
    """From the networks that no counted limit forbids, the largest whose measurements are inside."""
    known: dict[Subject, dict[str, float]] = {}

    def used_by(phis: Phis) -> dict[str, float]:
        made = space.at(phis)
        if made not in known:
            known[made] = budget.used(measured(made, budget, measures))
        return known[made]

    def share(phis: Phis) -> float:
        return max(used_by(phis).values())

    def capped(phi: float) -> dict[Direction, float]:
        return {each: min(limit[each], phi) if each in space.directions else 0.0 for each in DIRECTIONS}

    if all(word in predictions for word in budget.limits if word in MEASURED):
        found = _predicted(space, limit, budget, predictions, used_by)
        if found is not None:
            return found if "latency" in budget.limits else _at_own_size(share, found, space, limit["resolution"])
    least, top = space.smallest(), max(limit[each] for each in space.directions)
    guess = min(top, 0.0) if top == space.largest else top
    phi = secant(lambda phi: share(capped(phi)), least, top, guess, space.growth(space.directions), PATIENCE)
    if phi is None:
        raise _impossible(space, budget, measured(space.at(space.start(least)), budget, measures))
    phis = capped(phi)
    used = share(phis)
    if used < SATISFIED and phi < top and "resolution" in space.directions:
        # Depth and width come in steps; pixels fill what those leave over, where the limit depends on them.
        own, cap = phis["resolution"], min(limit["resolution"], phis["resolution"] + LOPSIDED[0])
        growth = space.growth(("resolution",))
        guess = min(cap, own + math.log(AIM / used) / math.log(growth))
        filled = secant(lambda r: share({**phis, "resolution": r}), own, cap, guess, growth, PATIENCE_TO_FILL)
        if filled is not None and share({**phis, "resolution": filled}) > used:
            phis["resolution"] = filled
    # Latency always knows pixels: no measurement is spent on it.
    return phis if "latency" in budget.limits else _at_own_size(share, phis, space, limit["resolution"])


def _predicted(
    space: Space[Subject],
    limit: Phis,
    budget: Budget,
    predictions: Mapping[str, Measure[Subject]],
    used_by: Callable[[Phis], Mapping[str, float]],
) -> dict[Direction, float] | None:
    """The same by predictions, with a measurement only where they end; None where no such end was inside.

    Counted limits hold for all that is not beyond `limit`.
    """

    def most(used: Mapping[str, float]) -> float:
        return max(used[word] for word in MEASURED if word in used)

    def capped(phis: Phis) -> dict[Direction, float]:
        return {each: min(limit[each], phis[each]) if each in space.directions else 0.0 for each in DIRECTIONS}

    def predicted(phis: Phis) -> float:
        made = space.made(capped(phis))
        return math.inf if made is None else most(budget.used(measured(made, budget, predictions)))

    def largest(wanted: float) -> dict[Direction, float] | None:
        def used(phis: Phis) -> float:
            return predicted(phis) / wanted

        least = space.start(space.smallest())
        if used(least) > 1:
            return None
        phis = _furthest(used, least, space.directions, max(limit[each] for each in space.directions))
        # Depth and width come in steps; pixels fill what those leave over. Where one pixel more makes every later map
        # larger, they come in steps too, and channels fill that.
        for each in FILLING if "latency" in budget.limits else ():
            if each in space.directions:
                phis = _furthest(used, phis, (each,), min(limit[each], phis[each] + LOPSIDED[0]))
        return capped(phis)

    return predict_then_measure(largest, predicted, lambda phis: most(used_by(phis)))


def _impossible(space: Space[Subject], budget: Budget, least: Mapping[str, float]) -> BudgetError:
    # A second measurement may just be inside: then all that is limited is shown.
    over = [word for word, limit in budget.limits.items() if least[word] > limit] or list(budget.limits)
    reached = ", ".join(f"{word} {quantity(word, least[word], up=True)}" for word in over)
    return BudgetError(
        f"budget {budget}: nothing of {space.subject.name} with {space.subject.classes} classes is inside; "
        f"the smallest that can be reached has {reached}; raise the limit, or start from a smaller network.",
        overrun=max(budget.used(least).values()),
    )


def _slug(budget: Budget) -> str:
    return ",".join(f"{word}{quantity(word, limit)}" for word, limit in budget.limits.items())
