"""What is wrong with a whole file of records, and is to be said once instead of record by record."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

from triscale.data.detection.judge import SLACK, Judged
from triscale.data.detection.places import relative_name
from triscale.data.detection.said import BoxFinding, BoxListing, Corners, Form, SaidImage

ENOUGH = 5  # records of a file that must be wrong in the same way before the file is, not the records

_READINGS = {
    "xyxy": "x1, y1, x2, y2",
    "xywh": "x1, y1, width, height",
    "yxyx": "y1, x1, y2, x2",
    "centre": "centre x, centre y, width, height",
}


def _read_as(values: Corners, reading: str) -> Corners:
    a, b, c, d = values
    if reading == "xyxy":
        return a, b, c, d
    if reading == "xywh":
        return a, b, a + c, b + d
    return (b, a, d, c) if reading == "yxyx" else (a - c / 2, b - d / 2, a + c / 2, b + d / 2)


def absent_images(listing: BoxListing, judged: Sequence[Judged]) -> list[BoxFinding]:
    """Files of whose images none is there, which is another fault than images that are lost."""
    findings = []
    for (path, name), own in _by_file(listing, judged).items():
        if (
            len(own) > 1
            and all(finding.kind == "missing" for each in own for finding in each.findings)
            and not any(each.usable for each in own)
        ):
            first = own[0].said
            where = first.lost or f"no such file in {first.path.parent}"
            hint = "" if first.lost else "; DATA must have the images too: name the folder above, or the one with both"
            message = f"none of its {len(own)} images is there, first {first.path.name}: {where}{hint}"
            findings.append(BoxFinding("missing", path, name, message))
    return findings


def shared_path(listing: BoxListing, image: SaidImage) -> Path:
    """The file that the boxes of an image stand in together with others: a JSON file, or a folder of small files."""
    return listing.root / (image.source if listing.layout == "COCO" else Path(image.source).parent)


def _by_file(listing: BoxListing, judged: Sequence[Judged]) -> dict[tuple[Path, str], list[Judged]]:
    """All images by the file of their boxes: its path, and what it is called."""
    files: dict[tuple[Path, str], list[Judged]] = collections.defaultdict(list)
    for each in judged:
        path = shared_path(listing, each.said)
        files[path, listing.root.name if path == listing.root else relative_name(path, listing.root)].append(each)
    return files


def wrong_forms(listing: BoxListing, judged: Sequence[Judged]) -> list[BoxFinding]:
    """Files whose boxes fit their images when read in another form, and do not as they are: one finding for each.

    What else is wrong with the boxes of such a file follows from that.
    """
    findings = []
    for (path, name), own in _by_file(listing, judged).items():
        finding = _wrong_form(path, name, listing.form, own)
        findings += [finding] if finding else []
    return findings


def _wrong_form(path: Path, name: str, form: Form, own: Sequence[Judged]) -> BoxFinding | None:
    usual = {"xywh": "xywh", "voc": "xyxy", "xyxy": "xyxy", "cxcywh": "centre"}[form]
    bad = [(each, finding) for each in own for finding in each.findings if each.usable]
    count = sum(len(each.said.boxes) for each in own if each.usable)
    kinds = collections.Counter(finding.kind for _, finding in bad)
    example = bad[0][1].record if bad else ""
    for kind, expected in (("normalised", "pixels"), ("pixels", "shares of the image")):
        if kinds[kind] >= ENOUGH and 2 * kinds[kind] > count:
            message = f"{kinds[kind]} of {count} boxes are {_WRONG[kind]}, first {example}; expected {expected}"
            return BoxFinding(kind, path, name, message)
    wrong = kinds["outside"] + kinds["no-area"]
    if wrong < ENOUGH or 10 * wrong < count:
        return None
    for reading, words in _READINGS.items():
        if reading != usual and _fitting(own, reading, form) >= 0.98 * count:
            message = (
                f"{wrong} of {count} boxes leave their images or have no area when read as {_READINGS[usual]}, "
                f"and fit when read as {words}; first {example}"
            )
            return BoxFinding("wrong-form", path, name, message)
    return None


_WRONG = {"normalised": "shares of the image", "pixels": "in pixels"}


def _fitting(own: Sequence[Judged], reading: str, form: Form) -> int:
    """How many boxes are inside of their images and of some area when read so."""
    fitting = 0
    for each in own:
        for box in each.said.boxes if each.usable else ():
            height, width = (1.0, 1.0) if form == "cxcywh" else each.size
            slack = 0.002 if form == "cxcywh" else SLACK
            x1, y1, x2, y2 = _read_as(box.values, reading)
            inside = x1 >= -slack and y1 >= -slack and x2 <= width + slack and y2 <= height + slack
            fitting += inside and x2 > x1 and y2 > y1
    return fitting
