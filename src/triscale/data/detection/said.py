"""What a set of images with boxes says, before any image is opened and anything is believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

from triscale.data.images import Fault
from triscale.data.member import ImagePlace
from triscale.spec.network import Size

Corners = tuple[float, float, float, float]

# What four numbers mean, in pixels of the image unless they are normalised:
#   xywh        x1, y1, width, height (COCO)
#   xyxy        x1, y1, x2, y2
#   voc         the same with pixels counted from 1, both ends inside the box (Pascal VOC)
#   cxcywh      centre and size, normalised: shares of the image's width and height (YOLO)
Form = Literal["xywh", "xyxy", "voc", "cxcywh"]

# What a fault is about: a fault of an image file (see `triscale.data.images.ImageError`), or
#   bad-record      a record or file of records that cannot be understood
#   not-a-number    NaN, infinity or words where numbers belong
#   wrong-form      most boxes of a file fit their images only when read in another form
#   normalised      shares of the image where pixels are expected
#   pixels          pixels where shares of the image are expected
#   outside         a box that leaves its image
#   no-area         a box of no or of negative width or height
#   unknown-class   the id of a class that the set does not name
#   unknown-image   a box of an image that the set does not list
#   wrong-size      the image has another size than its record says
#   duplicate-id    an id given twice
#   class-names     names that differ only by case or spaces, one class under several ids, or splits that disagree
#   empty-set       no images, or a split without objects
# and what can be learnt from, but should not (only `triscale data check` looks for it):
#   duplicate       the same image again in the same split
#   leak            the same image in two splits
#   duplicate-box   the same box with the same class again
#   contradiction   the same box with two classes, or the same image with other boxes
#   tiny            a box of less than 2 pixels
#   unused-class    a class without a box to learn from
BoxFault = Fault | Literal[
    "bad-record", "not-a-number", "wrong-form", "normalised", "pixels", "outside", "no-area", "unknown-class",
    "unknown-image", "wrong-size", "duplicate-id", "class-names", "empty-set", "duplicate", "leak", "duplicate-box",
    "contradiction", "tiny", "unused-class",
]  # fmt: skip


class SaidBox(NamedTuple):
    """One box as its record says it.

    values: four finite numbers in the listing's form. label: the class's position in `BoxListing.classes`.
    key: what finds the record in its file: an id, a line. crowd: COCO's iscrowd, VOC's difficult. area: of the object
        itself, in pixels, where COCO says it.
    """

    values: Corners
    label: int
    key: int | str
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True, slots=True)
class SaidImage:
    """One image as its record says it.

    name: unique in the listing; the path relative to the set's root, with "/". path: where the file is, or was to be.
    source: the file that its boxes are from ("annotations/train.json"), unit: what a box is called there.
    record: where the image itself stands. size: (H, W), where the set says it. split: where the set says it.
    lost: why nothing can be at `path`, where that is known.
    """

    name: str
    path: Path
    record: str
    source: str
    unit: str
    boxes: Sequence[SaidBox] = ()
    size: Size | None = None
    split: str | None = None
    lost: str = ""

    def record_of(self, box: SaidBox) -> str:
        """Where a box of this image stands: "train.json: annotation 17"."""
        return f"{self.source}: {self.unit} {box.key}"

    def with_boxes(self, boxes: Sequence[SaidBox]) -> SaidImage:
        """The same image with other boxes."""
        return replace(self, boxes=boxes)


@dataclass(frozen=True, slots=True)
class BoxFinding:
    """One thing that is wrong. path: the image or the file of records. record: the place in it. other: a second one."""

    kind: BoxFault
    path: ImagePlace | str
    record: str
    message: str
    other: str | None = None

    def said(self) -> str:
        """One line: where, and what."""
        return f"{self.record or self.path}: {self.message}"


@dataclass(frozen=True, slots=True)
class BoxListing:
    """Everything that a set says.

    layout: "COCO", "VOC" or "YOLO". form: what the four numbers of its boxes are. classes: names by number.
    named_in: for each class the file that names it, and where.
    images: sorted by name. findings: what was wrong in the records themselves; what they say is not among the images.
    doubts: what can be read, and may be wrong all the same. notes: what a person should know, one sentence each.
    """

    root: Path
    layout: str
    form: Form
    classes: tuple[str, ...]
    named_in: tuple[tuple[Path, str], ...]
    images: tuple[SaidImage, ...]
    findings: tuple[BoxFinding, ...] = ()
    doubts: tuple[BoxFinding, ...] = ()
    notes: tuple[str, ...] = ()

    def joined(
        self, findings: Sequence[BoxFinding] = (), doubts: Sequence[BoxFinding] = (), notes: Sequence[str] = ()
    ) -> BoxListing:
        """The same with more to say."""
        return replace(
            self,
            findings=(*self.findings, *findings),
            doubts=(*self.doubts, *doubts),
            notes=(*self.notes, *notes),
        )


@dataclass(slots=True)
class Gathered:
    """What a reader has found so far; the fields are those of `BoxListing`."""

    images: list[SaidImage] = field(default_factory=list)
    findings: list[BoxFinding] = field(default_factory=list)
    doubts: list[BoxFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def listing(self, root: Path, layout: str, form: Form, classes: dict[str, tuple[Path, str]]) -> BoxListing:
        """All of it, each image once. classes: in order, each with the file that names it, and where.

        A file that is listed twice would have two sets of boxes, or be in two splits: the second record is named and
        left out.
        """
        first: dict[Path, SaidImage] = {}
        for each in self.images:
            before = first.setdefault(each.path, each)
            if before is not each:
                self.findings.append(_listed_again(each, before))
        images = sorted(first.values(), key=lambda each: each.name)
        return BoxListing(
            root=root,
            layout=layout,
            form=form,
            classes=tuple(classes),
            named_in=tuple(classes.values()),
            images=tuple(images),
            findings=tuple(self.findings),
            doubts=tuple(self.doubts),
            notes=tuple(self.notes),
        )


def _listed_again(image: SaidImage, before: SaidImage) -> BoxFinding:
    if image.split == before.split:
        message = f"{image.name} is listed again; first as {before.record}"
        return BoxFinding("duplicate", image.path, image.record, message, before.record)
    message = f"{image.name} is in {image.split or 'no split'}, and in {before.split or 'no split'} as {before.record}"
    return BoxFinding("leak", image.path, image.record, message, before.record)


def corners(values: Corners, form: Form, size: Size) -> Corners:
    """Four numbers as (x1, y1, x2, y2) in pixels of an image of `size` (H, W); neither clipped nor ordered."""
    a, b, c, d = values
    if form == "xywh":
        return a, b, a + c, b + d
    if form == "xyxy":
        return a, b, c, d
    if form == "voc":
        return a - 1, b - 1, c, d
    height, width = size
    return (a - c / 2) * width, (b - d / 2) * height, (a + c / 2) * width, (b + d / 2) * height
