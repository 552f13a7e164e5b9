"""A choice as a file: what was chosen and what was not, so that a resumed run never chooses again."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from triscale import atomic
from triscale.errors import RunError, SpecError
from triscale.fit.candidate import Candidate, Choice
from triscale.spec.files import network_from_dict, network_to_dict, read_json

VERSION = 2  # 1 knew no grown networks
C = TypeVar("C")


def write_choice(choice: Choice, path: Path) -> None:
    """Write `choice.json`, atomically."""
    write_document(path, VERSION, _to_dict(choice.chosen), [_to_dict(each) for each in choice.rejected], choice.notes)


def read_choice(path: Path) -> Choice:
    """Undo `write_choice`. Raises: RunError when the file is damaged; FileError when it is missing."""
    return Choice(*read_document(path, VERSION, _from_dict))


def write_document(
    path: Path, version: int, chosen: Mapping[str, Any], rejected: Sequence[Mapping[str, Any]], notes: Sequence[str]
) -> None:
    """A choice among candidates of any kind, as JSON; atomically."""
    document = {"version": version, "chosen": chosen, "rejected": rejected, "notes": list(notes)}
    atomic.write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_document(
    path: Path, newest: int, made: Callable[[dict[str, Any], int], C]
) -> tuple[C, tuple[C, ...], tuple[str, ...]]:
    """Undo `write_document`: (chosen, rejected, notes).

    made: a candidate from its values, of a document of that version.
    Raises: RunError when the file is damaged, or of a version that is not in 1..newest; FileError when it is missing.
    """
    document = read_json(path)
    try:
        version = document["version"]
        if version not in range(1, newest + 1):
            raise RunError(f"{path}: is of version {version}, this triscale reads {_versions(newest)}.")
        return (
            made(document["chosen"], version),
            tuple(made(each, version) for each in document["rejected"]),
            tuple(str(note) for note in document["notes"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError, SpecError) as error:
        raise RunError(f"{path}: is damaged ({error}); choose another folder.") from None


def _versions(newest: int) -> str:
    return "1" if newest == 1 else f"1 to {newest}"


def _to_dict(candidate: Candidate) -> dict[str, Any]:
    values = {word: value for word, value in candidate.values.items() if math.isfinite(value)}
    return {
        "network": network_to_dict(candidate.network),
        "weights": candidate.weights,
        "top1": candidate.top1,
        "kept": candidate.kept,
        "values": values,
        "inside": candidate.inside,
        "scaled": candidate.scaled,
        "reason": candidate.reason,
        "grown": candidate.grown,
    }


def _from_dict(values: dict[str, Any], version: int) -> Candidate:
    return Candidate(
        network_from_dict(values["network"]),
        values["weights"],
        values["top1"],
        values["kept"],
        {str(word): float(value) for word, value in values["values"].items()},
        bool(values["inside"]),
        str(values["scaled"]),
        str(values["reason"]),
        version > 1 and bool(values["grown"]),
    )
