"""Suppression: which of a detector's many overlapping boxes are told.

Candidates are chosen by torch, where the answers are; who overlaps whom is asked by numpy, on one core: what remains is
a few thousand boxes, of which at most some hundred are kept, and each kept box is one short row of overlaps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from triscale.detection.detections import Detections
from triscale.errors import SpecError
from triscale.spec.suppression import Suppression

_TINY = np.finfo(np.float32).tiny


class Candidates(NamedTuple):
    """Pairs of anchor and class of one image that may be told, best first.

    anchors, labels: (K,) int64. scores: (K,) float32 in 0..1. Where scores are equal, the lower anchor comes first, and
    of one anchor the lower class.
    """

    anchors: Tensor
    labels: Tensor
    scores: Tensor


def suppress(boxes: Tensor, logits: Tensor, suppression: Suppression) -> list[Detections]:
    """What a detector tells of each image.

    boxes: (B, A, 4), pixels. logits: (B, A, classes), raw. Boxes without area are never told.
    Returns: B Detections, in the boxes' pixels.
    Raises: SpecError for shapes that do not go together.
    """
    if boxes.shape != (*logits.shape[:2], 4) or logits.dim() != 3:
        raise SpecError(
            f"suppress: boxes (B, A, 4) go with logits (B, A, classes), "
            f"got {tuple(boxes.shape)} and {tuple(logits.shape)}."
        )
    chosen = candidates(logits, suppression)
    return [keep(each[few.anchors], few, suppression) for each, few in zip(boxes, chosen, strict=True)]


def candidates(logits: Tensor, suppression: Suppression, scored: bool = False) -> list[Candidates]:
    """The best pairs of each image, by logits: at most `suppression.candidates`, none below `suppression.score`.

    logits: (B, A, classes). The best class of each anchor bounds all its others, so that sorting looks at few of them.
    scored: they are scores in 0..1 instead, the sigmoid is done.
    Answers that are not numbers are no candidates.
    """
    least = suppression.score if scored else _logit(suppression.score)
    best = logits.amax(2)
    return [_best(image, row, least, suppression, scored) for image, row in zip(logits, best, strict=True)]


def _best(logits: Tensor, best: Tensor, least: float, suppression: Suppression, scored: bool) -> Candidates:
    """`candidates` of one image. logits: (A, classes). best: (A,), the largest of each row. least: one of them."""
    # The first `count` anchors alone make `count` pairs that are as good as the worst of them.
    limit = _nth(best, suppression.candidates, least)
    anchors = (best >= limit).nonzero().squeeze(1)
    few = logits.index_select(0, anchors)
    rows, labels = (few >= limit).nonzero(as_tuple=True)
    values = few[rows, labels]
    last = values >= _nth(values, suppression.candidates, limit)
    rows, labels, values = rows[last], labels[last], values[last].float()
    order = values.sort(descending=True, stable=True)
    scores, at = order.values[: suppression.candidates], order.indices[: suppression.candidates]
    scores = scores if scored else scores.sigmoid()
    enough = int((scores >= suppression.score).sum())
    at = at[:enough]
    return Candidates(anchors[rows[at]], labels[at], scores[:enough])


def _nth(values: Tensor, count: int, least: float) -> float:
    """The `count`th largest of `values`, or `least` where that is more or there are not so many."""
    if len(values) <= count:
        return least
    return max(least, values.topk(count, sorted=False).values.amin().item())


def keep(boxes: Tensor, few: Candidates, suppression: Suppression) -> Detections:
    """What is told of the candidates of one image. boxes: (K, 4), of the candidates in their order."""
    corners, labels = boxes.float().cpu().numpy(), few.labels.cpu().numpy()
    scores = few.scores.float().cpu().numpy()
    real = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    if not real.all():
        corners, labels, scores = corners[real], labels[real], scores[real]
    groups = _Groups(corners, labels if suppression.per_class else np.zeros_like(labels))
    if suppression.method == "hard":
        kept = _hard(groups, suppression.iou, suppression.detections)
        return Detections(corners[kept], scores[kept], labels[kept])
    kept, weakened = _soft(groups, scores, suppression)
    return Detections(corners[kept], np.array(weakened, np.float32), labels[kept])


class _Groups:
    """Boxes of several groups, those of a group beside each other, best first.

    place: where a candidate stands. number: which candidate stands at a place. stop: where its group ends.
    """

    def __init__(self, corners: np.ndarray, labels: np.ndarray) -> None:
        self.number = np.argsort(labels, kind="stable")
        self.place = np.empty_like(self.number)
        self.place[self.number] = np.arange(len(labels))
        ordered = labels[self.number]
        self.start = np.searchsorted(ordered, labels, "left").tolist()
        self.stop = np.searchsorted(ordered, labels, "right").tolist()
        self.x1, self.y1, self.x2, self.y2 = np.ascontiguousarray(corners[self.number].T)
        # An area above 0 keeps the union above 0.
        self.area = np.maximum((self.x2 - self.x1) * (self.y2 - self.y1), _TINY)

    def iou(self, place: int, among: slice) -> np.ndarray:
        """IoU of the box at one place with those of several, as torchvision and ONNX compute it, in float32."""
        wide = np.minimum(self.x2[among], self.x2[place])
        wide -= np.maximum(self.x1[among], self.x1[place])
        high = np.minimum(self.y2[among], self.y2[place])
        high -= np.maximum(self.y1[among], self.y1[place])
        shared = np.maximum(wide, 0, out=wide)
        shared *= np.maximum(high, 0, out=high)
        union = self.area[among] + self.area[place]
        union -= shared
        return np.divide(shared, union, out=shared)


def _hard(groups: _Groups, most: float, detections: int) -> list[int]:
    """Numbers of the candidates that overlap no better kept one of their group by more than `most`."""
    alive = np.ones(len(groups.place), bool)
    kept: list[int] = []
    here = 0
    while len(kept) < detections and here < len(alive):
        here += int(alive[here:].argmax())
        if not alive[here]:
            break
        kept.append(here)
        place = int(groups.place[here])
        rest = slice(place + 1, groups.stop[here])
        alive[groups.number[rest][groups.iou(place, rest) > most]] = False
        here += 1
    return kept


def _soft(groups: _Groups, scores: np.ndarray, suppression: Suppression) -> tuple[list[int], list[float]]:
    """Candidates and their weakened scores, in the order in which they are the best of what remains."""
    left = scores.copy()
    kept: list[int] = []
    weakened: list[float] = []
    while len(kept) < min(suppression.detections, len(left)):
        best = int(left.argmax())
        score = float(left[best])
        if score < suppression.score or score < 0:
            break
        kept.append(best)
        weakened.append(score)
        left[best] = -np.inf
        place = int(groups.place[best])
        rest = slice(groups.start[best], groups.stop[best])
        overlaps = groups.iou(place, rest)
        touching = overlaps.nonzero()[0]
        # Only what it touches is weakened, itself too: what is told stays at minus infinity, as long as no factor is 0.
        factors = np.exp(overlaps[touching] ** 2 / np.float32(-suppression.sigma))
        left[groups.number[rest][touching]] *= np.maximum(factors, _TINY)
    return kept, weakened


def _logit(score: float) -> float:
    """A little below the logit of a score: the score itself decides."""
    if not 0 < score < 1:
        return -math.inf if score <= 0 else 15.0
    return math.log(score / (1 - score)) - 1e-3
