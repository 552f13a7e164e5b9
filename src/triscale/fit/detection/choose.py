"""Which detector: of those inside the budget, the largest on a backbone with trained weights, at the objects' size.

How many pixels a detector needs is told by its smallest objects, not by its family: they must be about as large as its
smallest anchors. Trained backbones come before fresh ones; of several that are inside at that size, the largest wins.
Where none is, resolutions are lowered before weights are given up, and the one that stays nearest to it wins. Only then
is the smallest detector scaled by EfficientDet's rule, and trained from nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from triscale.data.detection.anchors import anchor_report
from triscale.data.detection.dataset import BoxDataset, BoxSample
from triscale.errors import BudgetError
from triscale.fit.choose import excess
from triscale.spec.budget import solve
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import detector
from triscale.spec.limits import Budget, measured
from triscale.spec.network import Size, as_size

# Detectors whose backbones' weights an installed package may carry, the largest first.
BASES = ("efficientdet_lite2", "efficientdet_lite1", "efficientdet_lite0")
SEEN = 20.0  # pixels that a small object should have in the network's input: Lite's smallest anchors are 24
SMALL = 0.1  # share of objects that are smaller than the one that this is asked for
LEAST_SIDE, MOST_SIDE = 128, 768  # pixels; more takes too long to train without a GPU
STEP = 32
LEAST_KEPT = 0.5  # of the size that the objects call for, below which trained weights are given up

DetectorMeasure = Callable[[Detector], float]


@dataclass(frozen=True, slots=True)
class DetectorCandidate:
    """A detector that was looked at.

    weights: name of the network whose trained weights its backbone starts from; None starts from nothing.
    values: what it costs, by budget word. inside: within every limit. scaled: what was changed, in words.
    reason: why it was chosen, or not.
    """

    detector: Detector
    weights: str | None
    values: Mapping[str, float]
    inside: bool
    scaled: str
    reason: str = ""

    @property
    def side(self) -> int:
        """Pixels of each side of its input."""
        return min(self.detector.resolution)


@dataclass(frozen=True, slots=True)
class DetectorChoice:
    """The chosen candidate, what else was looked at (best first), and what a person should know."""

    chosen: DetectorCandidate
    rejected: tuple[DetectorCandidate, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WantedSize:
    """The side of the input that the objects call for, in pixels, and why."""

    side: int
    said: str


def wanted_size(samples: Sequence[BoxSample]) -> WantedSize:
    """How large images should be, told by the sizes of their objects; crowds do not count.

    Nine of ten objects should be at least 20 pixels large (the root of their area) where the image's longer side is
    scaled to the input's; but images are not enlarged for it beyond twice their size.
    """
    longer = statistics.median(max(sample.size) for sample in samples)
    shares = sorted(
        math.sqrt((box.x2 - box.x1) * (box.y2 - box.y1)) / max(sample.size)
        for sample in samples
        for box in sample.boxes
        if not box.crowd
    )
    share = shares[int(SMALL * (len(shares) - 1))] if shares else 1.0
    asked = _rounded(SEEN / share)
    most = min(MOST_SIDE, _rounded(2 * longer))
    side = min(max(asked, LEAST_SIDE), max(most, LEAST_SIDE))
    seen = (
        f"at {side} px nine of ten objects are at least {side * share:.0f} px large, on images of about {longer:.0f} px"
    )
    return WantedSize(side, seen if side >= asked else f"{seen}; {asked} px would show them at {SEEN:.0f} px")


def choose_detector(
    budget: Budget,
    classes: int,
    wanted: WantedSize,
    known: Sequence[str],
    measures: Mapping[str, DetectorMeasure] | None = None,
) -> DetectorChoice:
    """Choose a detector for a data set.

    known: networks whose trained weights are at hand, such as "efficientnet_lite0".
    measures: of latency and size, as `budget.solve` takes them.
    Raises: BudgetError when nothing is inside the budget, with the smallest that can be reached.
    """
    measures = measures or {}
    candidates: list[DetectorCandidate] = []
    for base in BASES:
        weights = _backbone(detector(base))
        if weights in known:
            candidates += _with_weights(base, weights, budget, classes, wanted.side, measures)
            if candidates[-1].inside and candidates[-1].side == wanted.side:
                break  # smaller ones of the same resolution are no better
    if not any(each.inside for each in candidates):
        candidates.append(_from_nothing(budget, classes, wanted.side, measures))
    possible = sorted((each for each in candidates if each.inside), key=lambda each: -each.side)
    chosen = possible[0]
    others = [*possible[1:], *(each for each in candidates if not each.inside)]
    return DetectorChoice(
        replace(chosen, reason=_why(chosen, wanted.side)),
        tuple(replace(each, reason=_why_not(each, chosen, budget)) for each in others),
        (wanted.said,),
    )


def with_fitted_anchors(choice: DetectorChoice, dataset: BoxDataset) -> DetectorChoice:
    """The choice with anchors that reach more of the training objects, as many at each location; what it costs stays.

    The choice itself where none do.
    """
    chosen = choice.chosen
    found = anchor_report(dataset, chosen.detector).fit
    if found.after == found.before:
        return choice
    whole = found.reach[-1]
    note = (
        f"anchors fitted to the training objects: {whole.after:.1%} of them can be reached ({whole.before:.1%} with "
        f"the released anchors), at a mean overlap of {found.overlap_after:.2f} ({found.overlap_before:.2f})"
    )
    made = replace(chosen, detector=replace(chosen.detector, anchors=found.after))
    return replace(choice, chosen=made, notes=(*choice.notes, note))


def at_size(made: Detector, size: int | Size) -> Detector:
    """The same detector for images of `size` pixels."""
    return replace(made, backbone=replace(made.backbone, resolution=as_size(size)))


def _with_weights(
    base: str, weights: str, budget: Budget, classes: int, side: int, measures: Mapping[str, DetectorMeasure]
) -> list[DetectorCandidate]:
    """The detector at the size that the objects call for, and lower where that is over the budget."""
    own = detector(base)
    full = replace(at_size(own, side), name=f"{base}@{side}px", classes=classes)
    values = measured(full, budget, measures)
    inside = all(values[word] <= limit for word, limit in budget.limits.items())
    candidates = [DetectorCandidate(full, weights, values, inside, _resized(own, side))]
    if inside:
        return candidates
    try:
        lowered = solve(full, budget, measures, directions=("resolution",), largest=0.0)
    except BudgetError:
        return candidates
    now = min(lowered.resolution)
    if now < max(LEAST_SIDE, LEAST_KEPT * side):
        return candidates
    lowered = replace(lowered, name=f"{base}@{now}px")
    values = measured(lowered, budget, measures)
    return [*candidates, DetectorCandidate(lowered, weights, values, True, _resized(own, now))]


def _from_nothing(
    budget: Budget, classes: int, side: int, measures: Mapping[str, DetectorMeasure]
) -> DetectorCandidate:
    """The smallest detector by EfficientDet's rule. Raises: BudgetError where nothing is inside."""
    base = BASES[-1]
    start = replace(at_size(detector(base), side), classes=classes)
    made = solve(start, budget, measures)
    scaled = (
        f"depth, width and resolution scaled to the budget: {min(made.resolution)} px, pyramid of "
        f"{made.pyramid.channels} channels, {made.pyramid.repeats} times"
    )
    return DetectorCandidate(made, None, measured(made, budget, measures), True, scaled)


def _backbone(made: Detector) -> str:
    return made.backbone.name.removeprefix("tf_")


def _resized(own: Detector, side: int) -> str:
    before = min(own.resolution)
    return "as published" if before == side else f"resolution {before} → {side} px"


def _rounded(pixels: float) -> int:
    """The next larger multiple of STEP."""
    return math.ceil(pixels / STEP) * STEP


def _why(chosen: DetectorCandidate, side: int) -> str:
    if chosen.weights is None:
        return "no detector on a trained backbone can be brought inside this budget: the smallest one was scaled to it"
    if chosen.side >= side:
        return f"the largest one inside the budget on a trained backbone ({chosen.weights}), at the objects' size"
    return (
        f"its backbone is trained ({chosen.weights}), and its resolution stays nearest to the {side} px that the "
        f"objects call for"
    )


def _why_not(candidate: DetectorCandidate, chosen: DetectorCandidate, budget: Budget) -> str:
    over = [word for word, limit in budget.limits.items() if candidate.values.get(word, 0.0) > limit]
    if over:
        return "over the budget: " + ", ".join(excess(word, candidate.values[word], budget) for word in over)
    return f"would see the objects smaller, at {candidate.side} px; the chosen one has {chosen.side} px"
