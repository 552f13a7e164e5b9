"""What is wrong with a data set, file by file, before a second of training is spent on it."""

from __future__ import annotations

import collections
import hashlib
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from triscale.data.find import find_images
from triscale.data.images import MAX_PIXELS, SUFFIXES, Fault, ImageError, image_header, is_image_name, open_image
from triscale.data.listing import Entry, Listing
from triscale.data.member import ImagePlace
from triscale.data.parallel import Progress, map_files
from triscale.spec.network import Size

# What a finding is about: a fault of one file (see `ImageError`), or
#   duplicate     the same image again, in the same class and split
#   mislabelled   the same image in two classes: one of the two labels is wrong
#   leak          the same image in two splits: what is measured on it is too good
#   tiny          too small to show anything
#   wrong-suffix  the content is of another format than the name says
#   stray         a file that is no image of a class
#   empty-class, single-class, unknown-class (in val or test, and not in train)
Kind = Fault | Literal[
    "duplicate", "mislabelled", "leak", "tiny", "wrong-suffix", "stray", "empty-class", "single-class", "unknown-class"
]  # fmt: skip

TINY = 8  # pixels; the smallest real images that people train on are 8 x 8 digits
HUGE = MAX_PIXELS // 4
IMBALANCE = 10

# enough of a JPEG to tell images apart: full size where it is small, an eighth of the work where it is large
COMPARED_AT = (64, 64)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. path: the file, or what names the set. other: the second file, where there is one."""

    kind: Kind
    path: ImagePlace | str
    message: str
    other: ImagePlace | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found.

    classes, splits: images by class and by split ("" where the set has no splits).
    findings: what is wrong, by path. notes: what a person should know, and need not change.
    """

    root: Path | str
    images: int
    classes: dict[str, int]
    splits: dict[str, int]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind, most first."""
        return dict(collections.Counter(each.kind for each in self.findings).most_common())


@dataclass(frozen=True, slots=True)
class _Seen:
    """One image as it was found."""

    entry: Entry
    content: bytes = b""
    pixels: bytes = b""
    format: str = ""
    size: Size = (0, 0)
    trouble: ImageError | None = None


def check(path: str | Path, progress: Progress | None = None) -> CheckReport:
    """Open every image of a folder, a CSV file or shards, and compare all of them.

    progress: called with (images looked at, all images).
    Raises: DataError where there are no images to look at.
    """
    start = time.perf_counter()
    listing = find_images(path, verify=False, progress=None, check=True)
    seen = map_files(_look, listing.entries, progress)
    sound = [each for each in seen if each.trouble is None]
    findings = [
        *(
            Finding(each.trouble.fault, each.trouble.path, each.trouble.why)
            for each in seen
            if each.trouble is not None
        ),
        *(Finding(each.fault, each.path, each.why) for each in listing.troubles),
        *_alike(sound),
        *(finding for each in sound for finding in _odd(each)),
        *_strays(listing),
        *_class_findings(listing),
    ]
    return CheckReport(
        root=listing.root,
        images=len(listing.entries),
        classes=dict(
            sorted(collections.Counter(label for each in listing.entries for label in listing.labels_of(each)).items())
        ),
        splits=dict(sorted(collections.Counter(each.split or "" for each in listing.entries).items())),
        findings=tuple(sorted(findings, key=lambda each: (str(each.path), each.kind))),
        notes=tuple(_notes(listing, sound)),
        seconds=time.perf_counter() - start,
    )


def _look(entry: Entry) -> _Seen:
    if entry.facts is not None and entry.facts.trouble is not None:  # a sample without a label, say
        return _Seen(entry, trouble=entry.facts.trouble)
    try:
        kind, size = image_header(entry.path)
        pixels = pixel_digest(open_image(entry.path, COMPARED_AT), size)
        content = hashlib.blake2b(entry.path.read_bytes(), digest_size=16).digest()
    except ImageError as error:
        return _Seen(entry, trouble=error)
    except OSError as error:
        return _Seen(entry, trouble=ImageError(entry.path, "unreadable", f"cannot be read ({error.strerror})."))
    return _Seen(entry, content, pixels, kind, size)


def pixel_digest(image: Image.Image, size: Size) -> bytes:
    """What tells an image from all others: of the pixels of the whole one, opened for `COMPARED_AT`, and its size."""
    return hashlib.blake2b(b"%d %d " % size + image.tobytes(), digest_size=16).digest()


def _alike(sound: list[_Seen]) -> list[Finding]:
    """Duplicates, contradictions and leaks: each image against the earlier ones that show the same."""
    findings = []
    groups: dict[bytes, list[_Seen]] = collections.defaultdict(list)
    for each in sound:
        earlier = groups[each.pixels]
        labelled = next((one for one in earlier if one.entry.label != each.entry.label), None)
        leaking = next((one for one in earlier if one.entry.split != each.entry.split), None)
        if labelled is not None:
            findings.append(_pair("mislabelled", each, labelled, f"another class ({labelled.entry.label})"))
        if leaking is not None:
            findings.append(_pair("leak", each, leaking, f"another split ({leaking.entry.split or 'none'})"))
        if earlier and labelled is None and leaking is None:
            findings.append(_pair("duplicate", each, earlier[0], "the same class"))
        earlier.append(each)
    return findings


def _pair(kind: Kind, one: _Seen, other: _Seen, where: str) -> Finding:
    same = "bytes" if one.content == other.content else "pixels"
    return Finding(kind, one.entry.path, f"the same {same} as {other.entry.name} in {where}", other.entry.path)


def _odd(seen: _Seen) -> list[Finding]:
    findings = []
    if min(seen.size) < TINY:
        height, width = seen.size
        findings.append(Finding("tiny", seen.entry.path, f"only {width} x {height} pixels"))
    named = SUFFIXES.get(seen.entry.path.suffix.lower())
    if seen.format != named:
        findings.append(
            Finding("wrong-suffix", seen.entry.path, f"the content is {seen.format}, the name says {named}")
        )
    return findings


def _strays(listing: Listing) -> list[Finding]:
    findings = []
    for path in listing.strays:
        try:
            kind, _ = image_header(path)
        except ImageError:
            findings.append(Finding("stray", path, "not an image; it is not used"))
            continue
        if is_image_name(path):
            findings.append(Finding("stray", path, "an image outside of any class; it is not used"))
        else:
            findings.append(
                Finding("wrong-suffix", path, f"the content is {kind}, the name does not say so; it is not used")
            )
    return findings


def _class_findings(listing: Listing) -> list[Finding]:
    findings = [Finding("empty-class", each, "a class folder without images") for each in listing.empty_classes]
    findings += [Finding("mislabelled", path, said) for path, said in listing.contradictions]
    if len(listing.classes) == 1:
        findings.append(Finding("single-class", listing.root, f"only one class ({listing.classes[0]})"))
    learnt = (each for each in listing.entries if each.split in (None, "train"))
    known = {label for each in learnt for label in listing.labels_of(each)}
    for label in sorted(set(listing.classes) - known):
        findings.append(Finding("unknown-class", listing.root, f"class {label} has no training images"))
    return findings


def _notes(listing: Listing, sound: list[_Seen]) -> list[str]:
    notes = []
    learnt = (each for each in listing.entries if each.split in (None, "train"))
    counts = collections.Counter(label for each in learnt for label in listing.labels_of(each)).most_common()
    if counts and counts[0][1] >= IMBALANCE * counts[-1][1]:
        most, least = counts[0], counts[-1]
        notes.append(f"Unbalanced: {most[0]} has {most[1]} training images, {least[0]} only {least[1]}.")
    if sound:
        sides = sorted((each.size for each in sound), key=lambda size: size[0] * size[1])
        small, large = (f"{size[1]} x {size[0]}" for size in (sides[0], sides[-1]))
        middle = statistics.median_low(min(size) for size in sides)
        notes.append(f"Sizes from {small} to {large} pixels; the median shorter side is {middle}.")
    huge = [each for each in sound if each.size[0] * each.size[1] > HUGE]
    if huge:
        name = huge[0].entry.name
        notes.append(
            f"{len(huge)} images of more than {HUGE // 10**6} million pixels slow down training, first {name}."
        )
    return notes
