"""The lists of a COCO file as they are decoded, and what its values may be."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Generator
from typing import Any

import msgspec

MOST_PIXELS = 1e9  # also keeps out NaN, infinity and whole numbers that no float holds
_LETTERS = 60  # of a value in a message


class Document(msgspec.Struct, gc=False):
    """A COCO file; a list that it does not have is None."""

    images: list[Image] | None = None
    annotations: list[Annotation] | None = None
    categories: list[Category] | None = None


# Values are `Any`, because a wrong one is to be named with its record, not to end the reading of the file.
class Image(msgspec.Struct, gc=False):
    """One of its images."""

    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class Annotation(msgspec.Struct, gc=False):
    """One of its boxes; the outline is passed over."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    bbox: Any = None
    iscrowd: Any = 0
    area: Any = None


class Category(msgspec.Struct, gc=False):
    """One of its classes."""

    id: Any = None
    name: Any = None
    supercategory: Any = None


def decode(data: bytes) -> Document:
    """The lists in the bytes of a file. Raises: msgspec.ValidationError, ValueError or RecursionError."""
    try:
        return msgspec.json.decode(data, type=Document)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # NaN and Infinity are no JSON, but Python's own writer writes them
        return msgspec.convert(json.loads(data), Document)


@contextlib.contextmanager
def no_collection() -> Generator[None]:
    """A million small objects that all stay alive: looking for cycles among them takes half of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def is_count(value: Any) -> bool:
    """Whether it is a number of pixels."""
    return type(value) in (int, float) and 0 < value < MOST_PIXELS and value == int(value)


def is_id(value: Any) -> bool:
    """Whether images, boxes or classes can be known by it."""
    return type(value) is int or type(value) is str or (type(value) is float and value.is_integer())


def is_key(value: Any) -> bool:
    """Whether it can be looked up: an id, or none."""
    return value is None or is_id(value)


def order_of(value: Any) -> tuple[bool, Any]:
    """What ids are sorted by: numbers, then words."""
    return isinstance(value, str), value


def key_of(value: Any, position: int) -> str:
    """What a record is called: by its id, or by its place in the list, from 1."""
    text = f"{value}" if is_id(value) else f"#{position + 1}"
    return text[:_LETTERS] if text.isprintable() else shown(text)


def shown(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= _LETTERS else f"{text[:_LETTERS]}..."
