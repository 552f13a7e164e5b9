"""What lies in an image folder or a CSV file, before any image is opened."""

from __future__ import annotations

import collections
import csv
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from triscale.data.images import ImageError, is_image_name
from triscale.data.member import ImagePlace
from triscale.data.nearby import nearby
from triscale.errors import DataError

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
LABEL_SEPARATOR = "|"

EXPECTED = (
    "expected DATA/CLASS/*.jpg, DATA/train/CLASS/*.jpg (and val, test), a CSV file with columns path,label[,split], "
    "shards (DATA/*.tar), or a set with boxes (COCO JSON, Pascal VOC, YOLO)"
)

_CSV_COLUMNS = {
    **dict.fromkeys(("path", "file", "filename", "image"), "path"),
    **dict.fromkeys(("label", "class"), "label"),
    "split": "split",
}
_CLUTTER = {"thumbs.db", "desktop.ini", "__macosx"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a look into one image told: its bytes, a digest of its beginning and end, the trouble with it, if any."""

    size: int
    digest: bytes
    trouble: ImageError | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: where it is, its name relative to the set's root, its class, and its split where the set says one.

    label: in a listing of several labels an image, all of them with "|" between, sorted; "" where it has none.
    facts: what is known of it already; a shard's index remembers them.
    """

    path: ImagePlace
    name: str
    label: str
    split: str | None = None
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything found.

    root: the folder or CSV file, or what names the shards. entries: the images, by their names; sorted.
    strays: files that are no images by their suffix, or images outside of any class.
    empty_classes: class folders without an image.
    contradictions: (file, what is said about it) where a CSV gives one file two classes.
    troubles: shards that are missing, or end too early; what they held is not among the entries.
    class_order: the classes, where the set itself numbers them.
    several: whether an image may have several labels, or none.
    """

    root: Path | str
    entries: tuple[Entry, ...]
    strays: tuple[ImagePlace, ...] = ()
    empty_classes: tuple[Path, ...] = ()
    contradictions: tuple[tuple[ImagePlace, str], ...] = ()
    troubles: tuple[ImageError, ...] = ()
    class_order: tuple[str, ...] = ()
    several: bool = False

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the set's own order, else sorted."""
        return self.class_order or tuple(sorted({label for each in self.entries for label in self.labels_of(each)}))

    def labels_of(self, entry: Entry) -> tuple[str, ...]:
        """The labels of an image, sorted: one, unless the listing is of several."""
        if not self.several:
            return (entry.label,)
        return tuple(entry.label.split(LABEL_SEPARATOR)) if entry.label else ()


def list_images(path: str | Path) -> Listing:
    """Find the images of a folder or CSV file, and what class and split each belongs to.

    A folder's subfolders are the classes, or the splits train, val, test with the classes in them. Images may lie
    deeper inside a class. Hidden files are not looked at.
    Raises: DataError where there is nothing to learn from, or a folder or row cannot be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return with_names_for_all(_list_folder(path))
        if path.is_file():
            return with_names_for_all(_list_csv(path))
        found = "neither a folder nor a file" if path.exists() else f"does not exist{nearby(path)}"
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; {EXPECTED}.") from error
    raise DataError(f"{path}: {found}; {EXPECTED}.")


def with_names_for_all(listing: Listing) -> Listing:
    """The listing, whose class names go into JSON, pages and terminals."""
    for label in listing.classes:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in label):
            raise DataError(
                f"{listing.root}: class name {label!r} has control characters or is not UTF-8; give it another name."
            )
    return listing


def _list_folder(root: Path) -> Listing:
    folders, files = _scan(root)
    if not folders and not files:
        raise DataError(f"{root}: the folder is empty; {EXPECTED}.")
    splits = _split_folders(folders)
    entries: list[Entry] = []
    strays = list(files)
    empty: list[Path] = []
    for split, top in splits or [(None, root)]:
        classes, beside = _scan(top)
        strays += beside if top != root else []
        for folder in classes:
            inside = list(_files_below(folder, set()))
            images = [each for each in inside if is_image_name(each)]
            strays += [each for each in inside if not is_image_name(each)]
            entries += [Entry(each, each.relative_to(root).as_posix(), folder.name, split) for each in images]
            if not images:
                empty.append(folder)
    if not entries:
        raise DataError(f"{root}: {_nothing_found(strays, empty)}; {EXPECTED}.")
    return Listing(root, tuple(sorted(entries, key=lambda each: each.name)), tuple(strays), tuple(empty))


def _split_folders(folders: list[Path]) -> list[tuple[str, Path]]:
    """(split, folder) for train, val, test; empty where the folders are classes (one may well be called "train")."""
    named = [(SPLITS[each.name.lower()], each) for each in folders if each.name.lower() in SPLITS]
    kinds = {split for split, _ in named}
    is_split = "train" in kinds and all(
        _scan(each)[0] for _, each in named if each.name.lower() in ("train", "training")
    )
    return named if is_split and (len(kinds) > 1 or len(folders) == 1) else []


def _scan(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders and files of a folder, sorted, without what is hidden or an operating system's clutter."""
    try:
        found = sorted(folder.iterdir())
        visible = [each for each in found if not each.name.startswith(".") and each.name.lower() not in _CLUTTER]
        return [each for each in visible if each.is_dir()], [each for each in visible if not each.is_dir()]
    except PermissionError as error:
        raise DataError(f"{folder}: no permission to read this folder; allow it (chmod +rx) or remove it.") from error


def _files_below(folder: Path, above: set[str]) -> list[Path]:
    """All files inside; a link to a folder above itself is not followed."""
    place = os.path.realpath(folder)
    if place in above:
        return []
    folders, files = _scan(folder)
    return files + [each for inner in folders for each in _files_below(inner, above | {place})]


def _nothing_found(strays: list[Path], empty: list[Path]) -> str:
    images = [each for each in strays if is_image_name(each)]
    if images:
        tables = [each.name for each in strays if each.suffix.lower() == ".csv"]
        hint = f" (there is {tables[0]}: give that file instead?)" if tables else ""
        return f"{len(images)} images but no class folders{hint}"
    if strays:
        kinds = collections.Counter(each.suffix or "no suffix" for each in strays).most_common(3)
        return f"no images: {len(strays)} files of other kinds ({', '.join(f'{n} {kind}' for kind, n in kinds)})"
    return f"no images in any of its {len(empty)} folders"


def _list_csv(table: Path) -> Listing:
    rows = _read_rows(table)
    several = any(LABEL_SEPARATOR in row["label"] for _, row in rows)
    seen: dict[str, tuple[int, Entry]] = {}
    contradictions: list[tuple[ImagePlace, str]] = []
    for number, row in rows:
        name, label, split = os.path.normpath(row["path"]), row["label"], row.get("split", "")
        where = f"{table}: row {number}"
        if not row["path"] or not label:
            raise DataError(_incomplete(where, bool(row["path"]), several))
        label = _in_order(label, where) if several else label
        if split and split.lower() not in SPLITS:
            raise DataError(f"{where}: split {split!r} is not known; expected train, val, test, or nothing.")
        entry = Entry(table.parent / name, name, label, SPLITS[split.lower()] if split else None)
        first, before = seen.setdefault(name, (number, entry))
        if before.label != label:
            contradictions.append((entry.path, f"{before.label!r} in row {first}, {label!r} in row {number}"))
        elif before.split != entry.split:
            raise DataError(f"{where}: {name} is in another split in row {first}; keep one of the two rows.")
    if not seen:
        raise DataError(f"{table}: no rows below the header; {EXPECTED}.")
    entries = sorted((entry for _, entry in seen.values()), key=lambda each: each.name)
    return Listing(table, tuple(entries), contradictions=tuple(contradictions), several=several)


def _incomplete(where: str, has_path: bool, several: bool) -> str:
    """What to say of a row without a path or a label."""
    none = f" (an image that has none of them is written {LABEL_SEPARATOR!r})" if has_path and several else ""
    return f"{where}: no {'label' if has_path else 'path'}; every row needs both{none}."


def _in_order(label: str, where: str) -> str:
    """Several labels, each once and sorted; only the separator is none. Raises: DataError for an empty one."""
    if label == LABEL_SEPARATOR:
        return ""
    labels = [each.strip() for each in label.split(LABEL_SEPARATOR)]
    if "" in labels:
        raise DataError(
            f"{where}: an empty label in {label!r}; write labels as cat{LABEL_SEPARATOR}dog, "
            f"and {LABEL_SEPARATOR!r} alone where the image has none."
        )
    return LABEL_SEPARATOR.join(sorted(set(labels)))


def _read_rows(table: Path) -> list[tuple[int, dict[str, str]]]:
    """(row number as a spreadsheet counts, {column: value}); the separator is read from the header."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            columns = [_CSV_COLUMNS.get(each.strip().strip('"').lower(), "") for each in header.split(separator)]
            if not {"path", "label"} <= set(columns):
                raise DataError(
                    f"{table}: the first line is {header.strip()[:80]!r}; expected a header path,label[,split]."
                )
            rows = enumerate(csv.reader(file, delimiter=separator), start=2)
            return [
                (number, {column: value.strip() for column, value in zip(columns, row, strict=False)})
                for number, row in ((number, row + [""] * (len(columns) - len(row))) for number, row in rows if row)
            ]
    except PermissionError as error:
        raise DataError(f"{table}: no permission to read it; allow it (chmod +r).") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: not a CSV file in UTF-8 ({error}); {EXPECTED}.") from error
