"""Where COCO's and VOC's files of records are in a folder, which split each is of, and where its images lie."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from pathlib import Path

from triscale.data.detection.coco import read_coco
from triscale.data.detection.places import read_text, relative_name
from triscale.data.detection.said import BoxFinding, BoxListing
from triscale.data.detection.tree import Folder, split_in, split_on
from triscale.data.detection.voc import images_by_stem, read_voc

_LOOK = 1 << 16  # bytes of a JSON file's beginning and end, where the names of its lists stand
_LISTED = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_FIELD = re.compile(rb'"(bbox|file_name|image_id|category_id|supercategory)"\s*:')
_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")
_LISTS = ("train", "val", "trainval", "test")
_MOST_LIST = 100_000_000  # bytes of a list of images


def coco_files(folders: Sequence[Folder]) -> list[Path]:
    """The JSON files that look like COCO; of COCO's own, which come for several tasks, those of instances."""
    files = [each for folder in folders for each in folder.records.get(".json", []) if is_coco(each)]
    if any(each.name.startswith("instances_") for each in files):
        files = [each for each in files if not each.name.startswith(_OTHER_TASKS)]
    return files


def is_coco(path: Path) -> bool:
    """Whether a file begins as a JSON object with the lists that COCO has; the middle of a large one is not read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOK)
            file.seek(max(0, path.stat().st_size - _LOOK))
            text += file.read(_LOOK)
    except OSError:
        return False
    if not text.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return False
    lists = set(_LISTED.findall(text))
    return len(lists) > 1 or (bool(lists) and _FIELD.search(text) is not None)


def list_coco(root: Path, files: Sequence[Path], folders: Sequence[Folder]) -> BoxListing:
    """Read the COCO files of a folder. Raises: DataError for one that cannot be read."""
    with_images = [each.path for each in folders if each.images]
    said = [(each, split_in(each.stem) or split_on(each.parent, root)) for each in files]
    said.sort(key=lambda each: (each[1] not in (None, "train"), each[1] == "test", each[0]))
    near = [image_folders(path, split, root, with_images) for path, split in said]
    return read_coco(root, said, near)


def list_coco_file(path: Path) -> BoxListing:
    """Read one COCO file, whose images are not in any split yet. Raises: DataError where it cannot be read."""
    root = path.parent.parent if path.parent.name.lower() in ("annotations", "labels") else path.parent
    beside = [each for each in (*_folders_in(root), *_folders_in(root / "images")) if split_in(each.name)]
    return read_coco(root, [(path, None)], [image_folders(path, split_in(path.stem), root, beside)])


def image_folders(path: Path, split: str | None, root: Path, with_images: Sequence[Path]) -> list[Path]:
    """Where the images of a file of records may lie, likeliest first.

    with_images: folders of the set that hold images; those of the same split count.
    """
    same = [each for each in with_images if split and (split_on(each, root) or split_in(each.name)) == split]
    named = sorted(same, key=lambda each: each.name not in path.stem)
    usual = [path.parent, path.parent / "images", root, root / "images"]
    first = [path.parent] if path.parent in with_images else []
    return list(dict.fromkeys([*first, *named, *usual]))


def _folders_in(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir()) if path.is_dir() else []


def voc_folders(folders: Sequence[Folder]) -> list[Folder]:
    """The folders with XML files that hold annotations."""
    return [each for each in folders if any(_is_annotation(file) for file in each.records.get(".xml", [])[:3])]


def _is_annotation(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(4096).replace(b"\0", b"")  # also in UTF-16
    except OSError:
        return False


def list_voc(root: Path, with_records: Sequence[Folder], folders: Sequence[Folder]) -> BoxListing:
    """Read the XML files of a folder. Raises: DataError for lists of images that cannot be read."""
    lists = _split_lists(folders)
    files: list[tuple[Path, str | None]] = []
    unlisted, lost = 0, []
    for folder in with_records:
        known = {each.stem: each for each in folder.records[".xml"]}
        own: dict[str, str | None] = {}
        for line, split in lists.get(folder.path.parent, {}).items():
            own.setdefault(_listed_name(line, known), split)
        if not own:
            files += [(each, split_on(folder.path, root)) for each in known.values()]
            continue
        files += [(known[name], split) for name, split in own.items() if name in known]
        lost += [(folder.path / f"{name}.xml", split) for name, split in own.items() if name not in known]
        unlisted += len(known.keys() - own.keys())
    images = [each.path for each in folders if each.images]
    listing = read_voc(root, files, images, images_by_stem(images))
    findings = [
        BoxFinding("missing", path, relative_name(path, root), f"no such file; ImageSets/Main/{split}.txt lists it")
        for path, split in lost
    ]
    notes = [f"{unlisted} XML files are in none of the lists in ImageSets/Main, and left out."] if unlisted else []
    return listing.joined(findings, _empty_lists(folders, lists, root), notes)


def _listed_name(line: str, known: Container[str]) -> str:
    """The name that a line says: it may have spaces, and in lists of one class 1, 0 or -1 follows it."""
    name = re.sub(r"\s+-?[01]$", "", line)
    return next((each for each in (line, name, line.split()[0]) if each in known), name)


def _empty_lists(folders: Sequence[Folder], lists: dict[Path, dict[str, str | None]], root: Path) -> list[BoxFinding]:
    """A list for a split that lists nothing."""
    main = [each for each in folders if each.path.name == "Main" and each.path.parent.parent in lists]
    files = [each for folder in main for each in folder.records.get(".txt", []) if each.stem in _LISTS]
    return [
        BoxFinding("empty-set", each, relative_name(each, root), "it lists no image")
        for each in files
        if not each.read_bytes().strip()
    ]


def _split_lists(folders: Sequence[Folder]) -> dict[Path, dict[str, str | None]]:
    """For each folder with ImageSets/Main: its lines, each with its split; those of "trainval" are for training."""
    found: dict[Path, dict[str, str | None]] = {}
    for folder in folders:
        lists = {each.stem: each for each in folder.records.get(".txt", []) if each.stem in _LISTS}
        if (folder.path.parent.name, folder.path.name) != ("ImageSets", "Main") or not lists:
            continue
        names: dict[str, str | None] = {}
        for name in ("train", "val", "test", "trainval"):
            if name in lists:
                for line in read_text(lists[name], _MOST_LIST, "lists of images").splitlines():
                    if line.strip():
                        names.setdefault(line.strip(), "train" if name == "trainval" else name)
        found[folder.path.parent.parent] = names
    return found
