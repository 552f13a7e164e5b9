"""Settings as TOML: what was decided, written out and read back, where a misspelt key is an error and not a default."""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w

from triscale import atomic
from triscale.errors import FileError

_T = TypeVar("_T")
LARGEST_FILE = 2**20  # bytes


def to_table(value: object) -> dict[str, Any]:
    """A dataclass (or a mapping) as plain values that TOML and JSON can hold; None is left out, as TOML has none."""
    return _without_none(msgspec.to_builtins(value, enc_hook=str, str_keys=True))


def from_table(table: Mapping[str, object], kind: type[_T], where: str) -> _T:
    """A frozen dataclass from a table, strictly; undoes `to_table`.

    where: what to call the table in errors: a file and section.
    Raises: FileError naming the key that is unknown (and the nearest known one) or has a value of the wrong type.
    """
    _check_keys(table, kind, where)
    try:
        return msgspec.convert(table, kind, strict=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        key = f"{place.rstrip('`')}: " if place else ""
        choices = _choices(kind, place.rstrip("`"))
        if choices and reason.startswith("Invalid enum value"):
            found = reason.removeprefix("Invalid enum value ")
            raise FileError(f"{where}: {key}{found} is not one of {', '.join(choices)}; choose one of them.") from None
        raise FileError(f"{where}: {key}{reason[0].lower()}{reason[1:]}.") from None


def write_config(path: str | Path, table: Mapping[str, object]) -> None:
    """Write settings as TOML, atomically. Raises: FileError when they cannot be written."""
    atomic.write_text(path, tomli_w.dumps(to_table(table)))


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a TOML file of settings. Raises: FileError saying where it is missing, too large or no TOML."""
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise FileError(
                f"{path}: has {path.stat().st_size:,} bytes, more than any settings need; is it the right file?"
            )
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}; give the path of a TOML file.") from None
    except ValueError as error:
        raise FileError(f"{path}: is not TOML: {error}.") from None


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """What differs between two sets of settings, one line each: `recipe.epochs was 3, is now 5`."""
    old, new = _flat(to_table(before)), _flat(to_table(after))
    return [
        f"{key} was {old.get(key, 'not given')!r}, is now {new.get(key, 'not given')!r}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def merged(base: Mapping[str, object], over: Mapping[str, object]) -> dict[str, Any]:
    """A table with the values of another one over its own, tables inside it too."""
    made = dict(base)
    for key, value in over.items():
        inner = made.get(key)
        made[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return made


def changed(settings: _T, changes: Sequence[str], where: str) -> _T:
    """A frozen dataclass with other values for some keys.

    changes: KEY=VALUE each: dotted keys reach into tables ("augmentation.flip"), values are TOML's; a plain word needs
        no quotes, and `none` takes back what is None by default.
    where: what to call them in errors.
    Raises: FileError for what is no KEY=VALUE, an unknown key (with the nearest known one), or a wrong value.
    """
    kind, table = type(settings), to_table(settings)
    for change in changes:
        key, equals, text = change.partition("=")
        parts = [part.strip() for part in key.split(".")]
        if not equals or not all(parts):
            raise FileError(f"{where}: {change!r} is no KEY=VALUE; write epochs=20 or augmentation.flip=0.0.")
        _set(table, kind, parts, text.strip(), where)
    return from_table(table, kind, where)


def _set(table: dict[str, Any], kind: type[Any], parts: list[str], text: str, where: str) -> None:
    """Put a value at its place in nested tables; keys are checked on the way, so that the error names this one."""
    name, *deeper = parts
    _check_keys({name: None}, kind, where)
    inner = _dataclass_in(typing.get_type_hints(kind)[name])
    if deeper and inner is None:
        raise FileError(f"{where}: {name!r} is one value and has no {'.'.join(deeper)!r}; write {name}=VALUE.")
    if deeper and inner is not None:
        _set(table.setdefault(name, {}), inner, deeper, text, f"{where}, {name}")
        return
    default = next(each.default for each in dataclasses.fields(kind) if each.name == name)
    if text == "none" and default is None:
        table.pop(name, None)
    else:
        table[name] = _toml_value(text, f"{where}: {name}")


def _toml_value(text: str, where: str) -> object:
    try:
        read = tomllib.loads(f"value = {text}")
    except ValueError:
        read = {}
    if read.keys() == {"value"}:
        return read["value"]
    if re.fullmatch(r"[A-Za-z][\w-]*", text):
        return text
    raise FileError(f'{where}: {text!r} is no value; write a number, true, false, a word, [1, 2] or "text".')


def _flat(table: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _check_keys(table: Mapping[str, object], kind: type, where: str) -> None:
    known = typing.get_type_hints(kind)
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}."
            raise FileError(f"{where}: unknown key {key!r}; {hint}")
        inner = _dataclass_in(known[key])
        if inner is not None and isinstance(value, Mapping):
            _check_keys(value, inner, f"{where}, {key}")


def _choices(kind: type, place: str) -> tuple[str, ...]:
    """The words that a key may be, dotted where it is in a table in a table; () where it is something else."""
    hint: object = kind
    for name in place.split("."):
        inner = _dataclass_in(hint)
        hint = None if inner is None else typing.get_type_hints(inner).get(name)
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


def _dataclass_in(hint: object) -> type | None:
    """The dataclass of a field's annotation, also inside `X | None`."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((each for each in options if isinstance(each, type) and dataclasses.is_dataclass(each)), None)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return [_without_none(each) for each in value] if isinstance(value, (list, tuple)) else value
