"""Images with boxes, split into train, val and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from triscale.data.member import ImagePlace
from triscale.spec.network import Size


class BoxLabel(NamedTuple):
    """One object: where it is, and the number of its class in `BoxDataset.classes`.

    x1, y1, x2, y2: pixels of the image as a person sees it (EXIF applied); x2 > x1 and y2 > y1.
    crowd: many objects under one box (COCO's iscrowd): nothing is learnt from it, and finding something there is no
        mistake. Pascal VOC's "difficult" is read as one.
    area: pixels of the object itself, where the set says so (COCO, from its outline): whether an object counts as small
        is judged by it. None where there is only the box.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: int
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class BoxSample:
    """One image and its objects; an image without any is as good as another.

    size: (H, W) in pixels as a person sees it. record: where the set says so ("instances.json, image 17"), for
        messages.
    """

    path: ImagePlace
    size: Size
    boxes: tuple[BoxLabel, ...] = ()
    record: str = ""


@dataclass(frozen=True, slots=True)
class BoxDataset:
    """What a detector is learnt from.

    root: what the set was read from. classes: names; a label is a position in it.
    train, val, test: samples, sorted by name; test may be empty.
    fingerprint: SHA-256 of every image's name, size in bytes, boxes and split: another set has another one.
    skipped: files that cannot be used and were left out. notes: what a person should know, one sentence each.
    """

    root: Path | str
    classes: tuple[str, ...]
    train: tuple[BoxSample, ...]
    val: tuple[BoxSample, ...]
    test: tuple[BoxSample, ...]
    fingerprint: str
    skipped: tuple[ImagePlace, ...] = ()
    notes: tuple[str, ...] = ()
