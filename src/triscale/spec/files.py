"""Networks, preprocessing and model cards as JSON: versioned, strict, and the same after a round trip."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from triscale import atomic
from triscale.errors import FileError, SpecError
from triscale.spec.block import Block, Squeeze
from triscale.spec.card import ModelCard
from triscale.spec.checks import MOST_BLOCKS, shown
from triscale.spec.network import Head, Network, Numerics, Stage, Stem
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.rounding import Rounding

FORMAT, VERSION = "triscale.network", 1
LARGEST_FILE = 16 * 2**20  # bytes; a network of 1,000 stages is far below it

_T = TypeVar("_T")
_PARTS = {"squeeze": Squeeze, "stem": Stem, "head": Head, "numerics": Numerics, "rounding": Rounding}


def write_network(net: Network, path: str | Path) -> None:
    """Write a network file (JSON), atomically. Raises: FileError when it cannot be written."""
    document = {"format": FORMAT, "version": VERSION, "network": network_to_dict(net)}
    atomic.write_text(path, json.dumps(document, indent=1) + "\n")


def read_network(path: str | Path) -> Network:
    """Read a network file.

    Raises: FileError when it is missing, no JSON, of another format or version; SpecError when what it says cannot be.
    """
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FileError(f'{path}: expected a network file ("format": "{FORMAT}"); write one with `triscale scale`.')
    if document.get("version") is True or document.get("version") != VERSION:
        raise FileError(
            f"{path}: is of format version {document.get('version')!r}, this triscale reads {VERSION}; "
            f"use the triscale that wrote it, or a newer one."
        )
    try:
        return network_from_dict(document.get("network"))
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


def read_json(path: Path) -> Any:
    """Parse a JSON file of bounded size, strictly: no key twice, no NaN. Raises: FileError saying why not."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        if len(data) > LARGEST_FILE:
            raise FileError(f"{path}: has more than the {LARGEST_FILE:,} bytes of the largest network file.")
        return json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, _names(path.parent), n=2, cutoff=0.4)
        hint = f"; nearby: {', '.join(near)}" if near else ""
        raise FileError(f"{path}: no such file{hint}.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is not JSON ({error}).") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {shown(twice)} is given twice")
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def network_to_dict(net: Network) -> dict[str, Any]:
    """A network as plain JSON values; a uniform stage is one row, and rows leave out what equals its default."""
    made = {f.name: _plain(getattr(net, f.name)) for f in dataclasses.fields(net)}
    made |= {"stem": _to_dict(net.stem), "numerics": _plain(dataclasses.asdict(net.numerics))}
    made["rounding"] = _plain(dataclasses.asdict(net.rounding))
    made["stages"] = [_stage_to_dict(each) for each in net.stages]
    made["head"] = None if net.head is None else _to_dict(net.head)
    return made


def network_from_dict(values: object) -> Network:
    """Undo `network_to_dict`. Raises: SpecError naming the key that is unknown, missing or of the wrong type."""
    given = _keys(Network, values, "network")
    if not isinstance(given.get("stages"), list):
        raise SpecError("network.stages must be a list of stages.")
    stages: list[Stage] = []
    blocks = 0
    for index, each in enumerate(given["stages"]):
        stages.append(_stage_from_dict(each, f"network.stages[{index}]"))
        blocks += len(stages[-1].blocks)
        if blocks > MOST_BLOCKS:
            raise SpecError(
                f"network.stages[{index}]: with it there are {blocks:,} blocks; {MOST_BLOCKS:,} are the most."
            )
    given["stages"] = tuple(stages)
    for part in ("stem", "head", "numerics", "rounding"):
        if given.get(part) is not None:
            given[part] = from_dict(_PARTS[part], given[part], f"network.{part}")
    if "resolution" in given:
        given["resolution"] = _sizes(given["resolution"], "network.resolution")
    given.setdefault("head", None)
    given.setdefault("name", "unnamed")
    if not isinstance(given.get("stem"), Stem):
        raise SpecError("network.stem is missing.")
    return _construct(Network, given, "network")


def preprocessing_to_dict(preprocessing: Preprocessing) -> dict[str, Any]:
    """Preprocessing as plain JSON values, complete, so that a reader need not know the defaults."""
    return _plain(dataclasses.asdict(preprocessing))


def preprocessing_from_dict(values: object) -> Preprocessing:
    """Undo `preprocessing_to_dict`."""
    return from_dict(Preprocessing, values, "preprocessing")


