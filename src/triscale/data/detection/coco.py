"""COCO JSON: images, annotations and categories in one file, or in one for each split.

Source: https://cocodataset.org/#format-data; exports of labelling tools differ in where the images lie, how ids are
counted and what stands before file names.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import json
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from triscale.data.detection.classes import NamedClass, doubtful_names, learnt_names
from triscale.data.detection.places import Places, read_limited, relative_name
from triscale.data.detection.said import BoxFault, BoxFinding, BoxListing, Gathered, SaidBox, SaidImage
from triscale.errors import DataError
from triscale.spec.network import Size

MOST_BYTES = 4_000_000_000  # the largest public set (Objects365) has 1.8 GB of annotations with its outlines


class _Document(msgspec.Struct, gc=False):
    images: list[_Image] | None = None
    annotations: list[_Annotation] | None = None
    categories: list[_Category] | None = None


# Values are `Any`, because a wrong one is to be named with its record, not to end the reading of the file.
class _Image(msgspec.Struct, gc=False):
    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class _Annotation(msgspec.Struct, gc=False):
    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    iscrowd: Any = 0
    area: Any = None


class _Category(msgspec.Struct, gc=False):
    id: Any = None
    name: Any = None
    supercategory: Any = None


@dataclass(slots=True)
class _File:
    """One JSON file with its split and the folders that its images may be in."""

    path: Path
    name: str
    split: str | None
    document: _Document
    names: dict[Any, str] = field(default_factory=dict)  # category id -> name


def read_coco(root: Path, files: Sequence[tuple[Path, str | None]], folders: Sequence[Sequence[Path]]) -> BoxListing:
    """What COCO JSON files say.

    root: the set's folder. files: each with its split, None where it is for all. folders: for each file, where its
        images may lie, likeliest first.
    Raises: DataError for a file that cannot be read as COCO JSON at all; what is wrong in it is listed.
    """
    gathered = Gathered()
    with _no_collection():
        read = [_read(path, relative_name(path, root), split, gathered) for path, split in files]
        named = _named(read, gathered)
        classes, unknown = learnt_names(named)
        gathered.findings += unknown
        places = Places(root)
        for file, near in zip(read, folders, strict=True):
            _gather(file, classes, places, root, near, gathered)
    gathered.doubts += doubtful_names(named)
    return gathered.listing(root, "COCO", "xywh", classes)


def _read(path: Path, name: str, split: str | None, gathered: Gathered) -> _File:
    data = read_limited(path, MOST_BYTES, "COCO files").removeprefix(b"\xef\xbb\xbf")
    try:
        document = _decode(data)
    except (msgspec.ValidationError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: not COCO JSON ({error}); expected an object with lists images, annotations and categories."
        ) from error
    if document.images is None or document.categories is None:
        lacking = "images" if document.images is None else "categories"
        raise DataError(
            f"{path}: no list {lacking!r} in it; COCO JSON has images, annotations and categories "
            "(results alone, without images, are no ground truth)."
        )
    file = _File(path, name, split, document)
    for number, each in enumerate(document.categories):
        where = f"{name}: category {_key(each.id, number)}"
        if not _is_id(each.id) or not isinstance(each.name, str) or not each.name.strip():
            message = f"id {each.id!r} and name {each.name!r}; expected a number and a name"
            gathered.findings.append(BoxFinding("bad-record", path, where, message))
        elif each.id in file.names:
            message = f"the id is also that of {file.names[each.id]!r}; ids must be given once"
            gathered.findings.append(BoxFinding("duplicate-id", path, where, message))
        else:
            file.names[each.id] = each.name
    return file


def _decode(data: bytes) -> _Document:
    try:
        return msgspec.json.decode(data, type=_Document)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # NaN and Infinity are no JSON, but Python's own writer writes them
        return msgspec.convert(json.loads(data), _Document)


@contextlib.contextmanager
def _no_collection() -> Generator[None]:
    """A million small objects that all stay alive: looking for cycles among them takes half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _named(files: Sequence[_File], gathered: Gathered) -> list[NamedClass]:
    """Every category of every file, in the order of ids; a labelling tool's placeholder is left out."""
    named = []
    for file in files:
        used = collections.Counter(
            each.category_id for each in file.document.annotations or () if _is_id(each.category_id)
        )
        for key in sorted(file.names, key=_order):
            where = f"{file.name}: category {key}"
            named.append(NamedClass(file.names[key], key, file.split, file.path, where, used[key]))
    placeholders = _placeholders(files) - {each.name for each in named if each.used}
    if not placeholders or len({each.name for each in named}) == len(placeholders):
        return named
    listed = ", ".join(sorted(placeholders))
    gathered.notes.append(f"Category {listed} only groups the others and has no box: it is no class.")
    return [each for each in named if each.name not in placeholders]


def _placeholders(files: Sequence[_File]) -> set[str]:
    """Roboflow's category 0: the supercategory of others, itself below none."""
    names: dict[str, str] = {}  # name -> supercategory
    for file in files:
        for each in file.document.categories or ():
            above = each.supercategory if isinstance(each.supercategory, str) else ""
            names[each.name if isinstance(each.name, str) else ""] = above
    return {above for name, above in names.items() if above != name and names.get(above) in ("", "none")}


