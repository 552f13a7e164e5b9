"""Networks as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

from triscale.errors import SpecError
from triscale.spec.block import Block, Squeeze
from triscale.spec.checks import MOST_BLOCKS, shown
from triscale.spec.network import Head, Network, Numerics, Stage, Stem
from triscale.spec.plain import construct, from_dict, keys, placed, plain, to_dict
from triscale.spec.rounding import Rounding

_PARTS = {"stem": Stem, "head": Head, "numerics": Numerics, "rounding": Rounding}


def network_to_dict(net: Network) -> dict[str, Any]:
    """A network as plain JSON values; a uniform stage is one row, and rows leave out what equals its default."""
    found = {f.name: plain(getattr(net, f.name)) for f in dataclasses.fields(net)}
    found |= {"stem": to_dict(net.stem), "numerics": plain(dataclasses.asdict(net.numerics))}
    found["rounding"] = plain(dataclasses.asdict(net.rounding))
    found["stages"] = [_stage_to_dict(each) for each in net.stages]
    found["head"] = None if net.head is None else to_dict(net.head)
    return found


def network_from_dict(values: object, where: str = "network") -> Network:
    """Undo `network_to_dict`; `where` is the place of the values in a file.

    Raises: SpecError naming the key that is unknown, missing or of the wrong type.
    """
    given = keys(Network, values, where)
    if not isinstance(given.get("stages"), list):
        raise SpecError(f"{where}.stages must be a list of stages.")
    stages: list[Stage] = []
    blocks = 0
    for index, each in enumerate(given["stages"]):
        stages.append(_stage_from_dict(each, f"{where}.stages[{index}]"))
        blocks += len(stages[-1].blocks)
        if blocks > MOST_BLOCKS:
            raise SpecError(
                f"{where}.stages[{index}]: with it there are {blocks:,} blocks; {MOST_BLOCKS:,} are the most."
            )
    given["stages"] = tuple(stages)
    for part in ("stem", "head", "numerics", "rounding"):
        if given.get(part) is not None:
            given[part] = from_dict(_PARTS[part], given[part], f"{where}.{part}")
    if "resolution" in given:
        given["resolution"] = _sizes(given["resolution"], f"{where}.resolution")
    given.setdefault("head", None)
    given.setdefault("name", "unnamed")
    if not isinstance(given.get("stem"), Stem):
        raise SpecError(f"{where}.stem is missing.")
    return construct(Network, given, where, ready=("stages",))


def _stage_to_dict(each: Stage) -> dict[str, Any]:
    first = each.blocks[0]
    rest = dataclasses.replace(first, stride=1)
    row: dict[str, Any] = (
        {"block": to_dict(first), "repeats": len(each.blocks)}
        if all(block == rest for block in each.blocks[1:])
        else {"blocks": [to_dict(block) for block in each.blocks]}
    )
    return row if each.deepen else {**row, "deepen": False}


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
        alike = (block, *[dataclasses.replace(block, stride=1)] * (repeats - 1))
        return placed(where, lambda: Stage(alike, deepen))
    if not isinstance(values["blocks"], list) or len(values["blocks"]) > MOST_BLOCKS:
        raise SpecError(f"{where}.blocks must be a list of at most {MOST_BLOCKS:,} blocks.")
    blocks = tuple(_block_from_dict(b, f"{where}.blocks[{i}]") for i, b in enumerate(values["blocks"]))
    return placed(where, lambda: Stage(blocks, deepen))


def _block_from_dict(values: object, where: str) -> Block:
    given = keys(Block, values, where)
    if given.get("squeeze") is not None:
        given["squeeze"] = from_dict(Squeeze, given["squeeze"], f"{where}.squeeze")
    return construct(Block, given, where)


def _sizes(value: object, where: str) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2 and all(isinstance(n, int) for n in value)):
        raise SpecError(f"{where} must be [height, width], got {shown(value)}.")
    return value[0], value[1]
