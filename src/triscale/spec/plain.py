"""Dataclasses as plain JSON values and back, strictly: what is unknown, missing or of another type names its place."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from triscale.errors import SpecError
from triscale.spec.checks import shown

_T = TypeVar("_T")


def from_dict(kind: type[_T], values: object, where: str) -> _T:
    """A dataclass from plain values, strictly: unknown keys and wrong types are errors that name their place."""
    return construct(kind, keys(kind, values, where), where)


def construct(kind: type[_T], values: dict[str, Any], where: str, ready: Collection[str] = ()) -> _T:
    """A dataclass from plain values by name, where dataclasses among them (and those in `ready`) are made already.

    Raises: SpecError naming what is missing, of another type, or not possible together.
    """
    converted = {}
    types = _types(kind)
    for name, value in values.items():
        if dataclasses.is_dataclass(value) or name in ready:
            converted[name] = value
            continue
        try:
            converted[name] = msgspec.convert(value, types[name], strict=True)
        except msgspec.ValidationError as error:
            raise SpecError(f"{where}.{name}: {_expected(error, types[name])}; got {shown(value)}.") from None
    missing = [f.name for f in _fields(kind) if f.name not in converted and not _has_default(f)]
    if missing:
        raise SpecError(f"{where}: {', '.join(missing)} is missing.")
    return placed(where, lambda: kind(**converted))


def placed(where: str, make: Callable[[], _T]) -> _T:
    """What `make` makes; a SpecError of it names the place."""
    try:
        return make()
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


def keys(kind: type, values: object, where: str) -> dict[str, Any]:
    """A copy of an object whose keys are fields of `kind`. Raises: SpecError for another key, with the nearest."""
    if not isinstance(values, dict):
        raise SpecError(f"{where} must be an object, got {type(values).__name__}.")
    known = [f.name for f in _fields(kind)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key)[:80], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise SpecError(f"{where} has an unknown key {shown(key)}; {hint}")
    return dict(values)


def to_dict(value: Any) -> dict[str, Any]:
    """A dataclass as plain values without what equals its default."""
    found = {}
    for f in dataclasses.fields(value):
        own = getattr(value, f.name)
        if own == f.default:
            continue
        found[f.name] = to_dict(own) if dataclasses.is_dataclass(own) else plain(own)
    return found


def plain(value: Any) -> Any:
    """As JSON values; 6 and 6.0 are written alike, so that what is read and written again is the same text."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [plain(each) for each in value] if isinstance(value, (tuple, list)) else value


@lru_cache(maxsize=64)
def _types(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _expected(error: msgspec.ValidationError, wanted: Any) -> str:
    choices = [each for each in get_args(wanted) if isinstance(each, str)]
    return f"expected one of {', '.join(choices)}" if choices else str(error)


def _fields(kind: Any) -> list[dataclasses.Field[Any]]:
    return [f for f in dataclasses.fields(kind) if f.init]


def _has_default(f: dataclasses.Field[Any]) -> bool:
    return f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
