"""Which network: of those inside the budget, the one that should be best on these images; and why not the others.

Published weights come before fresh ones, because few people have the images to learn from nothing. Of those that are
inside at their own size, the best published accuracy wins. Otherwise their resolution is lowered before their weights
are given up, and the one that stays nearest to the size it was trained at wins: weights answer best near that size
(https://arxiv.org/abs/1906.06423). Only then is a baseline scaled to the budget and trained from nothing.

Where the budget holds a network that is clearly larger than the best of those with weights, and of the same family, it
is grown from it: then it begins as the same function, and has room to learn more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from triscale.errors import BudgetError
from triscale.fit.candidate import Candidate, Choice, Known, early_strides, what_changed, with_a_map_left
from triscale.fit.grown import grown_candidate
from triscale.spec.budget import DIRECTIONS, FURTHEST, Direction, solve
from triscale.spec.limits import COUNTED, Budget, Measure, counted, measured, quantity
from triscale.spec.network import Network, as_size
from triscale.spec.scaling import lowres, scale

LEAST_SIDE = 32  # pixels; below it a stride-32 network has no map left
LEAST_KEPT = 0.2  # of its own resolution, below which published weights are given up
ENLARGED = 2  # times the images' own size, beyond which more pixels are only interpolated ones
COARSE = 32  # largest useful sizes are multiples of this
Solver = Callable[..., Network]  # `budget.solve` for what was asked: (network, directions, largest)
PHOTOGRAPH = 256  # pixels from which images are never called small


def choose(
    budget: Budget,
    classes: int,
    image_side: int,
    known: Sequence[Known],
    baselines: Sequence[Network],
    measures: Mapping[str, Measure] | None = None,
    predictions: Mapping[str, Measure] | None = None,
) -> Choice:
    """Choose a network for a data set.

    image_side: median shorter side of the images in pixels. known: networks whose weights are at hand.
    baselines: networks to scale and train from nothing, the preferred one first. predictions: as `budget.solve` takes.
    Raises: BudgetError when nothing is inside the budget, with the smallest that can be reached.
    """
    measures = measures or {}

    def solved(network: Network, directions: tuple[Direction, ...] = DIRECTIONS, largest: float = FURTHEST) -> Network:
        return solve(network, budget, measures, predictions=predictions, directions=directions, largest=largest)

    cap = largest_useful_side(image_side)
    candidates = [c for each in known for c in _with_weights(each, budget, classes, cap, measures, solved)]
    refusals: list[BudgetError] = []
    best = min((c for c in candidates if c.inside), key=_preference, default=None)
    grown = best and grown_candidate(best, known, baselines, budget, classes, cap, measures)
    if grown:
        candidates.append(grown)
    slow = any(word not in COUNTED for word in budget.limits)
    for baseline in baselines:
        # Measuring takes minutes: where limits need it, no baseline is scaled once something else is inside.
        if slow and any(c.inside for c in candidates):
            break
        try:
            candidates.append(_from_nothing(baseline, budget, classes, image_side, cap, measures, solved))
        except BudgetError as error:
            refusals.append(error)
    possible = sorted((c for c in candidates if c.inside), key=_preference)
    if not possible:
        none = BudgetError(f"budget {budget}: there is no network to choose from.")
        raise min(refusals, key=lambda each: each.overrun, default=none)
    chosen, *others = possible
    rejected = [*others, *(c for c in candidates if not c.inside)]
    return Choice(
        replace(chosen, reason=_why(chosen)),
        tuple(replace(c, reason=_why_not(c, chosen, budget)) for c in rejected),
        _notes(chosen, image_side, cap),
    )


def largest_useful_side(image_side: int) -> int | None:
    """Pixels beyond which images of this size are only enlarged; None for photographs."""
    if image_side >= PHOTOGRAPH:
        return None
    return max(LEAST_SIDE, -(-ENLARGED * image_side // COARSE) * COARSE)


def _with_weights(
    each: Known, budget: Budget, classes: int, cap: int | None, measures: Mapping[str, Measure], solved: Solver
) -> list[Candidate]:
    """The network at its own size; and at less, where that is over the budget or larger than the images call for."""
    own = replace(each.network, name=each.name, classes=classes)
    side = min(own.resolution)
    small = cap is not None and cap < side
    candidates: list[Candidate] = []
    values = counted(own) if small else measured(own, budget, measures)
    limits = {word: limit for word, limit in budget.limits.items() if word in values}
    inside = all(values[word] <= limit for word, limit in limits.items()) and not small
    candidates.append(Candidate(own, each.name, each.top1, 1.0, values, inside, "at its own size"))
    if inside:
        return candidates
    start = replace(scale(own, resolution=cap / side), name=own.name) if small and cap else own
    try:
        lowered = solved(with_a_map_left(start), ("resolution",), 0.0)
    except BudgetError:
        return candidates
    now = min(lowered.resolution)
    if now < max(LEAST_SIDE, LEAST_KEPT * side):
        return candidates
    scaled = f"resolution {side} → {now} px" + early_strides(own, lowered)
    lowered = replace(lowered, name=f"{each.name}@{now}px")
    values = measured(lowered, budget, measures)
    return [*candidates, Candidate(lowered, each.name, each.top1, now / side, values, True, scaled)]


def _from_nothing(
    baseline: Network,
    budget: Budget,
    classes: int,
    image_side: int,
    cap: int | None,
    measures: Mapping[str, Measure],
    solved: Solver,
) -> Candidate:
    """A baseline compound-scaled to the budget; for small images in its low-resolution form, at their own size."""
    start = replace(baseline, classes=classes)
    if cap is None:
        made = solved(start)
    else:
        native = max(LEAST_SIDE, -(-image_side // 8) * 8)
        small = replace(start, resolution=as_size(min(native, *start.resolution)))
        small = replace(lowres(small, native), name=baseline.name)
        try:
            made = solved(small, ("depth", "width"))
        except BudgetError:
            made = solved(small)
    scaled = what_changed(baseline, made) + early_strides(baseline, made)
    return Candidate(made, None, None, None, measured(made, budget, measures), True, scaled)


def _preference(candidate: Candidate) -> tuple[int, float, float]:
    """Sorts best first: grown, weights at their own size by accuracy, lowered ones by how little, fresh ones."""
    if candidate.grown:
        return -1, 0.0, 0.0
    if candidate.kept is None:
        return 2, 0.0, 0.0
    accuracy = candidate.top1 or 0.0
    return (0, -accuracy, 0.0) if candidate.kept == 1 else (1, -candidate.kept, -accuracy)


def _notes(chosen: Candidate, image_side: int, cap: int | None) -> tuple[str, ...]:
    notes = []
    if cap is not None:
        notes.append(f"the images are about {image_side} px: beyond {cap} px they would only be enlarged")
    if "low-resolution" in chosen.scaled:
        notes.append(f"small images, so the network takes its {chosen.scaled.split('; ')[-1]}")
    return tuple(notes)


def _why(chosen: Candidate) -> str:
    if chosen.grown:
        return (
            f"the budget holds a clearly larger network than those with published weights: it begins as the same "
            f"function as {chosen.weights} and has room to learn more; it has no published accuracy of its own"
        )
    if chosen.kept is None:
        return "no network with published weights can be brought inside this budget: a baseline was scaled to it"
    if chosen.kept == 1:
        return f"the best published accuracy ({chosen.top1:.1%} on ImageNet) of those with weights inside the budget"
    return (
        f"its weights stay nearest to the size that they were trained at ({chosen.kept:.0%}); "
        f"lowering the resolution keeps them, other depth or width would not"
    )


def _why_not(candidate: Candidate, chosen: Candidate, budget: Budget) -> str:
    over = [w for w, limit in budget.limits.items() if w in candidate.values and candidate.values[w] > limit]
    if over:
        return "over the budget: " + ", ".join(excess(word, candidate.values[word], budget) for word in over)
    if not candidate.inside:
        return "larger than these images call for"
    if candidate.kept is None:
        return "would start from nothing, and published weights fit the budget" if chosen.weights else "second baseline"
    if chosen.grown:
        return f"clearly smaller than the budget allows, and the chosen network starts from {chosen.weights}"
    if candidate.kept == 1:
        return f"published accuracy {candidate.top1:.1%}, that of the chosen one is {chosen.top1:.1%}"
    if chosen.kept == 1:
        return "the chosen network runs at the size that its weights were trained at"
    return (
        f"only {candidate.kept:.0%} of the size that its weights were trained at, the chosen one {chosen.kept or 0:.0%}"
    )


def excess(word: str, value: float, budget: Budget) -> str:
    """By how much a limit is exceeded; only the limit where that was not measured."""
    limit = quantity(word, budget.limits[word])
    return f"{word} {quantity(word, value)} of {limit}" if value < float("inf") else f"{word} (limit {limit})"
