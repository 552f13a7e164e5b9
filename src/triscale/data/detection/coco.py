"""COCO JSON: images, annotations and categories in one file, or in one for each split.

Source: https://cocodataset.org/#format-data; exports of labelling tools differ in where the images lie, how ids are
counted and what stands before file names.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from triscale.data.detection.classes import NamedClass, doubtful_names, learnt_names
from triscale.data.detection.coco_document import (
    MOST_PIXELS,
    Annotation,
    Document,
    Image,
    decode,
    is_count,
    is_id,
    is_key,
    key_of,
    no_collection,
    order_of,
    shown,
)
from triscale.data.detection.places import ABSENT, Places, read_limited, relative_name
from triscale.data.detection.said import BoxFault, BoxFinding, BoxListing, Gathered, SaidBox, SaidImage
from triscale.errors import DataError
from triscale.spec.network import Size

MOST_BYTES = 4_000_000_000  # the largest public set (Objects365) has 1.8 GB of annotations with its outlines


@dataclass(slots=True)
class _File:
    """One JSON file with its split and the folders that its images may be in."""

    path: Path
    name: str
    split: str | None
    document: Document
    names: dict[Any, str] = field(default_factory=dict)  # category id -> name


def read_coco(root: Path, files: Sequence[tuple[Path, str | None]], folders: Sequence[Sequence[Path]]) -> BoxListing:
    """What COCO JSON files say.

    root: the set's folder. files: each with its split, None where it is for all. folders: for each file, where its
        images may lie, likeliest first.
    Raises: DataError for a file that cannot be read as COCO JSON at all; what is wrong in it is listed.
    """
    gathered = Gathered()
    with no_collection():
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
        document = decode(data)
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
        where = f"{name}: category {key_of(each.id, number)}"
        if not is_id(each.id) or not isinstance(each.name, str) or not each.name.strip():
            message = f"id {shown(each.id)} and name {shown(each.name)}; expected a number and a name"
            gathered.findings.append(BoxFinding("bad-record", path, where, message))
        elif each.id in file.names:
            message = f"the id is also that of {file.names[each.id]!r}; ids must be given once"
            gathered.findings.append(BoxFinding("duplicate-id", path, where, message))
        else:
            file.names[each.id] = each.name
    return file


def _named(files: Sequence[_File], gathered: Gathered) -> list[NamedClass]:
    """Every category of every file, in the order of ids; a labelling tool's placeholder is left out."""
    named = []
    for file in files:
        used = collections.Counter(
            each.category_id for each in file.document.annotations or () if is_id(each.category_id)
        )
        for key in sorted(file.names, key=order_of):
            where = f"{file.name}: category {key_of(key, 0)}"
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
    found = places.find([each.file_name for each in images.values()], folders, file.split)
    for (number, each), (path, why) in zip(images.items(), found, strict=True):
        size = _size(each, file, gathered)
        gathered.images.append(
            SaidImage(
                name=relative_name(path, root),
                path=path,
                record=f"{file.name}: image {key_of(number, 0)}",
                source=file.name,
                unit="annotation",
                boxes=boxes.get(number, ()),
                size=size,
                split=file.split,
                lost="" if why == ABSENT else why,
            )
        )


def _images(file: _File, gathered: Gathered) -> dict[Any, Image]:
    """Images by id."""
    images: dict[Any, Image] = {}
    if not file.document.images:
        gathered.doubts.append(BoxFinding("empty-set", file.path, file.name, "no images in it"))
    for position, each in enumerate(file.document.images or ()):
        where = f"{file.name}: image {key_of(each.id, position)}"
        if not is_id(each.id) or not isinstance(each.file_name, str) or not each.file_name.strip():
            message = f"id {shown(each.id)} and file_name {shown(each.file_name)}; expected a number and a name"
            gathered.findings.append(BoxFinding("bad-record", file.path, where, message))
        elif each.id in images:
            names = shown(each.file_name), shown(images[each.id].file_name)
            message = f"{names[0]} has the id of {names[1]}; whose boxes are whose is unknown"
            gathered.findings.append(BoxFinding("duplicate-id", file.path, where, message))
        else:
            images[each.id] = each
    return images


def _boxes(
    file: _File, images: dict[Any, Image], numbers: dict[str, int], gathered: Gathered
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
            where = f"{file.name}: annotation {key_of(each.id, position)}"
            gathered.findings.append(BoxFinding(fault[0], file.path, where, fault[1]))
            continue
        if each.id is not None:
            seen.add(each.id)
        if each.category_id not in labels:  # a class that train has not, named as such
            continue
        key = each.id if type(each.id) is int else key_of(each.id, position)
        crowd = each.iscrowd in (1, "1")
        box = SaidBox(tuple(each.bbox), labels[each.category_id], key, crowd, _area(each))
        found[each.image_id].append(box)
    return found


def _fault(each: Annotation, images: dict[Any, Image], names: dict[Any, str]) -> tuple[BoxFault, str] | None:
    if not is_key(each.id) or not is_key(each.image_id) or not is_key(each.category_id):
        return (
            "bad-record",
            f"ids must be whole numbers, got {', '.join(map(shown, (each.id, each.image_id, each.category_id)))}",
        )
    if each.image_id not in images:
        return "unknown-image", f"image_id {shown(each.image_id)} is none of the {len(images)} images of the file"
    if each.category_id not in names:
        known = ", ".join(key_of(number, 0) for number in sorted(names, key=order_of)[:8])
        return "unknown-class", f"category_id {shown(each.category_id)} is none of the categories ({known})"
    return box_fault(each.bbox)


def box_fault(values: Any) -> tuple[BoxFault, str] | None:
    """Why these are not four finite numbers, if they are not."""
    if type(values) is not list or len(values) != 4:
        why = "no bbox" if values is None else f"bbox {shown(values)}"
        return "bad-record", f"{why}; expected bbox: [x, y, width, height] (outlines alone are not read)"
    for value in values:
        if (type(value) is not float and type(value) is not int) or not -MOST_PIXELS < value < MOST_PIXELS:
            return "not-a-number", f"{shown(value)} in bbox {shown(values)}; expected four numbers"
    return None


def _area(each: Annotation) -> float | None:
    """Of the object, where that is a number of pixels other than its box's; what else it is harms nobody."""
    is_number = type(each.area) is float or type(each.area) is int
    if not is_number or not 0 < each.area < MOST_PIXELS**2 or each.area == each.bbox[2] * each.bbox[3]:
        return None
    return float(each.area)


def _size(each: Image, file: _File, gathered: Gathered) -> Size | None:
    if each.width is None and each.height is None:
        return None
    if is_count(each.width) and is_count(each.height):
        return int(each.height), int(each.width)
    where = f"{file.name}: image {key_of(each.id, 0)}"
    message = f"width {shown(each.width)} and height {shown(each.height)}; expected two numbers of pixels"
    gathered.findings.append(BoxFinding("wrong-size", file.path, where, message))
    return None
