"""What is wrong with a set of images with boxes, by file and record, before a second of training is spent on it."""

from __future__ import annotations

import collections
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from triscale.data.check import COMPARED_AT, IMBALANCE, pixel_digest
from triscale.data.detection.alike import Seen, alike_boxes, alike_crops, alike_images, crop_digests
from triscale.data.detection.find import find_boxes
from triscale.data.detection.judge import Judged, unusable
from triscale.data.detection.read import findings_of, judge_file, repairs
from triscale.data.detection.said import BoxFinding, BoxListing, SaidImage
from triscale.data.detection.whole import shared_path
from triscale.data.images import ImageError, image_header, open_image
from triscale.data.parallel import Progress, map_files

TINY = 2.0  # pixels
# COCO's: areas of 32 x 32 and 96 x 96 pixels, https://cocodataset.org/#detection-eval
SIZES = {"small": 32.0**2, "medium": 96.0**2, "large": float("inf")}


@dataclass(frozen=True, slots=True)
class BoxReport:
    """What `check_boxes` found.

    layout: "COCO", "VOC" or "YOLO". images, empty: images, and those without objects. boxes: that can be used, and
        crowds those of them that are crowds.
    classes: boxes by class, without crowds. sizes: the same by COCO's small, medium and large, in pixels of the image.
    splits: images by split ("" where the set says none).
    findings: what is wrong, by path and record. notes: what a person should know, and need not change.
    judged: every image as it was read, to be drawn.
    """

    root: Path
    layout: str
    images: int
    empty: int
    boxes: int
    crowds: int
    classes: dict[str, int]
    sizes: dict[str, int]
    splits: dict[str, int]
    findings: tuple[BoxFinding, ...]
    notes: tuple[str, ...]
    seconds: float
    judged: tuple[Judged, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind, most first."""
        return dict(collections.Counter(each.kind for each in self.findings).most_common())


def check_boxes(path: str | Path, progress: Progress | None = None) -> BoxReport:
    """Open every image of a set, hold every box against its image, and compare all of them.

    progress: called with (images looked at, all images).
    Raises: DataError where there are no records that can be read at all.
    """
    start = time.perf_counter()
    listing = find_boxes(path)
    seen = map_files(lambda image: _look(image, listing), listing.images, progress)
    judged = [each.judged for each in seen]
    hindering = findings_of(listing, judged)
    # of whole files: what is in their boxes follows from that
    misread = {each.path for each in hindering if each.kind in ("wrong-form", "normalised", "pixels")}
    sound = [each for each in seen if shared_path(listing, each.judged.said) not in misread]
    findings = [
        *hindering,
        *listing.doubts,
        *alike_images(seen),
        *alike_crops(sound, listing.classes),
        *(finding for each in sound for finding in alike_boxes(each.judged, listing.classes)),
        *(finding for each in sound for finding in _tiny(each.judged)),
        *_without_boxes(listing, judged),
    ]
    boxes = [box for each in judged for box in each.boxes]
    counts = collections.Counter(listing.classes[box.label] for box in boxes if not box.crowd)
    return BoxReport(
        root=listing.root,
        layout=listing.layout,
        images=len(listing.images),
        empty=sum(not each.boxes for each in listing.images),
        boxes=len(boxes),
        crowds=sum(box.crowd for box in boxes),
        classes={name: counts[name] for name in listing.classes},
        sizes=_sizes([(box.x2 - box.x1) * (box.y2 - box.y1) for box in boxes if not box.crowd]),
        splits=dict(sorted(collections.Counter(each.split or "" for each in listing.images).items())),
        findings=tuple(sorted(findings, key=lambda each: (str(each.path), each.record, each.kind))),
        notes=(*listing.notes, *repairs(judged), *_notes(listing, judged, counts)),
        seconds=time.perf_counter() - start,
        judged=tuple(judged),
    )


def _look(image: SaidImage, listing: BoxListing) -> Seen:
    try:
        if image.lost:
            raise ImageError(image.path, "missing", image.lost)
        kind, size = image_header(image.path)
        judged = judge_file(image, listing)
        pixels = open_image(image.path, COMPARED_AT)
        # a JPEG's pixels are never the same at two places, and to decode it whole takes four times as long
        crops = crop_digests(pixels, judged.boxes) if kind != "JPEG" else tuple(b"" for _ in judged.boxes)
        return Seen(judged, pixel_digest(pixels, size), crops)
    except ImageError as error:
        return Seen(unusable(image, error))


def _tiny(judged: Judged) -> list[BoxFinding]:
    findings = []
    for box, said in zip(judged.boxes, judged.kept, strict=True):
        width, height = box.x2 - box.x1, box.y2 - box.y1
        if min(width, height) < TINY and not box.crowd:
            message = f"only {width:.3g} x {height:.3g} pixels"
            findings.append(BoxFinding("tiny", judged.said.path, judged.said.record_of(said), message))
    return findings


def _without_boxes(listing: BoxListing, judged: Sequence[Judged]) -> list[BoxFinding]:
    """Classes without a box to learn from, splits without objects, and a set without anything."""
    splits: dict[str | None, list[Judged]] = collections.defaultdict(list)
    for each in judged:
        splits[each.said.split].append(each)
    findings = []
    for split, own in splits.items():
        if not any(each.said.boxes for each in own):
            sources = sorted({each.said.source for each in own})
            where = sources[0] if len(sources) == 1 else f"split {split}" if split else listing.root.name
            findings.append(BoxFinding("empty-set", listing.root, where, f"{len(own)} images and no box"))
    if not listing.images and not any(each.kind == "empty-set" for each in listing.doubts):
        findings.append(BoxFinding("empty-set", listing.root, listing.root.name, "no images"))
    learnt = [each for each in judged if each.said.split in (None, "train")]
    used = {box.label for each in learnt or judged for box in each.said.boxes if not box.crowd}
    for label, name in enumerate(listing.classes):
        if used and label not in used:
            path, record = listing.named_in[label]
            findings.append(BoxFinding("unused-class", path, record, f"class {name} has no box to learn from"))
    return findings


def _sizes(areas: Sequence[float]) -> dict[str, int]:
    found = dict.fromkeys(SIZES, 0)
    for area in areas:
        found[next(name for name, most in SIZES.items() if round(area, 2) < most)] += 1
    return found


def _notes(listing: BoxListing, judged: Sequence[Judged], counts: collections.Counter[str]) -> list[str]:
    notes = []
    order = counts.most_common()
    if order and order[0][1] >= IMBALANCE * order[-1][1]:
        (most, many), (least, few) = order[0], order[-1]
        notes.append(f"Unbalanced: {most} has {many} boxes, {least} only {few}.")
    sides = sorted((each.size for each in judged if each.usable), key=lambda size: size[0] * size[1])
    if sides:
        small, large = (f"{size[1]} x {size[0]}" for size in (sides[0], sides[-1]))
        middle = statistics.median_low(min(size) for size in sides)
        notes.append(f"Images from {small} to {large} pixels; the median shorter side is {middle}.")
    shares = [
        ((box.x2 - box.x1) * (box.y2 - box.y1) / (each.size[0] * each.size[1])) ** 0.5
        for each in judged
        for box in each.boxes
        if not box.crowd
    ]
    if shares:
        low, middle, high = min(shares), statistics.median(shares), max(shares)
        notes.append(f"An object's side is {low:.1%} to {high:.0%} of its image's, {middle:.0%} in the median.")
    return notes
