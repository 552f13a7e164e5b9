"""A set of images with boxes, read and split; what cannot be learnt from is refused by file and record."""

from __future__ import annotations

import collections
import hashlib
from collections.abc import Sequence
from pathlib import Path

from triscale.data.dataset import require_shares, split_of
from triscale.data.detection.dataset import BoxDataset, BoxSample
from triscale.data.detection.find import find_boxes
from triscale.data.detection.judge import Judged, judge, unusable
from triscale.data.detection.said import BoxFinding, BoxListing, SaidImage
from triscale.data.detection.whole import absent_images, shared_path, wrong_forms
from triscale.data.facts import look
from triscale.data.images import ImageError, image_header, image_orientation
from triscale.data.listing import LABEL_SEPARATOR, Entry, Facts
from triscale.data.parallel import Progress, map_files
from triscale.errors import DataError

_SHOWN = 3  # findings in one line; `triscale data check` names them all
_NOTHING = "images without objects"


def read_boxes(
    path: str | Path,
    val_share: float = 0.15,
    test_share: float = 0.0,
    seed: int = 0,
    skip_broken: bool = False,
    progress: Progress | None = None,
    verify: bool = True,
) -> BoxDataset:
    """Read COCO JSON, Pascal VOC or YOLO (see `find_boxes`).

    Classes are those of the training files, by name. Boxes are in pixels of the image as a person sees it; those of
    records that speak of the stored image are turned with it. Boxes that leave the image by two pixels or less are
    cut. Pascal VOC's "difficult" is read as a crowd.

    val_share, test_share, seed, verify, progress: as in `triscale.data.dataset.read_dataset`; an image of several
        classes is split as one of its rarest.
    skip_broken: go on without records and images that cannot be used; they are counted in the notes.
    Raises: DataError for a set that cannot be learnt from, naming file and record.
    """
    require_shares(val_share, test_share)
    listing = find_boxes(path)
    looked = map_files(lambda image: _look(image, listing, verify), listing.images, progress)
    findings = findings_of(listing, [judged for judged, _ in looked])
    if findings and not skip_broken:
        raise _refusal(listing, findings)
    usable = [(judged, facts) for judged, facts in looked if judged.usable]
    split, notes = _split(listing, usable, val_share, test_share, seed)
    chosen: dict[str, list[BoxSample]] = {"train": [], "val": [], "test": []}
    for judged, _ in usable:
        said = judged.said
        chosen[split[said.name]].append(BoxSample(said.path, judged.size, judged.boxes, said.record))
    _require_objects(listing, chosen["train"], [judged for judged, _ in usable])
    return BoxDataset(
        root=listing.root,
        classes=listing.classes,
        train=tuple(chosen["train"]),
        val=tuple(chosen["val"]),
        test=tuple(chosen["test"]),
        fingerprint=_fingerprint(listing, usable, split),
        skipped=tuple(judged.said.path for judged, _ in looked if not judged.usable),
        notes=(*listing.notes, *_notes(looked, findings), *notes),
    )


def _look(image: SaidImage, listing: BoxListing, verify: bool) -> tuple[Judged, Facts]:
    if image.lost:
        return unusable(image, ImageError(image.path, "missing", image.lost)), Facts(0, b"")
    facts = look(image.path, verify)
    return (unusable(image, facts.trouble) if facts.trouble else judge_file(image, listing)), facts


def judge_file(image: SaidImage, listing: BoxListing) -> Judged:
    """Hold the records of an image against the header of its file."""
    try:
        _, shown = image_header(image.path)
        differs = image.size is not None and image.size != shown
        return judge(image, listing.form, shown, image_orientation(image.path) if differs else 1)
    except ImageError as error:
        return unusable(image, error)


def findings_of(listing: BoxListing, judged: Sequence[Judged]) -> list[BoxFinding]:
    """All that keeps records from being used: what is wrong with whole files first, and not again box by box."""
    absent, misread = absent_images(listing, judged), wrong_forms(listing, judged)
    without, wrong = {each.path for each in absent}, {each.path for each in misread}
    own: list[BoxFinding] = []
    for each in judged:
        place = shared_path(listing, each.said) if each.findings else None
        if place not in without and (place not in wrong or not each.usable):
            own += each.findings
    return [*absent, *misread, *listing.findings, *own]


