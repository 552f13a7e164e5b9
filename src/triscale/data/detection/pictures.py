"""Pictures of a checked set: its boxes as they were read, drawn where they were read to be."""

from __future__ import annotations

import collections
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from triscale import atomic
from triscale.data.detection.check import BoxReport
from triscale.data.detection.draw import RED, Mark, class_colour, contact_sheet, draw_marks
from triscale.data.detection.judge import Judged
from triscale.data.images import ImageError, open_image
from triscale.data.member import ImagePlace
from triscale.errors import FileError
from triscale.spec.network import Size

MOST = 24
_LARGEST = (1600, 1600)  # pixels that a picture is decoded for


def draw_report(report: BoxReport, folder: Path, most: int = MOST) -> list[Path]:
    """Draw images of a checked set with their boxes into a folder, and all of them on one sheet.

    Half of the places are for images with something wrong, if there are so many; the others show every class that they
    can, and an image without objects.
    Returns: the files, the sheet first; none where no image can be drawn. Raises: FileError where they cannot be
        written.
    """
    require_folder(folder)
    wrong = collections.defaultdict(list)
    for each in report.findings:
        wrong[str(each.path)].append(each.kind)
    names = list(report.classes)
    cells, files = [], []
    for judged in choose(report, most):
        try:
            image = open_image(judged.said.path, _LARGEST)
        except ImageError:  # gone since it was looked at
            continue
        kinds = list(dict.fromkeys([*wrong[str(judged.said.path)], *(each.kind for each in judged.findings)]))
        marks = marks_of(judged, names, image.width / judged.size[1])
        count = len(judged.boxes)
        caption = f"{Path(judged.said.name).name}: {count} box{'' if count == 1 else 'es'}{', '.join(['', *kinds])}"
        cells.append((image, marks, caption, bool(kinds)))
        files.append(_write(draw_marks(image, marks), folder / f"{len(cells):02d}-{Path(judged.said.name).stem}.jpg"))
    if not cells:
        return []
    return [_write(contact_sheet(cells), folder / "sheet.jpg"), *files]


def draw_found(path: ImagePlace, marks: Sequence[Mark], size: Size, target: Path) -> Path:
    """Draw boxes into an image, as a JPEG.

    marks: in pixels of the upright image, whose (H, W) is `size`. target: ends in .jpg.
    Raises: ImageError where the image cannot be read; FileError where the picture cannot be written.
    """
    image = open_image(path, _LARGEST)
    scale = image.width / size[1]  # a large JPEG is decoded smaller
    scaled = [replace(each, box=tuple(side * scale for side in each.box)) for each in marks]
    return _write(draw_marks(image, scaled), target)


def require_folder(folder: Path) -> None:
    """Raise FileError where pictures cannot go; ask before any work is done."""
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file; give a folder for the pictures.")


def _write(picture: Image.Image, path: Path) -> Path:
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=92, subsampling=0)
    atomic.write_bytes(path, data.getvalue())
    return path


def marks_of(judged: Judged, classes: Sequence[str], scale: float = 1.0) -> list[Mark]:
    """What is to be drawn of an image: its boxes, and dashed in red those that cannot be used, each with its fault.

    scale: of the picture to the image.
    """
    marks = []
    for box in judged.boxes:
        x1, y1, x2, y2 = (each * scale for each in box[:4])
        name = f"{classes[box.label]}{' (crowd)' if box.crowd else ''}"
        marks.append(Mark((x1, y1, x2, y2), name, class_colour(box.label), dashed=box.crowd))
    for place, finding in zip(judged.rejected, judged.findings, strict=False):
        x1, y1, x2, y2 = (each * scale for each in place)
        marks.append(Mark((x1, y1, x2, y2), finding.kind, RED, dashed=True))
    return marks


def choose(report: BoxReport, most: int) -> list[Judged]:
    """The images to draw, in the order of the set."""
    usable = [each for each in report.judged if each.usable]
    wrong = {str(each.path) for each in report.findings}
    faulty = [number for number, each in enumerate(usable) if each.findings or str(each.said.path) in wrong]
    chosen = set(_spread(faulty, max(most // 2, most - (len(usable) - len(faulty)))))
    seen = {box.label for number in chosen for box in usable[number].boxes}
    rare = collections.Counter(box.label for each in usable for box in each.boxes)
    for label in sorted(rare, key=lambda each: rare[each]):
        if label not in seen and len(chosen) < most:
            number = next(n for n, each in enumerate(usable) if any(box.label == label for box in each.boxes))
            chosen.add(number)
            seen |= {box.label for box in usable[number].boxes}
    empty = [number for number, each in enumerate(usable) if not each.said.boxes]
    if empty and len(chosen) < most and not chosen & set(empty):
        chosen.add(empty[len(empty) // 2])
    left = [number for number in range(len(usable)) if number not in chosen]
    chosen |= set(_spread(left, most - len(chosen)))
    return [usable[number] for number in sorted(chosen)]


def _spread(items: Sequence[int], count: int) -> list[int]:
    """Up to `count` of them, evenly spread."""
    count = min(max(count, 0), len(items))
    return [items[number * len(items) // count] for number in range(count)]
