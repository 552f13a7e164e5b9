"""Each box held against its image: what can be learnt from, and what is wrong with the rest."""

from __future__ import annotations

from dataclasses import dataclass

from triscale.data.detection.dataset import BoxLabel
from triscale.data.detection.said import BoxFault, BoxFinding, Corners, Form, SaidBox, SaidImage, corners
from triscale.data.images import ImageError
from triscale.spec.network import Size

SLACK = 2.0  # pixels outside of the image that are rounding, not a fault


@dataclass(frozen=True, slots=True)
class Judged:
    """One image with its boxes as they can be learnt.

    size: (H, W) as a person sees it; (0, 0) where that is unknown. boxes: inside of the image.
    findings: what cannot be used. usable: whether the image itself can. clipped: boxes that left it by less than
    `SLACK` and were cut. rejected: where the boxes of `findings` would be, in their order, if the image is usable.
    turned: whether the records were of the stored, not of the shown image. kept: the records of `boxes`, in order.
    """

    said: SaidImage
    size: Size
    boxes: tuple[BoxLabel, ...]
    findings: tuple[BoxFinding, ...]
    usable: bool
    clipped: int = 0
    turned: bool = False
    rejected: tuple[Corners, ...] = ()
    kept: tuple[SaidBox, ...] = ()


def judge(image: SaidImage, form: Form, shown: Size, turn: int = 1) -> Judged:
    """Hold the records of one image against it.

    shown: (H, W) of the image as a person sees it. turn: EXIF's orientation; from 5 on stored and shown sizes are
        each other's transposed, and boxes of an image whose record says the stored size are turned with it.
    """
    turned = turn >= 5 and image.size is not None and image.size == shown[::-1] and image.size != shown
    if image.size is not None and image.size != shown and not turned:
        return Judged(image, shown, (), (_wrong_size(image, shown),), usable=False)
    boxes, kept, findings, rejected, clipped = [], [], [], [], 0
    for each in image.boxes:
        place = corners(each.values, form, shown[::-1] if turned else shown)
        if turned:
            place = _turned(place, shown, turn)
        fault = fault_of(place, each, form, shown)
        if fault is not None:
            findings.append(BoxFinding(fault[0], image.path, image.record_of(each), fault[1]))
            rejected.append(place)
            continue
        inside = _clip(place, shown)
        clipped += inside != place
        boxes.append(BoxLabel(*inside, each.label, each.crowd, each.area))
        kept.append(each)
    return Judged(image, shown, tuple(boxes), tuple(findings), True, clipped, turned, tuple(rejected), tuple(kept))


def unusable(image: SaidImage, error: ImageError) -> Judged:
    """An image that cannot be opened."""
    finding = BoxFinding(error.fault, error.path, image.record, f"{image.name}: {error.why.rstrip('.')}")
    return Judged(image, (0, 0), (), (finding,), usable=False)


def fault_of(place: Corners, said: SaidBox, form: Form, size: Size) -> tuple[BoxFault, str] | None:
    """What is wrong with a box (x1, y1, x2, y2) in an image of `size`, if anything is."""
    height, width = size
    x1, y1, x2, y2 = place
    largest, least = max(said.values), min(said.values)
    if form == "cxcywh" and least >= 0 and largest > 2:
        return "pixels", f"[{_shown(said)}]: pixels? expected shares of the image, 0 to 1"
    if form != "cxcywh" and least >= 0 and 0 < largest <= 1 and min(height, width) > 2:
        return "normalised", f"[{_shown(said)}]: shares of the image? expected pixels of {width} x {height}"
    if x2 <= x1 or y2 <= y1:
        return "no-area", f"[{_shown(said)}]: {x2 - x1:.6g} wide and {y2 - y1:.6g} high"
    over = max(-x1, -y1, x2 - width, y2 - height)
    if over > SLACK or min(x2, width) <= max(x1, 0) or min(y2, height) <= max(y1, 0):
        return "outside", f"[{_shown(said)}] leaves the image of {width} x {height} by {over:.6g} pixels"
    return None


def _shown(said: SaidBox) -> str:
    return ", ".join(f"{each:.6g}" for each in said.values)


def _clip(place: Corners, size: Size) -> Corners:
    height, width = size
    x1, y1, x2, y2 = place
    return max(float(x1), 0.0), max(float(y1), 0.0), min(float(x2), float(width)), min(float(y2), float(height))


def _wrong_size(image: SaidImage, shown: Size) -> BoxFinding:
    height, width = image.size or shown
    swapped = " (height and width are swapped)" if (width, height) == shown else ""
    message = f"the record says {width} x {height}, {image.name} is {shown[1]} x {shown[0]}{swapped}"
    return BoxFinding("wrong-size", image.path, image.record, message)


def _turned(place: Corners, shown: Size, turn: int) -> Corners:
    """A box of the stored image in the image as shown: EXIF's orientations 5 to 8 swap the axes, and flip some.

    Source: Exif 2.32, tag 274: 5 swaps the axes alone, 6 is shown turned clockwise, 8 the other way, 7 both flipped.
    """
    height, width = shown
    x1, y1, x2, y2 = place
    left, right = (width - y2, width - y1) if turn in (6, 7) else (y1, y2)
    top, bottom = (height - x2, height - x1) if turn in (7, 8) else (x1, x2)
    return left, top, right, bottom
