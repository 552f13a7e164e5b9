"""Matching: which anchors answer for which object, and which are left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from triscale.detection.boxes import covered, iou
from triscale.errors import SpecError

POSITIVE = 0.5  # IoU from which an anchor answers for an object; all below it say "nothing here"
COVERED = 0.5  # share of an anchor from which a crowd covers it
NEGATIVE, IGNORED = -1, -2  # labels of anchors that say nothing, and that are not asked
PADDING, CROWD = -1, -2  # classes of targets
# Anchors are taken in groups, so that what stands between two steps stays in the processor's cache.
_PAIRS_CPU, _PAIRS_OTHER = 2**17, 2**24


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """What each anchor of a batch should say.

    labels: (N, A) int64: the class of its object, NEGATIVE or IGNORED.
    images, anchors: (P,) int64 each: where the positive ones are, sorted. boxes: (P, 4) float32: their objects, in
        pixels of the network's input.
    """

    labels: Tensor
    images: Tensor
    anchors: Tensor
    boxes: Tensor

    @property
    def positives(self) -> int:
        """How many anchors have an object."""
        return len(self.images)


def match(targets: Tensor, anchors: Tensor) -> Matches:
    """Give every anchor of every image its object.

    targets: (N, M, 5) float32, (x1, y1, x2, y2, class) in pixels; class PADDING is no object, class CROWD a region.
    anchors: (A, 4) float32.
    An anchor belongs to the object that it overlaps the most, from an IoU of 0.5. Besides, the best anchor of each
    object is its own, however little it overlaps; of two objects with one best anchor the first has it. An object that
    no anchor touches (outside of the image, or without area) has none. Anchors without an object that lie at least
    half inside a crowd are ignored.
    Work: 12 operations on each pair of anchor and object of an image, in the cache; padding costs nothing.
    Raises: SpecError for targets or anchors of other shapes.
    Source: google/automl, object_detection/argmax_matcher.py and target_assigner.py, but for crowds.
    """
    if targets.dim() != 3 or targets.shape[-1] != 5 or anchors.dim() != 2 or anchors.shape[-1] != 4:
        raise SpecError(
            f"match: targets are (N, M, 5) and anchors (A, 4), got {tuple(targets.shape)} and {tuple(anchors.shape)}."
        )
    classes = targets[..., 4].long()
    rows = torch.full((len(targets), len(anchors)), NEGATIVE, dtype=torch.long, device=targets.device)
    for each, kinds, found in zip(targets[..., :4].float(), classes, rows, strict=True):
        objects, crowds = (kinds >= 0).nonzero().squeeze(1), each[kinds == CROWD]
        if len(objects):
            _give_objects(each[objects], anchors, found)
            found.copy_(torch.where(found >= 0, objects[found.clamp(min=0)], found))
        if len(crowds):
            _leave_out(crowds, anchors, found)
    images, at = (rows >= 0).nonzero(as_tuple=True)
    row = rows[images, at]
    labels = rows  # rows of targets become their classes; NEGATIVE and IGNORED stay
    labels[images, at] = classes[images, row]
    return Matches(labels, images, at, targets[images, row, :4].float())


def _give_objects(boxes: Tensor, anchors: Tensor, found: Tensor) -> None:
    """Write into `found` (A,) the number of each anchor's box, where it has one."""
    best = boxes.new_zeros(len(boxes))
    best_at = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    for start, group in _groups(anchors, len(boxes)):
        overlaps = iou(boxes, group)
        at = (overlaps.amax(0) >= POSITIVE).nonzero().squeeze(1)
        found[start + at] = overlaps[:, at].argmax(0)
        values, where = overlaps.max(1)
        better = values > best
        best = torch.where(better, values, best)
        best_at = torch.where(better, where + start, best_at)
    (touched,) = (best > 0).nonzero(as_tuple=True)
    # The lowest number wins: writing by index would leave it to chance.
    owner = torch.full_like(found, len(boxes)).scatter_reduce_(0, best_at[touched], touched, "amin")
    found.copy_(torch.where(owner < len(boxes), owner, found))


def _leave_out(crowds: Tensor, anchors: Tensor, found: Tensor) -> None:
    """Mark in `found` (A,) the anchors without an object that lie in a crowd."""
    for start, group in _groups(anchors, len(crowds)):
        part = found[start : start + len(group)]
        part[(covered(group, crowds).amax(1) >= COVERED) & (part == NEGATIVE)] = IGNORED


def _groups(anchors: Tensor, boxes: int) -> Iterator[tuple[int, Tensor]]:
    pairs = _PAIRS_CPU if anchors.device.type == "cpu" else _PAIRS_OTHER
    size = max(1024, pairs // boxes)
    start = 0
    for group in anchors.split(size):
        yield start, group
        start += len(group)
