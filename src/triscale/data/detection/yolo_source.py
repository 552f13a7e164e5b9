"""What a YOLO set consists of: its data file or its folders, and the images that they name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from triscale.data.detection.data_yaml import DataYaml, read_data_yaml
from triscale.data.detection.places import Places, read_text
from triscale.data.detection.tree import Folder, split_on
from triscale.data.detection.yolo import NOT_LABELS, YoloSource, label_file, looks_like_labels
from triscale.data.images import is_image_name
from triscale.data.listing import SPLITS
from triscale.data.nearby import nearby
from triscale.errors import DataError

_MOST_LIST = 100_000_000  # bytes of a list of images
_NAMES = ("classes.txt", "obj.names", "names.txt", "labels.txt")


def data_files(folders: Sequence[Folder]) -> list[Path]:
    """The YAML files of a set's folder that name classes and splits."""
    files = [each for suffix in (".yaml", ".yml") for each in folders[0].records.get(suffix, [])]
    return [each for each in files if _is_data_file(each)]


def _is_data_file(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(1 << 16).decode("utf-8-sig", "replace")
    except OSError:
        return False
    return all(re.search(rf"^['\"]?({key})['\"]?\s*:", text, re.MULTILINE) for key in ("names", "train|val|path"))


def is_yolo(folders: Sequence[Folder]) -> bool:
    """Whether a folder has labels of YOLO: a data file, a folder labels/, or names of classes and labels beside images.

    The labels themselves must look like labels.
    """
    if data_files(folders):
        return True
    has_names = any(_names_file(each) for each in folders)
    return any(
        (has_names or "labels" in (part.lower() for part in each.path.relative_to(folders[0].path).parts))
        and any(looks_like_labels(file) for file in _label_files(each)[:3])
        for each in folders
    )


def _label_files(folder: Folder) -> list[Path]:
    return [each for each in folder.records.get(".txt", []) if each.name.lower() not in NOT_LABELS]


def _names_file(folder: Folder) -> Path | None:
    files = {each.name.lower(): each for kind in (".txt", ".names") for each in folder.records.get(kind, [])}
    own = [files[name] for name in _NAMES if name in files and not looks_like_labels(files[name])]
    return (own or [each for name, each in files.items() if name.endswith(".names")] or [None])[0]


def yolo_folder(root: Path, folders: Sequence[Folder]) -> YoloSource:
    """The set in a folder. Raises: DataError for a data file that cannot be understood, or several."""
    files = data_files(folders)
    if len(files) > 1:
        listed = ", ".join(each.name for each in files[:5])
        raise DataError(f"{root}: several data files ({listed}); give the one that is meant instead of the folder.")
    if files:
        return yolo_data_file(files[0])
    named_in = next((found for each in folders if (found := _names_file(each))), None)
    names = _read_names(named_in) if named_in else ()
    lists = _split_lists(folders)
    if lists:
        images, lost = _listed_by_split(lists, root)
        return YoloSource(root, names, named_in, images, lost)
    images = [
        (image, split_on(folder.path, root))
        for folder in folders
        if folder.images and _is_of_labels(folder.path, root, folders)
        for image in _images_in(folder.path)
    ]
    return YoloSource(root, names, named_in, images)


def _split_lists(folders: Sequence[Folder]) -> dict[str, Path]:
    """Darknet's lists of images, by split, if there is one for training: train.txt, valid.txt."""
    found: dict[str, Path] = {}
    for folder in folders:
        for each in folder.records.get(".txt", []):
            split = SPLITS.get(each.stem.lower())
            if split is not None and split not in found and _lists_images(each):
                found[split] = each
    return found if "train" in found else {}


def _lists_images(path: Path) -> bool:
    with path.open("rb") as file:
        lines = file.read(4096).decode("utf-8-sig", "replace").splitlines()
    return is_image_name(Path(next((line.strip() for line in lines if line.strip()), "")))


def _listed_by_split(
    lists: dict[str, Path], root: Path
) -> tuple[list[tuple[Path, str | None]], list[tuple[Path, Path, int, str]]]:
    """The images of lists with their splits, and those that are not there with list, line and why."""
    images: list[tuple[Path, str | None]] = []
    lost: list[tuple[Path, Path, int, str]] = []
    for split, table in lists.items():
        present, missing = _listed(table, root)
        images += [(each, split) for each in present]
        lost += [(each, table, line, why) for each, line, why in missing]
    return images, lost


def _is_of_labels(folder: Path, root: Path, folders: Sequence[Folder]) -> bool:
    """Whether the images of a folder belong to the set: labels beside them, or a folder of labels for them."""
    by_path = {each.path: each for each in folders}
    place = label_file(folder / "x.jpg").parent
    if place == folder:
        return bool(_label_files(by_path[folder]))
    # a split without any object may have no folder of its own below labels/
    return any(each in by_path for each in (place, *place.parents) if each.name.lower() == "labels")


def _images_in(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if is_image_name(each) and not each.name.startswith("."))


def _read_names(path: Path) -> tuple[str, ...]:
    """One name a line; empty lines at the end do not count."""
    names = [line.strip() for line in read_text(path, 10_000_000, "lists of classes").rstrip().splitlines()]
    if not names or not all(names):
        raise DataError(
            f"{path}: {'an empty line' if names else 'no names'}; expected the name of a class on each line."
        )
    return tuple(names)


def yolo_data_file(path: Path) -> YoloSource:
    """The set that a data file describes. Raises: DataError for what is not there, or cannot be understood."""
    said = read_data_yaml(path)
    root = _base(path, said)
    images: list[tuple[Path, str | None]] = []
    lost: list[tuple[Path, Path, int, str]] = []
    absent, empty = [], []
    for split, place in said.splits:
        found = _place(place, root, path.parent)
        if found is None:
            absent.append((split, place))
        elif found.is_dir():
            inside = _images_below(found)
            images += [(each, split) for each in inside]
            empty += [] if inside else [(split, found)]
        else:
            listed, absent_images = _listed_by_split({split: found}, root)
            images += listed
            lost += absent_images
    _require_found(path, said, absent, root)
    return YoloSource(root, said.names, path, images, lost, empty, said.keypoints)


def _base(path: Path, said: DataYaml) -> Path:
    """The folder that splits are relative to; where it is one of another machine, that of the data file."""
    base = path.parent / said.path
    return Path(os.path.normpath(base)) if said.path and base.is_dir() else path.parent


def _place(said: str, root: Path, beside: Path) -> Path | None:
    """A folder or list as the data file names it; Roboflow writes ../train/images for train/images."""
    parts = [part for part in re.split(r"[/\\]", said) if part not in ("", ".")]
    if Path(said).is_absolute() and Path(said).exists():
        return Path(said)
    for start in range(len(parts)):
        for folder in dict.fromkeys((root, beside)):
            found = folder.joinpath(*parts[start:])
            if found.exists() and found != folder:
                return Path(os.path.normpath(found))
    return None


def _require_found(path: Path, said: DataYaml, absent: Sequence[tuple[str, str]], root: Path) -> None:
    """A data file often names a test split that nobody has; one for training must be there.

    Raises: DataError.
    """
    if not said.splits:
        raise DataError(f"{path}: no train, val or test; expected the folders of images, such as train: images/train.")
    needed = [each for each in absent if each[0] != "test" or len(absent) == len(said.splits)]
    if needed:
        split, place = needed[0]
        raise DataError(f"{path}: {split}: {place}: no such folder or list below {root}{nearby(root / place)}.")


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        Path(place, name)
        for place, inside, names in os.walk(folder)
        if not Path(place).name.startswith(".")
        for name in names
        if is_image_name(Path(name)) and not name.startswith(".")
    )


def _listed(table: Path, root: Path) -> tuple[list[Path], list[tuple[Path, int, str]]]:
    """The images that a text file lists, and those that are not there: (path, line, why)."""
    lines = read_text(table, _MOST_LIST, "lists of images").splitlines()
    said = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    found = Places(root).find([line for _, line in said], [root, table.parent])
    present = [path for path, why in found if not why]
    missing = [(path, number, why) for (number, _), (path, why) in zip(said, found, strict=True) if why]
    return present, missing
