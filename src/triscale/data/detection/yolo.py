"""YOLO: a text file for each image, a line for each object: class, centre and size as shares of the image.

Source: https://docs.ultralytics.com/datasets/detect/: labels/ beside images/, data.yaml with the names; LabelImg and
Darknet put the text file beside the image, and the names into classes.txt or obj.names.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from triscale.data.detection.classes import NamedClass, doubtful_names, learnt_names
from triscale.data.detection.places import read_text, relative_name
from triscale.data.detection.said import BoxFinding, BoxListing, Corners, Gathered, SaidBox, SaidImage
from triscale.errors import DataError

MOST_BYTES = 20_000_000  # of one image's labels
_MOST_CLASSES = 100_000
NOT_LABELS = {"classes.txt", "labels.txt", "names.txt", "obj.names", "readme.txt", "notes.txt"}


@dataclass(frozen=True, slots=True)
class YoloSource:
    """What a YOLO set consists of.

    names: of the classes, empty where nothing says them; named_in: the file that does. images: each with its split.
    lost: images that a list names and that are not there: (path, the list, line, why). empty: splits without images,
    and their folders. keypoints: whether key points stand behind the box on each line.
    """

    root: Path
    names: tuple[str, ...]
    named_in: Path | None
    images: Sequence[tuple[Path, str | None]]
    lost: Sequence[tuple[Path, Path, int, str]] = ()
    empty: Sequence[tuple[str, Path]] = ()
    keypoints: bool = False


def read_yolo(source: YoloSource) -> BoxListing:
    """What the label files of these images say. An image without one has no objects.

    Raises: DataError where nothing says how many classes there are.
    """
    gathered = Gathered()
    root = source.root
    numbers: set[int] = set()
    label_files: dict[Path, str] = {}
    outlines = 0
    for path, split in source.images:
        name, labels = relative_name(path, root), label_file(path)
        before = label_files.setdefault(labels, name)
        boxes: list[SaidBox] = []
        where = name
        if labels.is_file():
            where = relative_name(labels, root)
            boxes, more = _read(labels, where, gathered, source.keypoints)
            outlines += more
            if before != name:
                message = f"{name} has the labels of {before}; images need names of their own"
                gathered.doubts.append(BoxFinding("duplicate-id", path, where, message, before))
        numbers.update(each.label for each in boxes)
        gathered.images.append(SaidImage(name, path, where, where, "line", boxes, None, split))
    names = source.names or tuple(str(each) for each in range(max(numbers, default=-1) + 1))
    if not source.names:
        gathered.notes.append("Nothing names the classes (data.yaml, classes.txt): they are called by their numbers.")
    if outlines:
        gathered.notes.append(f"{outlines} outlines were read as the boxes around them.")
    _drop_unknown(names, gathered)
    _find_orphans(label_files.keys(), root, gathered)
    for path, table, line, why in source.lost:
        where = f"{relative_name(table, root)}: line {line}"
        gathered.findings.append(BoxFinding("missing", path, where, f"{relative_name(path, root)}: {why}"))
    for split, folder in source.empty:
        gathered.doubts.append(BoxFinding("empty-set", folder, relative_name(folder, root), f"no images for {split}"))
    named_in = source.named_in or root
    where = relative_name(named_in, root)
    named = [NamedClass(name, number, None, named_in, f"{where}: class {number}") for number, name in enumerate(names)]
    gathered.doubts += doubtful_names(named)
    return _merged(gathered, names).listing(root, "YOLO", "cxcywh", learnt_names(named)[0])


def label_file(image: Path) -> Path:
    """Where the labels of an image are: in labels/ where it is in images/, if there is one; else beside it."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() == "images":
            parts[place] = "labels" if parts[place].islower() else "Labels"
            inside = Path(*parts).with_suffix(".txt")
            beside = image.with_suffix(".txt")
            return inside if inside.is_file() or not beside.is_file() else beside
    return image.with_suffix(".txt")


