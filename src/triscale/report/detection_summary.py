"""A detector's evaluation as the plain values that a page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triscale.data.detection.dataset import BoxSample
from triscale.data.member import ImagePlace
from triscale.detection.detections import Detections
from triscale.errors import SpecError
from triscale.training.detection.errors import KINDS, Errors
from triscale.training.detection.evaluation import BoxClass, DetectionDetails, DetectionEvaluation

WORST = 12  # images that a page shows
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class TrueBox:
    """An object of an image. box: (x1, y1, x2, y2) in its pixels. found: whether a box was told for it."""

    box: Box
    name: str
    found: bool


@dataclass(frozen=True, slots=True)
class ToldBox:
    """A box that was told. kind: of its mistake, one of `KINDS`; empty where it is right."""

    box: Box
    name: str
    score: float
    kind: str


@dataclass(frozen=True, slots=True)
class JudgedImage:
    """One image with its objects and the boxes that were told of it, the surest first; crowds are not among them."""

    path: ImagePlace
    objects: tuple[TrueBox, ...]
    told: tuple[ToldBox, ...]

    def mistakes(self) -> dict[str, int]:
        """How many mistakes of each kind there are: wrong boxes, and objects that are not found."""
        counts = Counter(each.kind for each in self.told if each.kind)
        lost = sum(not each.found for each in self.objects)
        return dict(counts) | ({"not found": lost} if lost else {})


@dataclass(frozen=True, slots=True)
class DetectionSummary:
    """How good a detector is. Rates in 0..1; what they are stands in `DetectionEvaluation` and `DetectionDetails`.

    split: "test", "val", "train" or "all". figures: COCO's twelve, nan where there is nothing. loss: nan where it is
    not known. confusion: (classes + 1, classes + 1), the last row and column are background. worst: judged images.
    """

    split: str
    images: int
    objects: int
    figures: dict[str, float]
    loss: float
    threshold: float
    precision: float
    recall: float
    f1: float
    classes: tuple[BoxClass, ...]
    confusion: tuple[tuple[int, ...], ...]
    errors: tuple[Errors, ...]
    worst: tuple[JudgedImage, ...]


def detection_summary(
    evaluation: DetectionEvaluation,
    found: Sequence[Detections],
    samples: Sequence[BoxSample],
    split: str,
    worst: int = WORST,
) -> DetectionSummary:
    """What a page shows of an evaluation, of `found` on `samples`.

    worst: how many of the images with the most mistakes.
    Raises: SpecError for a quick evaluation, which has no details.
    """
    details = evaluation.details
    if details is None:
        raise SpecError("a page shows all of an evaluation; score the boxes without quick=True.")
    return DetectionSummary(
        split, evaluation.count, evaluation.objects, evaluation.figures, evaluation.loss, details.threshold,
        details.precision, details.recall, details.f1, details.classes,
        tuple(tuple(row) for row in details.confusion.tolist()), details.errors,
        tuple(judged_image(details, found, samples, image) for image in details.worst[:worst]),
    )  # fmt: skip


def judged_image(
    details: DetectionDetails, found: Sequence[Detections], samples: Sequence[BoxSample], image: int
) -> JudgedImage:
    """One image, by its number, with what is right and wrong on it at the chosen threshold."""
    matches, names = details.matches, [each.name for each in details.classes]
    told = []
    for row in np.flatnonzero((matches.image == image) & (matches.score >= details.threshold) & ~matches.ignored):
        kind = "" if matches.hit[row] else KINDS[details.kinds[row]]
        box = found[image].boxes[matches.number[row]].tolist()
        told.append(ToldBox(tuple(box), names[matches.label[row]], float(matches.score[row]), kind))
    there = matches.found_at(details.threshold)
    objects = []
    for row in np.flatnonzero(matches.object_image == image):
        label = samples[image].boxes[matches.object_number[row]]
        objects.append(TrueBox((label.x1, label.y1, label.x2, label.y2), names[label.label], bool(there[row])))
    return JudgedImage(samples[image].path, tuple(objects), tuple(told))
