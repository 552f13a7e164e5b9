"""Which box found which object, at an IoU of one half, and what each other box is nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from triscale.data.detection.dataset import BoxSample
from triscale.detection.detections import Detections

OVERLAP = 0.5  # IoU from which a box has found an object
MOST = 100  # boxes of one class of an image; COCO looks at no more


@dataclass(frozen=True, slots=True)
class Matches:
    """All boxes and all objects of a set, each a row; crowds are no objects.

    images: how many there are. Of boxes, (N,), image by image, best first:
    image, label, score: as they were told; number: which of its image's `Detections` it is.
    hit: found an object of its class. ignored: found none, but lies in a crowd of its class.
    own, other: the object of its class, and of another one, that it overlaps most; -1 where there is none.
    own_iou, other_iou: by how much.
    Of objects, (M,): object_image, object_label, object_number (in `BoxSample.boxes`), and taken: the box that found
    it, or -1.
    pairs: (P, 2), box and object of any class that overlap by `OVERLAP` or more, by image, box, then falling IoU.
    """

    images: int
    image: np.ndarray
    label: np.ndarray
    score: np.ndarray
    number: np.ndarray
    hit: np.ndarray
    ignored: np.ndarray
    own: np.ndarray
    own_iou: np.ndarray
    other: np.ndarray
    other_iou: np.ndarray
    object_image: np.ndarray
    object_label: np.ndarray
    object_number: np.ndarray
    taken: np.ndarray
    pairs: np.ndarray

    def found_at(self, threshold: float) -> np.ndarray:
        """(M,) bool: objects found by a box whose score is at least `threshold`."""
        found = self.taken >= 0
        found[found] = self.score[self.taken[found]] >= threshold
        return found


def match_boxes(found: Sequence[Detections], samples: Sequence[BoxSample]) -> Matches:
    """Match as COCO does: the best box first, each to the free object of its class that it overlaps most.

    found, samples: of the same images, at least one, in the same order; boxes in pixels of the image.
    """
    rows = [_match_image(each, sample) for each, sample in zip(found, samples, strict=True)]
    boxes = np.cumsum([0] + [len(row["score"]) for row in rows])
    objects = np.cumsum([0] + [len(row["taken"]) for row in rows])
    for image, row in enumerate(rows):  # numbers inside an image become numbers of the whole set
        for name, start in (("own", objects), ("other", objects), ("taken", boxes)):
            row[name] = np.where(row[name] >= 0, row[name] + start[image], -1)
        row["pairs"] = row["pairs"] + (boxes[image], objects[image])
        row["image"] = np.full(len(row["score"]), image)
        row["object_image"] = np.full(len(row["taken"]), image)
    names = [name for name in Matches.__slots__ if name != "images"]
    return Matches(len(rows), **{name: np.concatenate([row[name] for row in rows]) for name in names})


def overlaps(boxes: np.ndarray, others: np.ndarray, crowd: np.ndarray | None = None) -> np.ndarray:
    """(D, G) IoU of boxes (D, 4) and (G, 4), xyxy; with a crowd, the part of the box that lies in it."""
    sides = np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - np.maximum(boxes[:, None, :2], others[None, :, :2])
    common = np.maximum(sides, 0).prod(2)
    own, theirs = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (boxes, others))
    union = own[:, None] + theirs - common
    whole = union if crowd is None else np.where(crowd, own[:, None], union)
    return np.divide(common, whole, out=np.zeros_like(common), where=whole > 0)


def _match_image(found: Detections, sample: BoxSample) -> dict[str, np.ndarray]:
    number = _looked_at(found)
    label, score = found.labels[number], found.scores[number].astype(np.float64)
    truth = np.array([box[:4] for box in sample.boxes], np.float64).reshape(-1, 4)
    labels = np.array([box.label for box in sample.boxes], np.int64)
    crowd = np.array([box.crowd for box in sample.boxes], bool)
    iou = overlaps(found.boxes[number].astype(np.float64), truth, crowd)
    same = label[:, None] == labels
    taken, hit, ignored = _take(np.where(same, iou, 0), crowd)
    row = {"label": label, "score": score, "number": number, "hit": hit, "ignored": ignored}
    regular = np.flatnonzero(~crowd)
    iou, same = iou[:, regular], same[:, regular]
    for name, those in (("own", same), ("other", ~same)):
        row[name], row[f"{name}_iou"] = _nearest(np.where(those, iou, 0))
    pairs = np.argwhere(iou >= OVERLAP)
    order = np.lexsort((-iou[pairs[:, 0], pairs[:, 1]], pairs[:, 0]))
    return row | {"object_label": labels[regular], "object_number": regular, "taken": taken[regular],
                  "pairs": pairs[order]}  # fmt: skip


def _looked_at(found: Detections) -> np.ndarray:
    """Which boxes count, best first."""
    order = np.argsort(-found.scores, kind="stable")
    if len(order) <= MOST:
        return order
    labels = found.labels[order]
    kept = np.concatenate([np.flatnonzero(labels == label)[:MOST] for label in np.unique(labels)])
    return order[np.sort(kept)]


def _take(iou: np.ndarray, crowd: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each box, best first, takes: (G,) the box that found an object, (D,) hit, (D,) ignored."""
    boxes, objects = iou.shape
    taken, hit, ignored = np.full(objects, -1), np.zeros(boxes, bool), np.zeros(boxes, bool)
    rows, columns = np.nonzero(iou >= OVERLAP)
    for box in dict.fromkeys(rows.tolist()):
        best, best_iou = -1, 0.0
        for each in columns[rows == box].tolist():
            if crowd[each]:
                ignored[box] = True
            elif taken[each] < 0 and iou[box, each] >= best_iou:  # of equal ones the last, as COCO does
                best, best_iou = each, iou[box, each]
        if best >= 0:
            taken[best], hit[box], ignored[box] = box, True, False
    return taken, hit, ignored


def _nearest(iou: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row the column of its largest value, -1 where all are 0; and that value."""
    if not iou.shape[1]:
        return np.full(len(iou), -1), np.zeros(len(iou))
    best = iou.argmax(1)
    value = iou[np.arange(len(iou)), best]
    return np.where(value > 0, best, -1), value
