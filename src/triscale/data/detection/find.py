"""What a person means by DATA with boxes: COCO, VOC or YOLO, found by looking."""

from __future__ import annotations

from pathlib import Path

from triscale.data.detection.layouts import coco_files, list_coco, list_coco_file, list_voc, voc_folders
from triscale.data.detection.said import BoxListing
from triscale.data.detection.tree import look_into
from triscale.data.detection.yolo import read_yolo
from triscale.data.detection.yolo_source import is_yolo, yolo_data_file, yolo_folder
from triscale.data.nearby import nearby
from triscale.data.shards.places import is_shards
from triscale.errors import DataError

EXPECTED = (
    "expected COCO JSON (a file, or a folder with annotations/ and images), Pascal VOC (XML files in Annotations/ or "
    "beside the images), or YOLO (data.yaml, or labels/ beside images/)"
)
_RECORDS = (".json", ".yaml", ".yml", ".xml")


def is_boxes(path: str | Path) -> bool:
    """Whether DATA has boxes: a JSON, XML or YAML file, or a folder with records of COCO, VOC or YOLO.

    Only names and the beginnings of files are looked at; what cannot be looked at has none.
    """
    if is_shards(str(path)):
        return False
    path = Path(path)
    try:
        if path.is_file():
            return path.suffix.lower() in _RECORDS  # nobody else reads them, and their reader says what is wrong
        folders = look_into(path) if path.is_dir() else []
        return bool(folders) and bool(coco_files(folders) or voc_folders(folders) or is_yolo(folders))
    except (OSError, DataError):  # whoever reads it as images says why
        return False


def find_boxes(path: str | Path) -> BoxListing:
    """Read all records of a set with boxes; no image is opened.

    Raises: DataError where there are none, or they cannot be read at all; what is wrong in them is listed.
    """
    path = Path(path)
    try:
        if path.is_file():
            return _file(path)
        if path.is_dir():
            return _folder(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; {EXPECTED}.") from error
    found = "neither a folder nor a file" if path.exists() else f"does not exist{nearby(path)}"
    raise DataError(f"{path}: {found}; {EXPECTED}.")


def _file(path: Path) -> BoxListing:
    if path.suffix.lower() == ".json":
        return list_coco_file(path)
    if path.suffix.lower() in (".yaml", ".yml"):
        return read_yolo(yolo_data_file(path))
    hint = "; give the folder of the set instead" if path.suffix.lower() in (".xml", ".txt") else ""
    raise DataError(f"{path}: no file of boxes{hint}; {EXPECTED}.")


def _folder(root: Path) -> BoxListing:
    folders = look_into(root)
    coco, voc, yolo = coco_files(folders), voc_folders(folders), is_yolo(folders)
    if coco:
        listing = list_coco(root, coco, folders)
    elif voc:
        listing = list_voc(root, voc, folders)
    elif yolo:
        listing = read_yolo(yolo_folder(root, folders))
    else:
        raise DataError(f"{root}: no boxes found in this folder; {EXPECTED}.")
    others = [
        name for name, there in (("VOC's XML files", voc and coco), ("YOLO's labels", yolo and (coco or voc))) if there
    ]
    if not others:
        return listing
    note = f"Boxes are read from {listing.layout}'s files; {' and '.join(others)} in the same folder are not looked at."
    return listing.joined(notes=[note])