def card_to_dict(card: ModelCard) -> dict[str, Any]:
    """A model card as plain JSON values; what is as ever is left out, so that an older triscale reads it too."""
    values = _plain(dataclasses.asdict(card))
    usual = {"several": False, "temperature": None}
    return {key: value for key, value in values.items() if key not in usual or value != usual[key]}


def card_from_dict(values: object) -> ModelCard:
    """Undo `card_to_dict`."""
    return from_dict(ModelCard, values, "card")


def from_dict(kind: type[_T], values: object, where: str) -> _T:
    """A dataclass from plain values, strictly: unknown keys and wrong types are errors that name their place."""
    return _construct(kind, _keys(kind, values, where), where)


def _construct(kind: type[_T], values: dict[str, Any], where: str) -> _T:
    converted = {}
    types = _types(kind)
    for name, value in values.items():
        if dataclasses.is_dataclass(value) or name == "stages":
            converted[name] = value
            continue
        try:
            converted[name] = msgspec.convert(value, types[name], strict=True)
        except msgspec.ValidationError as error:
            raise SpecError(f"{where}.{name}: {_expected(error, types[name])}; got {shown(value)}.") from None
    missing = [f.name for f in _fields(kind) if f.name not in converted and not _has_default(f)]
    if missing:
        raise SpecError(f"{where}: {', '.join(missing)} is missing.")
    return _made(where, kind, **converted)


def _made(where: str, kind: Callable[..., _T], /, *values: Any, **named: Any) -> _T:
    try:
        return kind(*values, **named)
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from None


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


def _keys(kind: type, values: object, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise SpecError(f"{where} must be an object, got {type(values).__name__}.")
    known = [f.name for f in _fields(kind)]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key)[:80], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
            raise SpecError(f"{where} has an unknown key {shown(key)}; {hint}")
    return dict(values)


def _stage_to_dict(each: Stage) -> dict[str, Any]:
    first = each.blocks[0]
    rest = dataclasses.replace(first, stride=1)
    made: dict[str, Any] = (
        {"block": _to_dict(first), "repeats": len(each.blocks)}
        if all(block == rest for block in each.blocks[1:])
        else {"blocks": [_to_dict(block) for block in each.blocks]}
    )
    return made if each.deepen else {**made, "deepen": False}


def _stage_from_dict(values: object, where: str) -> Stage:
    if not isinstance(values, dict):
        raise SpecError(f"{where} must be an object, got {type(values).__name__}.")
    unknown = set(values) - {"block", "repeats", "blocks", "deepen"}
    if unknown or ("block" in values) == ("blocks" in values):
        raise SpecError(
            f'{where} must have either "block" and "repeats" or "blocks", and may have "deepen"; '
            f"got {shown(sorted(values))}."
        )
    deepen, repeats = values.get("deepen", True), values.get("repeats", 1)
    if not isinstance(deepen, bool) or type(repeats) is not int or not 1 <= repeats <= MOST_BLOCKS:
        raise SpecError(
            f"{where}: deepen must be true or false and repeats in 1..{MOST_BLOCKS:,}, "
            f"got {shown(deepen)} and {shown(repeats)}."
        )
    if "block" in values:
        block = _block_from_dict(values["block"], f"{where}.block")
        return _made(where, Stage, (block, *[dataclasses.replace(block, stride=1)] * (repeats - 1)), deepen)
    if not isinstance(values["blocks"], list) or len(values["blocks"]) > MOST_BLOCKS:
        raise SpecError(f"{where}.blocks must be a list of at most {MOST_BLOCKS:,} blocks.")
    blocks = tuple(_block_from_dict(b, f"{where}.blocks[{i}]") for i, b in enumerate(values["blocks"]))
    return _made(where, Stage, blocks, deepen)


def _block_from_dict(values: object, where: str) -> Block:
    given = _keys(Block, values, where)
    if given.get("squeeze") is not None:
        given["squeeze"] = from_dict(Squeeze, given["squeeze"], f"{where}.squeeze")
    return _construct(Block, given, where)


def _to_dict(value: Any) -> dict[str, Any]:
    made = {}
    for f in dataclasses.fields(value):
        own = getattr(value, f.name)
        if own == f.default:
            continue
        made[f.name] = _to_dict(own) if dataclasses.is_dataclass(own) else _plain(own)
    return made


def _plain(value: Any) -> Any:
    """As JSON values; 6 and 6.0 are written alike, so that what is read and written again is the same text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _sizes(value: object, where: str) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value)):
        raise SpecError(f"{where} must be [height, width], got {shown(value)}.")
    return value[0], value[1]


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()] if folder.is_dir() else []
