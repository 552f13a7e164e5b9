"""What a detector gets right: COCO's figures; at one threshold, precision, recall, confusion and kinds of mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from triscale.data.detection.dataset import BoxSample
from triscale.detection.detections import Detections
from triscale.errors import TrainingError
from triscale.training.detection.coco import coco_figures
from triscale.training.detection.errors import Errors, errors_by_kind, kinds_of
from triscale.training.detection.matches import Matches, match_boxes
from triscale.training.figures import class_figures

BACKGROUND = "(background)"  # the last row and column of the confusion


@dataclass(frozen=True, slots=True)
class BoxClass:
    """One class on one set of images; rates in 0..1, None where nothing could be counted.

    objects: there are, without crowds. ap, ap50: COCO's; None without objects.
    precision, recall, f1: of boxes at the chosen threshold, which have to overlap an object by IoU .5.
    """

    name: str
    objects: int
    ap: float | None
    ap50: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True, eq=False)
class DetectionDetails:
    """What is beyond COCO's figures: all at one score, at an IoU of one half.

    threshold: the score from which a box counts as told: the one that was given, else that at which F1 over all these
        boxes and objects is largest, infinity where none is right.
    precision, recall, f1: over all of them; precision is 0 where nothing was told.
    classes: figures of each class. confusion: (classes + 1, classes + 1) counts, rows are the truth, columns the
        answer: the last row is background (no object is left for a box), the last column objects without a box.
        What is right is on the diagonal; a wrong box takes the free object that it overlaps by .5 or more.
    errors: mistakes by kind. matches, kinds: every box; see `match_boxes` and `kinds_of`.
    worst: images from the one with the most mistakes (wrong boxes and objects not found) on; only those that have any.
    """

    threshold: float
    precision: float
    recall: float
    f1: float
    classes: tuple[BoxClass, ...]
    confusion: np.ndarray
    errors: tuple[Errors, ...]
    matches: Matches
    kinds: np.ndarray
    worst: tuple[int, ...]

    def metrics(self) -> dict[str, Any]:
        """The figures as plain values."""
        flat = {"threshold": self.threshold if math.isfinite(self.threshold) else None}
        flat |= {name: getattr(self, name) for name in ("precision", "recall", "f1")}
        return flat | {"errors": {each.kind: {"count": each.count, "cost": each.cost} for each in self.errors}}

    def record(self) -> dict[str, Any]:
        """What is too much for `metrics`, as plain values: every class, and what was taken for what."""
        confusion = {"classes": [*(each.name for each in self.classes), BACKGROUND], "counts": self.confusion.tolist()}
        return {"classes": [asdict(each) for each in self.classes], "confusion": confusion}


@dataclass(frozen=True, slots=True, eq=False)
class DetectionEvaluation:
    """One detector on one set of images; rates in 0..1.

    figures: COCO's twelve: map, map50, map75, map_small, map_medium, map_large, mar_1, mar_10, mar_100, mar_small,
        mar_medium, mar_large; nan where there is no object of that size.
    per_class: name -> average precision; classes without objects are left out.
    count, objects: images, and objects on them. loss: nan where it was not computed. seconds: how long it took.
    details: None where only the figures were asked for.
    """

    figures: dict[str, float]
    per_class: dict[str, float]
    count: int
    objects: int
    loss: float
    seconds: float
    details: DetectionDetails | None = None

    @property
    def score(self) -> float:
        """What weights are chosen by: mAP over IoU .5 to .95."""
        return self.figures["map"]

    def rates(self) -> dict[str, float]:
        """Flat rates, as the log holds them; what nothing can be said of is left out."""
        return {name: value for name, value in self.figures.items() if not math.isnan(value)}

    def metrics(self) -> dict[str, Any]:
        """The figures as plain values, as `metrics.json` holds them; None where there is no object of that size."""
        flat = {name: None if math.isnan(value) else value for name, value in self.figures.items()}
        loss = None if math.isnan(self.loss) else self.loss
        more = {} if self.details is None else self.details.metrics()
        return {**flat, **more, "loss": loss, "per_class": self.per_class}

    def at(self, threshold: float) -> DetectionEvaluation:
        """The same answers judged at another score; COCO's figures do not depend on it."""
        own = self.details
        if own is None:
            return self
        names = [each.name for each in own.classes]
        objects = np.array([each.objects for each in own.classes])
        ap, ap50 = [each.ap for each in own.classes], [each.ap50 for each in own.classes]
        return replace(self, details=_details(own.matches, names, objects, ap, ap50, threshold))

    def said(self) -> str:
        """The figures that people ask for first."""
        return f"mAP {self.figures['map']:.2%}, mAP50 {self.figures['map50']:.2%}"

    def sentence(self, split: str) -> str:
        """The same, saying on how many images of which split."""
        return f"{self.said()} on {self.objects:,} objects in {self.count:,} {split} images"


