"""What lies in a set's folder, by kind: one look, from which COCO, VOC and YOLO are told apart."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from triscale.data.images import SUFFIXES
from triscale.data.listing import SPLITS
from triscale.errors import DataError

DEEP = 3  # VOCdevkit/VOC2007/Annotations, and images/2024/train
_MOST_FOLDERS = 5_000  # image folders of more classes than that are not searched to the end for boxes
_RECORDS = (".json", ".xml", ".yaml", ".yml", ".txt", ".names")


@dataclass(slots=True)
class Folder:
    """One folder: its files of records by suffix, sorted, and the number of its images."""

    path: Path
    records: dict[str, list[Path]] = field(default_factory=dict)
    images: int = 0


def look_into(root: Path) -> list[Folder]:
    """The folder and those below it, `DEEP` levels, sorted by depth and name; hidden ones are not looked at.

    Raises: DataError where it cannot be read.
    """
    folders: list[Folder] = []
    level = [root]
    for _ in range(DEEP + 1):
        below: list[Path] = []
        for each in level[: _MOST_FOLDERS - len(folders)]:
            folder, inside = _look(each)
            folders.append(folder)
            below += inside
        level = below
    return folders


def _look(path: Path) -> tuple[Folder, list[Path]]:
    folder, inside = Folder(path), []
    try:
        with os.scandir(path) as entries:
            for each in entries:
                suffix = each.name[max(each.name.rfind("."), 0) :].lower()  # of a million names: no path for each
                if each.name.startswith("."):
                    continue
                if suffix in SUFFIXES:
                    folder.images += 1
                elif each.is_dir():
                    inside.append(Path(each.path))
                elif suffix in _RECORDS and each.is_file():  # a pipe would be waited for
                    folder.records.setdefault(suffix, []).append(Path(each.path))
    except OSError as error:
        raise DataError(f"{path}: this folder cannot be read ({error.strerror}).") from error
    for files in folder.records.values():
        files.sort()
    return folder, sorted(inside)


def split_in(name: str) -> str | None:
    """The split that a name speaks of: "instances_train2017", "val", "test-dev"; None for none or for two."""
    found = {SPLITS[each] for each in re.findall(r"[a-z]+", name.lower()) if each in SPLITS}
    return found.pop() if len(found) == 1 else None


def split_on(path: Path, root: Path) -> str | None:
    """The split that a folder below `root` is of, by its own name, else by the nearest one above it."""
    for each in ways_up(path, root):
        if each.name.lower() in SPLITS:
            return SPLITS[each.name.lower()]
    return None


def ways_up(path: Path, root: Path) -> Iterator[Path]:
    """`path` and the folders above it, up to but without `root`."""
    while path != root and path != path.parent:
        yield path
        path = path.parent
