"""What a shard holds: every sample with its label, its place and its soundness; found out once, then remembered.

Layout, as WebDataset has it (https://github.com/webdataset/webdataset, "The WebDataset Format"): a tar file whose
members with the same name up to the first dot behind the last slash are one sample. `KEY.jpg` (or another format) is
the image, `KEY.cls` the class number or name as text; `KEY.json` with a "label", "cls" or "class" does as well. There
they must be neighbours, because it reads streams; with an index they may lie anywhere in the file.
"""

from __future__ import annotations

import collections
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from triscale.data.facts import look
from triscale.data.images import Fault, ImageError, is_image_name
from triscale.data.member import Member
from triscale.data.parallel import map_files
from triscale.data.shards.tar import Part, TarError, members
from triscale.errors import DataError

VERSION = 1
MAX_IMAGE = 1024**3  # bytes; no image format that is decoded here needs more
MAX_LABEL = 64 * 1024  # bytes of a .cls or .json
LABEL_KEYS = ("label", "cls", "class")


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One sample.

    member: the image's name in the tar. name: what it is called in the set that was packed; "" means as the member.
    label: class number or name, as written. offset, length: of the image's bytes. digest: see `Facts`, hexadecimal.
    fault, why: the trouble with it, if any.
    """

    member: str
    name: str
    label: str
    offset: int
    length: int
    digest: str = ""
    fault: str = ""
    why: str = ""


class Index(msgspec.Struct, frozen=True):
    """All samples of one shard.

    bytes, stamp: of the shard when it was looked into; another size or time of change makes the index worthless.
    verified: whether every image was decoded. trouble: what is wrong with the shard as a whole: (fault, why).
    """

    bytes: int
    stamp: int
    rows: list[Row]
    verified: bool = False
    trouble: tuple[str, str] | None = None
    strays: list[str] = []
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class LocalShard:
    """A tar file on this disk."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def read(self, offset: int, length: int) -> bytes:
        """See `Shard.read`."""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read(length)


def look_into(path: Path, name: str, verify: bool) -> Index:
    """Read a shard from its beginning to its end.

    name: what messages call it. verify: decode every image.
    Returns: an index in which trouble is told, of the shard or of single samples. Raises: OSError.
    """
    status = path.stat()
    parts, trouble = list[Part](), None
    try:
        with path.open("rb") as file:
            for part in members(file, status.st_size):
                parts.append(part)
    except TarError as error:
        trouble = ("broken", f"{error}; replace it.")
    rows, strays = _rows(path, parts)
    if not rows and trouble is None:
        trouble = ("empty", "a shard without a sample (KEY.jpg beside KEY.cls); replace or remove it.")
    rows = map_files(lambda row: _looked_at(path, name, row, verify), rows)
    return Index(status.st_size, status.st_mtime_ns, rows, verify, trouble, strays)


def _rows(path: Path, parts: list[Part]) -> tuple[list[Row], list[str]]:
    """The samples, not yet looked at, and the names of what belongs to none."""
    rows, strays = list[Row](), list[str]()
    for key, group in _grouped(parts).items():
        images = _images_of(group)
        if not images:
            strays += [printable(part.name) for part in group]
        rows += [_row(path, key, image, group, number) for number, image in enumerate(images)]
    return rows, strays


def _row(path: Path, key: str, image: Part, group: list[Part], number: int) -> Row:
    """number: above 0 where the tar has another member of the image's name in front of it."""
    suffix = PurePosixPath(image.name).suffix.lower()
    label, fault, why = _label_of(path, group), "", ""
    if number:
        fault, why = "broken", "a second image with this key; keys must differ, rename one."
    elif label is None:
        fault, why = "broken", "no label: expected KEY.cls with a class number or name, or KEY.json with a label."
    elif image.length > MAX_IMAGE:
        fault, why = "too-large", f"{image.length:,} bytes: above {MAX_IMAGE:,} nothing is read; remove it."
    return Row(printable(key) + suffix, "", label or "", image.offset, image.length, "", fault, why)


def _grouped(parts: list[Part]) -> dict[str, list[Part]]:
    groups = collections.defaultdict[str, list[Part]](list)
    for part in parts:
        groups[_key(part.name)].append(part)
    return groups


def _key(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _images_of(group: list[Part]) -> list[Part]:
    """The sample's image (`KEY.jpg` before `KEY.depth.png`), and members of the same name behind it.

    Hidden files (`._a.jpg` of some systems) are no images.
    """
    images = [part for part in group if _key(part.name).rpartition("/")[2] and is_image_name(PurePosixPath(part.name))]
    first = min(images, key=lambda part: part.name.rpartition("/")[2].count("."), default=None)
    return [part for part in images if first is not None and part.name == first.name]


def _label_of(path: Path, group: list[Part]) -> str | None:
    by_suffix = {part.name.rpartition("/")[2].partition(".")[2].lower(): part for part in reversed(group)}
    for suffix in ("cls", "cls.txt", "json"):
        part = by_suffix.get(suffix)
        if part is None or part.length > MAX_LABEL:
            continue
        text = LocalShard(path).read(part.offset, part.length).decode("utf-8", "replace").strip()
        label = _label_in_json(text) if suffix == "json" else text
        if label:
            return label
    return None


def _label_in_json(text: str) -> str | None:
    try:
        values: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(values, dict):
        values = next((values[key] for key in LABEL_KEYS if key in values), None)
    return str(values) if isinstance(values, str | int) and not isinstance(values, bool) else None


def _looked_at(path: Path, name: str, row: Row, verify: bool) -> Row:
    if row.fault:
        return row
    shard = LocalShard(path)
    facts = look(Member(shard, row.offset, row.length, row.member), verify)
    if facts.trouble is not None:
        return msgspec.structs.replace(row, fault=facts.trouble.fault, why=facts.trouble.why)
    return msgspec.structs.replace(row, digest=facts.digest.hex())


def printable(name: str) -> str:
    """A name from a stranger's file, harmless on a terminal; different names stay different."""
    return name if name.isprintable() and "\\" not in name else ascii(name)[1:-1]


def trouble_of(place: Path | Member, fault: str, why: str) -> ImageError:
    """What an index remembers, as the error that it was."""
    known: dict[str, Fault] = {each: each for each in ("missing", "unreadable", "empty", "not-image", "too-large")}
    return ImageError(place, known.get(fault, "broken"), why)


def to_bytes(index: Index) -> bytes:
    """An index as JSON."""
    return msgspec.json.encode(index) + b"\n"


def from_bytes(data: bytes, place: str) -> Index:
    """Undo `to_bytes`. Raises: DataError where it is no index of this version."""
    try:
        index = msgspec.json.decode(data, type=Index)
    except msgspec.MsgspecError as error:
        raise DataError(f"{place}: is not the index of a shard ({error}); pack the set again.") from error
    if index.version != VERSION:
        raise DataError(f"{place}: is of format {index.version}, this triscale reads {VERSION}; pack the set again.")
    return index
