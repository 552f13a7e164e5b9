"""`shards.json`: the classes, the shards and how to know them, so that a set is found to be whole before it is used."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from triscale.data.listing import SPLITS
from triscale.errors import DataError

NAME = "shards.json"
VERSION = 1
SAFE = re.compile(r"\w[\w.-]*")


class ShardRecord(msgspec.Struct, frozen=True):
    """One shard: its file beside `shards.json`, its split, and what its content is known by.

    bytes, sha256: of the tar file. samples: in it. index: SHA-256 of `index_name(name)`, which says where they are.
    """

    name: str
    split: str
    bytes: int
    sha256: str
    samples: int
    index: str


class Manifest(msgspec.Struct, frozen=True):
    """All of a packed set.

    classes: names; the number in a sample's `.cls` is a position in it. plan: SHA-256 of what was packed, and how.
    """

    classes: tuple[str, ...]
    shards: tuple[ShardRecord, ...]
    plan: str = ""
    format: Literal["triscale-shards"] = "triscale-shards"
    version: int = VERSION


def index_name(shard: str) -> str:
    """The file beside a shard that says where its samples are."""
    return f"{shard.removesuffix('.tar')}.index.json"


def to_bytes(manifest: Manifest) -> bytes:
    """A manifest as JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def from_bytes(data: bytes, place: str) -> Manifest:
    """Undo `to_bytes`. Raises: DataError saying what is wrong with it."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DataError(f"{place}: does not describe shards ({error}); pack the set again.") from error
    if manifest.version > VERSION:
        raise DataError(f"{place}: is of format {manifest.version}, this triscale reads {VERSION}; use the newer one.")
    names = [each.name for each in manifest.shards]
    unsafe = next((name for name in names if not SAFE.fullmatch(name) or not name.endswith(".tar")), None)
    if unsafe is not None:
        raise DataError(f"{place}: {unsafe!r} is no name of a shard; expected NAME.tar beside it.")
    wrong = next((each.split for each in manifest.shards if each.split not in SPLITS.values()), None)
    if wrong is not None:
        raise DataError(f"{place}: split {wrong!r} is not known; expected train, val or test.")
    for what, values in (("shard", names), ("class", manifest.classes)):
        if not values or len(set(values)) < len(values):
            raise DataError(f"{place}: names a {what} twice, or none at all; pack the set again.")
    return manifest
