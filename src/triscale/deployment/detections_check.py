"""Whether two lists of detections are the same but for rounding.

Runtimes add in another order, so a score differs in its last digits. That is nothing, until it decides: of two boxes
that are as good as each other, either may be the one that suppresses the other; an overlap may lie on either side of
the limit; and the last of a hundred boxes may be either of two. A file that tells another box is therefore held
against the definition of suppression, with the eager candidates and a little room for rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triscale.detection.boxes import clip, decode, iou
from triscale.detection.detections import Detections
from triscale.detection.suppress import Candidates, candidates, keep
from triscale.spec.network import Size
from triscale.spec.suppression import Suppression

SCORE = 1e-4  # how far scores may be apart
PIXELS = 0.1  # how far the sides of boxes may be apart
OVERLAP = 1e-3  # how far an overlap may be from the limit and still fall on the other side
MORE = 100  # candidates beyond those that count: which are the last is a matter of rounding too


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What eager suppression tells of an image, and from what: candidates, a few more than count, best first."""

    told: Detections
    pool: Detections


@dataclass(frozen=True, slots=True)
class Difference:
    """How the detections of one image differ.

    wrong: detections of one list that the other one should have had, or that should not be there.
    score, pixels: the largest difference of those that both have.
    """

    wrong: int
    score: float
    pixels: float


def expected(logits: Tensor, offsets: Tensor, anchors: Tensor, size: Size, rule: Suppression) -> list[Expected]:
    """What a batch's raw answers tell by hard suppression. Shapes and arguments are those of `detections`."""
    loose = Suppression(
        iou=rule.iou,
        per_class=rule.per_class,
        score=max(0.0, rule.score - SCORE),
        candidates=rule.candidates + MORE,
        detections=rule.detections,
    )
    made = []
    for few, each in zip(candidates(logits, loose), offsets, strict=True):
        boxes = clip(decode(each.index_select(0, few.anchors), anchors.index_select(0, few.anchors)), size)
        pool = Detections(boxes.numpy(), few.scores.numpy(), few.labels.numpy())
        strict = int((few.scores[: rule.candidates] >= rule.score).sum())
        told = keep(boxes[:strict], Candidates(*(part[:strict] for part in few)), loose)
        made.append(Expected(told, pool))
    return made


def compare(found: Detections, wanted: Expected, rule: Suppression) -> Difference:
    """Hold an image's detections against the eager ones."""
    pairs = _pairs(found, wanted.told)
    mine, theirs = (np.array(side, int) for side in (list(pairs), list(pairs.values())))
    score = np.abs(found.scores[mine] - wanted.told.scores[theirs]).max(initial=0)
    pixels = np.abs(found.boxes[mine] - wanted.told.boxes[theirs]).max(initial=0)
    extra = np.setdiff1d(np.arange(len(found)), mine)
    missing = np.setdiff1d(np.arange(len(wanted.told)), theirs)
    wrong = sum(not _may_be_told(int(each), found, wanted.pool, rule) for each in extra)
    wrong += sum(not _may_be_missing(int(each), wanted.told, found, rule) for each in missing)
    unordered = int((np.diff(found.scores) > SCORE).sum())
    return Difference(wrong + unordered, float(score), float(pixels))


def _pairs(found: Detections, told: Detections) -> dict[int, int]:
    """Number of a detection -> number of the eager one that is the same; each once."""
    near = _same(found, told)
    pairs: dict[int, int] = {}
    for number, row in enumerate(near):
        free = [int(each) for each in row.nonzero()[0] if each not in pairs.values()]
        if free:
            # Of several that are alike, the one in its place: a box may be told twice, at iou = 1.
            pairs[number] = min(free, key=lambda each: abs(each - number))
    return pairs


def _same(first: Detections, second: Detections) -> np.ndarray:
    """(N, M) bool: the same label, and box and score but for rounding."""
    near = np.abs(first.boxes[:, None] - second.boxes[None]).max(2, initial=0) <= PIXELS
    near &= np.abs(first.scores[:, None] - second.scores[None]) <= SCORE
    return near & (first.labels[:, None] == second.labels[None])


def _may_be_told(number: int, found: Detections, pool: Detections, rule: Suppression) -> bool:
    """Whether a detection that eager suppression has not is a candidate that nothing better, of what is told, drops."""
    one = _rows(found, np.array([number]))
    if not _same(one, pool).any():
        return False
    better = _rivals(found, number, rule) & (found.scores > found.scores[number] + SCORE)
    return not (_overlaps(one, found)[0][better] > rule.iou + OVERLAP).any()


def _may_be_missing(number: int, told: Detections, found: Detections, rule: Suppression) -> bool:
    """Whether a detection that only eager suppression has is suppressed by what is told, or too low by a hair."""
    score = told.scores[number]
    full = len(found) >= rule.detections and score <= found.scores[-1] + SCORE
    if full or score < rule.score + SCORE:
        return True
    one = _rows(told, np.array([number]))
    rivals = found.scores >= score - SCORE
    if rule.per_class:
        rivals &= found.labels == told.labels[number]
    return bool((_overlaps(one, found)[0][rivals] > rule.iou - OVERLAP).any())


def _rivals(found: Detections, number: int, rule: Suppression) -> np.ndarray:
    others = np.arange(len(found)) != number
    return others & (found.labels == found.labels[number]) if rule.per_class else others


def _overlaps(first: Detections, second: Detections) -> np.ndarray:
    return iou(torch.from_numpy(first.boxes), torch.from_numpy(second.boxes)).numpy()


def _rows(all_of: Detections, numbers: np.ndarray) -> Detections:
    return Detections(all_of.boxes[numbers], all_of.scores[numbers], all_of.labels[numbers])