def _read(path: Path, where: str, gathered: Gathered, keypoints: bool) -> tuple[list[SaidBox], int]:
    """The boxes of a label file, and how many of them are outlines; key points behind a box are passed over."""
    try:
        lines = read_text(path, MOST_BYTES, "label files").splitlines()
    except DataError as error:
        why = str(error).removeprefix(f"{path}: ")
        gathered.findings.append(BoxFinding("bad-record", path, where, why))
        return [], 0
    boxes, outlines = [], 0
    for number, line in enumerate(lines, start=1):
        words = line.split()[: 5 if keypoints else None]
        if not words:
            continue
        try:
            values = [float(each) for each in words]
        except ValueError:
            values = [math.nan]
        record = f"{where}: line {number}"
        if not all(math.isfinite(each) for each in values):
            message = f"{line.strip()[:60]!r}; expected numbers: class, centre x, centre y, width, height"
            gathered.findings.append(BoxFinding("not-a-number", path, record, message))
        elif len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
            hint = " (the sixth may be a confidence: predictions are no labels)" if len(values) == 6 else ""
            message = f"{len(values)} numbers; expected class, centre x, centre y, width, height{hint}"
            gathered.findings.append(BoxFinding("bad-record", path, record, message))
        elif values[0] != int(values[0]) or not 0 <= values[0] < _MOST_CLASSES:
            message = f"class {words[0]}; expected a whole number from 0 to {_MOST_CLASSES - 1}"
            gathered.findings.append(BoxFinding("unknown-class", path, record, message))
        else:
            outlines += len(values) > 5
            boxes.append(SaidBox(_around(values[1:]), int(values[0]), number))
    return boxes, outlines


def _around(values: list[float]) -> Corners:
    """Centre and size as they are, or those of the box around an outline x1 y1 x2 y2 x3 y3 and so on."""
    if len(values) == 4:
        return values[0], values[1], values[2], values[3]
    left, right, top, bottom = min(values[::2]), max(values[::2]), min(values[1::2]), max(values[1::2])
    return (left + right) / 2, (top + bottom) / 2, right - left, bottom - top


def _drop_unknown(names: Sequence[str], gathered: Gathered) -> None:
    for place, image in enumerate(gathered.images):
        unknown = [each for each in image.boxes if each.label >= len(names)]
        for each in unknown:
            message = f"class {each.label} is none of the {len(names)} classes (0 to {len(names) - 1})"
            gathered.findings.append(BoxFinding("unknown-class", image.path, image.record_of(each), message))
        if unknown:
            known = [each for each in image.boxes if each.label < len(names)]
            gathered.images[place] = image.with_boxes(known)


def _find_orphans(known: Set[Path], root: Path, gathered: Gathered) -> None:
    """Label files whose image is not there."""
    for folder in sorted({each.parent for each in known}):
        for each in sorted(folder.glob("*.txt")) if folder.is_dir() else ():
            if each not in known and each.name.lower() not in NOT_LABELS and looks_like_labels(each):
                where = relative_name(each, root)
                message = f"no image belongs to these labels; expected {each.stem}.jpg or another suffix"
                gathered.findings.append(BoxFinding("missing", each, where, message))


def looks_like_labels(path: Path) -> bool:
    """Whether the first line of a text file is of five numbers or more, the first one whole."""
    try:
        with path.open("rb") as file:
            lines = file.read(4096).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").splitlines()
        words = next((line.split() for line in lines if line.strip()), [])
        return len(words) >= 5 and words[0].isdigit() and all(math.isfinite(float(each)) for each in words[:5])
    except (OSError, ValueError):
        return False


def _merged(gathered: Gathered, names: Sequence[str]) -> Gathered:
    """A name that has two numbers is one class."""
    if len(set(names)) == len(names):
        return gathered
    place = {name: number for number, name in enumerate(dict.fromkeys(names))}
    gathered.images = [
        image.with_boxes([each._replace(label=place[names[each.label]]) for each in image.boxes])
        for image in gathered.images
    ]
    return gathered
