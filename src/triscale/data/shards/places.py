"""Which shards somebody means: a folder, one file, a pattern of names, or URLs."""

from __future__ import annotations

import glob
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from triscale.data.listing import SPLITS
from triscale.data.nearby import nearby
from triscale.data.shards import manifest
from triscale.data.shards.download import PIPE, Gone, is_url, read_text
from triscale.data.shards.manifest import Manifest
from triscale.errors import DataError

MAX_SHARDS = 100_000
TABLES = (".parquet", ".arrow")
_INNER = {*SPLITS, "data"}  # folders in which shards may lie
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """One shard as it was named. place: a path or URL. name: short, unlike that of the others. split: where told."""

    place: str
    name: str
    split: str | None

    @property
    def is_remote(self) -> bool:
        """Whether it is not a file on this machine."""
        return is_url(self.place)


@dataclass(frozen=True, slots=True)
class Places:
    """All shards of a set, and what its `shards.json` says of them, where there is one."""

    sources: tuple[Source, ...]
    manifest: Manifest | None = None
    beside: str = ""  # what to put before a name of the manifest


def is_shards(text: str) -> bool:
    """Whether this names shards, rather than an image folder or a CSV file."""
    if is_url(text):
        return True
    path = Path(text)
    try:
        if path.is_dir():
            return (path / manifest.NAME).is_file() or bool(_in_folder(path))
        if path.exists():
            return path.name == manifest.NAME or path.suffix.lower() in (".tar", *TABLES)
    except OSError:  # what cannot be looked into is told where folders are read
        return False
    return any(magic in text for magic in "{*?[") and text.lower().endswith((".tar", *TABLES))


def find_shards(text: str) -> Places:
    """The shards that a folder, file, pattern or URL names, in order.

    Raises: DataError where there are none, or `shards.json` cannot be read.
    """
    if text.startswith("file://"):
        text = url2pathname(urlsplit(text).path)
    if not is_url(text):
        return _local(Path(text), text)
    if text.startswith(PIPE):
        return Places(_named(list(expand(text)), None))
    folder = text if text.endswith("/") else text[: text.rindex("/") + 1]
    last = text.rsplit("/", 1)[-1]
    if last.lower().endswith(".tar") and "{" not in folder:
        return _with_manifest(list(expand(text)), folder, _manifest_at(folder))
    if last.lower().endswith(".tar"):
        return Places(_named(list(expand(text)), None))
    folder = folder if last in ("", manifest.NAME) else f"{text}/"
    found = _manifest_at(folder)
    if found is None:
        raise DataError(
            f"{folder}{manifest.NAME}: there is none; name the shards, like {folder}train-{{000000..000009}}.tar."
        )
    return _with_manifest([folder + each.name for each in found.shards], folder, found)


def expand(pattern: str) -> Iterator[str]:
    """ "a-{000..002}.tar" and "{train,val}.tar" as the names that they stand for. Raises: DataError for too many."""
    parts = _BRACES.split(pattern)
    choices, count = [], 1
    for number, part in enumerate(parts):
        choice = _choices(part, pattern) if number % 2 else [part]
        count *= len(choice)
        choices.append(choice)
    if count > MAX_SHARDS:
        raise DataError(f"{pattern}: stands for {count:,} shards; at most {MAX_SHARDS:,} are read.")
    return ("".join(each) for each in itertools.product(*choices))


def _choices(inside: str, pattern: str) -> list[str]:
    ends = _RANGE.fullmatch(inside)
    if not ends:
        return inside.split(",")
    first, last = int(ends[1]), int(ends[2])
    if last - first >= MAX_SHARDS or last < first:
        raise DataError(f"{pattern}: {{{inside}}} is no range of at most {MAX_SHARDS:,} numbers, first to last.")
    return [str(number).zfill(len(ends[1])) for number in range(first, last + 1)]


def _local(path: Path, text: str) -> Places:
    if path.name == manifest.NAME and path.is_file():
        path = path.parent
    if path.is_dir():
        found = _manifest_in(path)
        if found is not None:
            return _with_manifest([str(path / each.name) for each in found.shards], f"{path}/", found)
        return Places(_named([str(each) for each in _in_folder(path)], path))
    if path.exists():
        matches = [text]
    else:
        matches = [name for each in expand(text) for name in _matches(each)]
    if not matches:
        raise DataError(f"{text}: matches no shard{nearby(path.parent if path.parent != Path() else path)}.")
    folders = {Path(each).parent for each in matches}
    folder = folders.pop()
    return _with_manifest(matches, f"{folder}/", None if folders else _manifest_in(folder))


def _matches(pattern: str) -> list[str]:
    """Names without a wildcard stand for themselves: where one is missing, that is to be said."""
    return sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207  no absolute patterns


def _in_folder(folder: Path) -> list[Path]:
    """The shards directly in a folder, or in its folders train, val, test and data; none beside folders of images."""
    visible = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    inner = [each for each in visible if each.is_dir()]
    if any(each.name.lower() not in _INNER for each in inner):
        return []
    if any(below.is_dir() for each in inner for below in each.iterdir()):
        return []
    files = [*visible, *(below for each in inner for below in sorted(each.iterdir()))]
    # `datasets` leaves what it computed, cache-….arrow, beside the data
    return [f for f in files if f.suffix.lower() in (".tar", *TABLES) and not f.name.startswith((".", "cache-"))]


def _manifest_in(folder: Path) -> Manifest | None:
    place = folder / manifest.NAME
    try:
        return manifest.from_bytes(place.read_bytes(), str(place)) if place.is_file() else None
    except OSError as error:
        raise DataError(f"{place}: cannot be read: {error.strerror}.") from error


def _manifest_at(folder: str) -> Manifest | None:
    try:
        return manifest.from_bytes(read_text(folder + manifest.NAME), folder + manifest.NAME)
    except Gone:
        return None


def _with_manifest(places: list[str], folder: str, found: Manifest | None) -> Places:
    """The shards named, as the manifest knows them; one that knows only others is of another set."""
    records = {} if found is None else {folder + each.name: each for each in found.shards}
    places = [str(Path(each)) if not is_url(each) else each for each in places]
    records = {str(Path(name)) if not is_url(name) else name: each for name, each in records.items()}
    if found is None or not any(place in records for place in places):
        return Places(_named(places, None))
    named = _named(places, None)
    splits = [records[each.place].split if each.place in records else each.split for each in named]
    known = (Source(each.place, each.name, split) for each, split in zip(named, _beside_train(splits), strict=True))
    return Places(tuple(known), found, folder)


def _named(places: list[str], root: Path | None) -> tuple[Source, ...]:
    shorts = [Path(place).name for place in places]
    if len(set(shorts)) < len(shorts):
        shorts = [Path(place).relative_to(root).as_posix() if root else place for place in places]
    if len(set(shorts)) < len(shorts):
        twice = next(short for short in shorts if shorts.count(short) > 1)
        raise DataError(f"{twice}: is named twice; name each shard once.")
    splits = _beside_train([_split_of(place) for place in places])
    return tuple(Source(*each) for each in zip(places, shorts, splits, strict=True))


def _beside_train(splits: list[str | None]) -> list[str | None]:
    """The splits, where train is among them; else what there is, the shards of one split say, is a set by itself."""
    return splits if "train" in splits else [None] * len(splits)


def _split_of(place: str) -> str | None:
    """What the name of a shard begins with, or its folder is called: train-000.tar, val/000.tar."""
    path = Path(place)
    word = re.split(r"[-_.]", path.name.lower())[0]
    return SPLITS.get(word) or SPLITS.get(path.parent.name.lower())