def _refusal(listing: BoxListing, findings: Sequence[BoxFinding]) -> DataError:
    shown = "; ".join(f"{each.kind}: {each.said().rstrip('.')}" for each in findings[:_SHOWN])
    left = len(findings) - _SHOWN
    more = f"; and {left} more (triscale data check names them all)" if left > 0 else ""
    count = "1 record" if len(findings) == 1 else f"{len(findings)} records"
    way = "To go on without them: --skip-broken."
    if any(each.kind == "wrong-form" for each in findings):
        way = "Write them in the format's own form; --skip-broken would learn those that fit by chance."
    return DataError(f"{listing.root}: {count} cannot be used: {shown}{more}. {way}")


def _split(
    listing: BoxListing, usable: Sequence[tuple[Judged, Facts]], val_share: float, test_share: float, seed: int
) -> tuple[dict[str, str], list[str]]:
    """The split of each image by its name. The same image with other boxes is split as one with the boxes of all."""
    labels: dict[bytes, set[str]] = collections.defaultdict(set)
    for judged, facts in usable:
        named = (listing.classes[each.label].replace(LABEL_SEPARATOR, "/") for each in judged.boxes)
        labels[facts.digest] |= set(named)
    entries = []
    for judged, facts in usable:
        said = judged.said
        label = LABEL_SEPARATOR.join(sorted(labels[facts.digest])) or _NOTHING
        entries.append((Entry(said.path, said.name, label, said.split), facts))
    return split_of(entries, val_share, test_share, seed, several=True)


def _require_objects(listing: BoxListing, train: Sequence[BoxSample], usable: Sequence[Judged]) -> None:
    if not listing.images:
        raise DataError(f"{listing.root}: {listing.layout} records without any image; add images to it.")
    if not usable:
        raise DataError(f"{listing.root}: none of its {len(listing.images)} images can be used; replace them.")
    if not any(each.boxes for each in usable):
        raise DataError(f"{listing.root}: {len(usable)} images without any box; there is nothing to learn from.")
    if train and not any(not box.crowd for each in train for box in each.boxes):
        raise DataError(f"{listing.root}: no training image has a box; add some, or move images to train.")


def _notes(looked: Sequence[tuple[Judged, Facts]], findings: Sequence[BoxFinding]) -> list[str]:
    judged = [each for each, _ in looked]
    notes = repairs(judged)
    notes += [f"{each.said()}." for each in findings if each.kind == "wrong-form"]
    if findings:
        kinds = collections.Counter(each.kind for each in findings)
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
        boxes = sum(each.usable for each in judged for _ in each.findings)
        images = sum(not each.usable for each in judged)
        notes.append(f"Left out: {images} images and {boxes} boxes of images that stay ({told}).")
    return notes


def repairs(judged: Sequence[Judged]) -> list[str]:
    """What was read otherwise than it is written, one sentence each."""
    notes = []
    empty = sum(each.usable and not each.said.boxes for each in judged)
    clipped, turned = [each for each in judged if each.clipped], [each for each in judged if each.turned]
    if empty:
        notes.append(f"{empty} of {len(judged)} images have no objects; they are learnt as background.")
    if clipped:
        count = sum(each.clipped for each in clipped)
        notes.append(f"{count} boxes that leave the image by up to 2 pixels were cut, first in {clipped[0].said.name}.")
    if turned:
        first = turned[0].said.name
        notes.append(f"{len(turned)} images are shown turned (EXIF); their boxes were turned with them, first {first}.")
    return notes


def _fingerprint(listing: BoxListing, usable: Sequence[tuple[Judged, Facts]], split: dict[str, str]) -> str:
    """See `BoxDataset.fingerprint`."""
    digest = hashlib.sha256()
    for judged, facts in usable:
        said = judged.said
        boxes = ";".join(f"{listing.classes[each.label]} {tuple(each)}" for each in judged.boxes)
        line = "\0".join((split[said.name], said.name, str(facts.size), boxes))
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
