"""What is there twice: images, boxes, and the same things under two names."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from triscale.data.detection.dataset import BoxLabel
from triscale.data.detection.judge import Judged
from triscale.data.detection.said import BoxFault, BoxFinding, SaidBox

_SAME = 1.0  # pixels that the sides of one box, drawn twice, may differ
_OVERLAP = 0.9  # and what they must share then; boxes of few pixels may be a pixel apart and be two
_LEAST_CROP = 8  # pixels; smaller pieces are the same by chance


@dataclass(frozen=True, slots=True)
class Seen:
    """An image that was looked at. pixels: a digest of it, b"" where it is unusable.

    crops: digests of what is inside of each box, b"" where that cannot be compared.
    """

    judged: Judged
    pixels: bytes = b""
    crops: tuple[bytes, ...] = ()


def crop_digests(image: Image.Image, boxes: Sequence[BoxLabel]) -> tuple[bytes, ...]:
    """A digest of the pixels inside of each box of a fully decoded image; b"" for crowds, small and flat pieces."""
    return tuple(_crop_digest(image, box) for box in boxes)


def _crop_digest(image: Image.Image, box: BoxLabel) -> bytes:
    x1, y1, x2, y2 = (round(each) for each in box[:4])
    if box.crowd or min(x2 - x1, y2 - y1) < _LEAST_CROP:
        return b""
    crop = image.crop((x1, y1, x2, y2))
    if all(band.getextrema()[0] == band.getextrema()[1] for band in crop.split()):
        return b""
    return hashlib.blake2b(b"%d %d " % crop.size + crop.tobytes(), digest_size=16).digest()


def alike_images(seen: Sequence[Seen]) -> list[BoxFinding]:
    """Each image against an earlier one with the same pixels: in another split, with other boxes, or just again."""
    findings = []
    groups: dict[bytes, list[tuple[Judged, list[tuple[int, ...]]]]] = collections.defaultdict(list)
    for each in seen:
        if not each.pixels:
            continue
        one, boxes, earlier = each.judged, _plain(each.judged.boxes), groups[each.pixels]
        leaking = next((other for other, _ in earlier if other.said.split != one.said.split), None)
        differing = next((other for other, theirs in earlier if theirs != boxes), None)
        if leaking is not None:
            name, split = leaking.said.name, leaking.said.split or "no split"
            findings.append(_about(one, "leak", f"the same pixels as {name} in {split}", leaking.said.record))
        elif differing is not None:
            message = f"the same pixels as {differing.said.name} with other boxes"
            findings.append(_about(one, "contradiction", message, differing.said.record))
        elif earlier:
            first = earlier[0][0].said
            findings.append(_about(one, "duplicate", f"the same pixels as {first.name}", first.record))
        if all((other.said.split, theirs) != (one.said.split, boxes) for other, theirs in earlier):
            earlier.append((one, boxes))  # one of each kind: of a film's black frames there are thousands
    return findings


def _plain(boxes: Sequence[BoxLabel]) -> list[tuple[int, ...]]:
    return sorted((*(round(each) for each in box[:4]), box.label) for box in boxes)


def _about(one: Judged, kind: BoxFault, message: str, other: str) -> BoxFinding:
    return BoxFinding(kind, one.said.path, one.said.record, message, other)


def alike_crops(seen: Sequence[Seen], classes: Sequence[str]) -> list[BoxFinding]:
    """The same pixels inside of two boxes of two classes, in different images that are not the same as a whole."""
    findings = []
    first: dict[bytes, tuple[Seen, SaidBox]] = {}
    for each in seen:
        for digest, box in zip(each.crops, each.judged.kept, strict=True):
            before, other = first.setdefault(digest, (each, box)) if digest else (each, box)
            if other.label != box.label and before.pixels != each.pixels:
                where, record = before.judged.said.record_of(other), each.judged.said.record_of(box)
                message = f"{classes[box.label]}, and {classes[other.label]} for the same pixels in {where}"
                findings.append(BoxFinding("contradiction", each.judged.said.path, record, message, where))
    return findings


def alike_boxes(judged: Judged, classes: Sequence[str]) -> list[BoxFinding]:
    """Boxes of one image that are drawn twice, with the same class or with two."""
    pairs = sorted(zip(judged.boxes, judged.kept, strict=True), key=lambda each: each[0].x1)
    findings = []
    for place, (box, said) in enumerate(pairs):
        for other, other_said in pairs[place + 1 :]:
            if other.x1 - box.x1 > _SAME:
                break
            if box.crowd or other.crowd or not _is_same(box, other):
                continue
            early, late = sorted((said, other_said), key=judged.said.boxes.index)
            where, again = judged.said.record_of(early), judged.said.record_of(late)
            if early.label == late.label:
                message = f"{classes[late.label]} at the same place as {early.key}"
                findings.append(BoxFinding("duplicate-box", judged.said.path, again, message, where))
            else:
                message = f"{classes[late.label]} at the same place as {early.key}, which is {classes[early.label]}"
                findings.append(BoxFinding("contradiction", judged.said.path, again, message, where))
    return findings


def _is_same(one: BoxLabel, other: BoxLabel) -> bool:
    if max(abs(a - b) for a, b in zip(one[:4], other[:4], strict=True)) > _SAME:
        return False
    width = min(one.x2, other.x2) - max(one.x1, other.x1)
    height = min(one.y2, other.y2) - max(one.y1, other.y1)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared >= _OVERLAP * (_area(one) + _area(other) - shared)


def _area(box: BoxLabel) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)