def score_detections(
    found: Sequence[Detections],
    samples: Sequence[BoxSample],
    classes: Sequence[str],
    seconds: float = 0.0,
    loss: float = math.nan,
    quick: bool = False,
    threshold: float | None = None,
) -> DetectionEvaluation:
    """Figures from the boxes that were found.

    found, samples: of the same images in the same order; boxes in pixels of the image. classes: names, in output order.
    quick: only COCO's figures, as in training. threshold: the score for all other figures, such as the one that was
        best on validation images; by default the best on these, which is a little kind to them.
    Raises: TrainingError without an image or an object, for a class or a box that cannot be; MissingExtraError without
        faster-coco-eval.
    """
    _require_sound(found, samples, len(classes))
    objects = np.bincount([b.label for s in samples for b in s.boxes if not b.crowd], minlength=len(classes))
    coco = coco_figures(found, samples, len(classes))
    per_class = {n: float(ap) for n, ap in zip(classes, coco.average_precision, strict=True) if not math.isnan(ap)}
    details = None
    if not quick:
        ap = [_or_none(value) for value in coco.average_precision]
        ap50 = [_or_none(value) for value in coco.average_precision50]
        details = _details(match_boxes(found, samples), classes, objects, ap, ap50, threshold)
    return DetectionEvaluation(coco.values, per_class, len(samples), int(objects.sum()), loss, seconds, details)


def best_threshold(score: np.ndarray, hit: np.ndarray, objects: int) -> float:
    """The score at which F1 = 2 hits / (boxes told + objects) is largest; of equals the highest.

    score, hit: (N,), of the boxes that count. Returns: infinity where no threshold finds anything.
    """
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], hit[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)[: len(ranked)]  # of each run of equal scores
    f1 = 2 * hits[last] / (last + 1 + objects)
    return float(ranked[last[f1.argmax()]]) if len(f1) and f1.max() > 0 else math.inf


def confusion_at(matches: Matches, threshold: float, classes: int) -> np.ndarray:
    """(classes + 1, classes + 1) counts; see `DetectionDetails.confusion`."""
    told = (matches.score >= threshold) & ~matches.ignored
    found = matches.found_at(threshold)
    truth = np.where(matches.hit, matches.label, classes)  # of each box: the class of its object, or background
    lost, wrong = ~found, told & ~matches.hit
    pairs = matches.pairs[wrong[matches.pairs[:, 0]] & lost[matches.pairs[:, 1]]]
    for box, thing in pairs[np.argsort(-matches.score[pairs[:, 0]], kind="stable")].tolist():
        if wrong[box] and lost[thing]:
            wrong[box] = lost[thing] = False
            truth[box] = matches.object_label[thing]
    size = classes + 1
    counts = np.bincount(truth[told] * size + matches.label[told], minlength=size * size)
    counts += np.bincount(matches.object_label[lost] * size + classes, minlength=size * size)
    return counts.reshape(size, size)


def _details(
    matches: Matches,
    classes: Sequence[str],
    objects: np.ndarray,
    ap: Sequence[float | None],
    ap50: Sequence[float | None],
    threshold: float | None,
) -> DetectionDetails:
    counted = ~matches.ignored
    if threshold is None:
        threshold = best_threshold(matches.score[counted], matches.hit[counted], int(objects.sum()))
    told = counted & (matches.score >= threshold)
    kinds = kinds_of(matches)
    answers = np.bincount(matches.label[told], minlength=len(classes))
    hits = np.bincount(matches.label[told & matches.hit], minlength=len(classes))
    rows = class_figures(classes, hits, answers, objects)
    figures = tuple(
        BoxClass(each.name, each.images, ap[i], ap50[i], each.precision, each.recall, each.f1)
        for i, each in enumerate(rows)
    )
    return DetectionDetails(
        threshold=threshold,
        precision=float(hits.sum() / max(1, answers.sum())),
        recall=float(hits.sum() / objects.sum()),
        f1=float(2 * hits.sum() / (answers.sum() + objects.sum())),
        classes=figures,
        confusion=confusion_at(matches, threshold, len(classes)),
        errors=errors_by_kind(matches, kinds, threshold, len(classes)),
        matches=matches,
        kinds=kinds,
        worst=_worst(matches, threshold),
    )


def _worst(matches: Matches, threshold: float) -> tuple[int, ...]:
    """Images with mistakes; of those with as many, the one with the surest wrong box first."""
    wrong = (matches.score >= threshold) & ~matches.hit & ~matches.ignored
    lost = ~matches.found_at(threshold)
    mistakes = np.bincount(matches.image[wrong], minlength=matches.images)
    mistakes += np.bincount(matches.object_image[lost], minlength=matches.images)
    surest = np.zeros(matches.images)
    np.maximum.at(surest, matches.image[wrong], matches.score[wrong])
    order = np.lexsort((-surest, -mistakes))
    return tuple(order[mistakes[order] > 0].tolist())


def require_objects(samples: Sequence[BoxSample]) -> None:
    """Raises: TrainingError where no image has an object; ask before boxes are looked for."""
    if not any(not box.crowd for sample in samples for box in sample.boxes):
        raise TrainingError(
            f"{len(samples)} images to evaluate on have no object, so that nothing can be scored; choose another split."
        )


def _require_sound(found: Sequence[Detections], samples: Sequence[BoxSample], classes: int) -> None:
    if len(found) != len(samples):
        raise TrainingError(f"{len(found)} images were answered, and there are {len(samples)}: one answer an image.")
    require_objects(samples)
    for sample, each in zip(samples, found, strict=True):
        for what, labels in (
            ("the data has", np.array([box.label for box in sample.boxes])),
            ("found was", each.labels),
        ):
            wrong = labels[(labels < 0) | (labels >= classes)]
            if len(wrong):
                raise TrainingError(
                    f"{sample.path}: {what} class {wrong[0]}, and there are {classes}; a label is a position in them."
                )
        if not (np.isfinite(each.boxes).all() and np.isfinite(each.scores).all()):
            raise TrainingError(f"{sample.path}: a box or score that was found is not finite; the weights are damaged.")


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