def _gather(
    file: _File, classes: Iterable[str], places: Places, root: Path, folders: Sequence[Path], gathered: Gathered
) -> None:
    images = _images(file, gathered)
    boxes = _boxes(file, images, {name: number for number, name in enumerate(classes)}, gathered)
    found = places.find([each.file_name for each in images.values()], folders)
    for (number, each), (path, _) in zip(images.items(), found, strict=True):
        size = _size(each, file, gathered)
        gathered.images.append(
            SaidImage(
                name=relative_name(path, root),
                path=path,
                record=f"{file.name}: image {number}",
                source=file.name,
                unit="annotation",
                boxes=boxes.get(number, ()),
                size=size,
                split=file.split,
            )
        )


def _images(file: _File, gathered: Gathered) -> dict[Any, _Image]:
    """Images by id."""
    images: dict[Any, _Image] = {}
    if not file.document.images:
        gathered.doubts.append(BoxFinding("empty-set", file.path, file.name, "no images in it"))
    for position, each in enumerate(file.document.images or ()):
        where = f"{file.name}: image {_key(each.id, position)}"
        if not _is_id(each.id) or not isinstance(each.file_name, str) or not each.file_name.strip():
            message = f"id {each.id!r} and file_name {each.file_name!r}; expected a number and a name"
            gathered.findings.append(BoxFinding("bad-record", file.path, where, message))
        elif each.id in images:
            message = f"{each.file_name} has the id of {images[each.id].file_name}; whose boxes are whose is unknown"
            gathered.findings.append(BoxFinding("duplicate-id", file.path, where, message))
        else:
            images[each.id] = each
    return images


def _boxes(
    file: _File, images: dict[Any, _Image], numbers: dict[str, int], gathered: Gathered
) -> dict[Any, list[SaidBox]]:
    """Boxes by image id; what cannot be one is named."""
    found: dict[Any, list[SaidBox]] = collections.defaultdict(list)
    labels = {number: numbers[name] for number, name in file.names.items() if name in numbers}
    seen: set[Any] = set()
    for position, each in enumerate(file.document.annotations or ()):
        fault = _fault(each, images, file.names)
        if fault is None and each.id in seen:
            fault = "duplicate-id", f"the id {each.id!r} is given to another annotation before"
        if fault is not None:
            where = f"{file.name}: annotation {_key(each.id, position)}"
            gathered.findings.append(BoxFinding(fault[0], file.path, where, fault[1]))
            continue
        if each.id is not None:
            seen.add(each.id)
        if each.category_id not in labels:  # a class that train has not, named as such
            continue
        key = f"#{position + 1}" if each.id is None else each.id
        crowd = each.iscrowd in (1, "1")
        box = SaidBox(tuple(each.bbox), labels[each.category_id], key, crowd, _area(each))
        found[each.image_id].append(box)
    return found


def _fault(each: _Annotation, images: dict[Any, _Image], names: dict[Any, str]) -> tuple[BoxFault, str] | None:
    if not _is_key(each.id) or not _is_key(each.image_id) or not _is_key(each.category_id):
        return "bad-record", f"ids must be whole numbers, got {each.id!r}, {each.image_id!r} and {each.category_id!r}"
    if each.image_id not in images:
        return "unknown-image", f"image_id {each.image_id!r} is none of the {len(images)} images of the file"
    if each.category_id not in names:
        known = ", ".join(str(number) for number in sorted(names, key=_order)[:8])
        return "unknown-class", f"category_id {each.category_id!r} is none of the categories ({known})"
    return box_fault(each.bbox)


def box_fault(values: Any) -> tuple[BoxFault, str] | None:
    """Why these are not four finite numbers, if they are not."""
    if type(values) is not list or len(values) != 4:
        why = "no bbox" if values is None else f"bbox {str(values)[:60]}"
        return "bad-record", f"{why}; expected bbox: [x, y, width, height] (outlines alone are not read)"
    for value in values:
        if (type(value) is not float and type(value) is not int) or not math.isfinite(value):
            return "not-a-number", f"{value!r} in bbox {str(values)[:60]}; expected four numbers"
    return None


def _area(each: _Annotation) -> float | None:
    """Of the object, where that is a number of pixels other than its box's; what else it is harms nobody."""
    is_number = type(each.area) is float or type(each.area) is int
    if not is_number or not 0 < each.area < math.inf or each.area == each.bbox[2] * each.bbox[3]:
        return None
    return float(each.area)


def _size(each: _Image, file: _File, gathered: Gathered) -> Size | None:
    if each.width is None and each.height is None:
        return None
    if _is_count(each.width) and _is_count(each.height):
        return int(each.height), int(each.width)
    where = f"{file.name}: image {each.id}"
    message = f"width {each.width!r} and height {each.height!r}; expected two numbers of pixels"
    gathered.findings.append(BoxFinding("wrong-size", file.path, where, message))
    return None


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value < 1e9 and value == int(value)


def _is_id(value: Any) -> bool:
    return type(value) is int or type(value) is str or (type(value) is float and value.is_integer())


def _is_key(value: Any) -> bool:
    """Whether it can be looked up: an id, or none."""
    return value is None or _is_id(value)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _key(value: Any, position: int) -> str:
    return f"{value}" if _is_id(value) else f"#{position + 1}"
