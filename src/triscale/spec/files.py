"""Networks, detectors, preprocessing and model cards as JSON: versioned, strict, and the same after a round trip."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections import Counter
from pathlib import Path
from typing import Any

from triscale import atomic
from triscale.errors import FileError, SpecError
from triscale.spec.card import ModelCard
from triscale.spec.checks import shown
from triscale.spec.detector import Detector
from triscale.spec.network import Network
from triscale.spec.plain import from_dict, plain
from triscale.spec.plain_detector import detector_from_dict, detector_to_dict
from triscale.spec.plain_network import network_from_dict, network_to_dict
from triscale.spec.preprocessing import Preprocessing

__all__ = [
    "LARGEST_FILE",
    "card_from_dict",
    "card_to_dict",
    "detector_from_dict",
    "detector_to_dict",
    "from_dict",
    "network_from_dict",
    "network_to_dict",
    "preprocessing_from_dict",
    "preprocessing_to_dict",
    "read_json",
    "read_network",
    "write_network",
]

FORMAT, DETECTOR_FORMAT, VERSION = "triscale.network", "triscale.detector", 1
LARGEST_FILE = 16 * 2**20  # bytes; a network of 1,000 stages is far below it


def write_network(subject: Network | Detector, path: str | Path) -> None:
    """Write a network file or a detector file (JSON), atomically. Raises: FileError when it cannot be written."""
    if isinstance(subject, Detector):
        document = {"format": DETECTOR_FORMAT, "version": VERSION, "detector": detector_to_dict(subject)}
    else:
        document = {"format": FORMAT, "version": VERSION, "network": network_to_dict(subject)}
    atomic.write_text(path, json.dumps(document, indent=1) + "\n")


def read_network(path: str | Path) -> Network | Detector:
    """Read a network file or a detector file; the file says which it is.

    Raises: FileError when it is missing, no JSON, of another format or version; SpecError when what it says cannot be.
    """
    path = Path(path)
    document = read_json(path)
    if not isinstance(document, dict) or document.get("format") not in (FORMAT, DETECTOR_FORMAT):
        raise FileError(
            f'{path}: expected a network or detector file ("format": "{FORMAT}" or "{DETECTOR_FORMAT}"); '
            f"write one with `triscale scale`."
        )
    if document.get("version") is True or document.get("version") != VERSION:
        raise FileError(
            f"{path}: is of format version {document.get('version')!r}, this triscale reads {VERSION}; "
            f"use the triscale that wrote it, or a newer one."
        )
    try:
        if document["format"] == DETECTOR_FORMAT:
            return detector_from_dict(document.get("detector"))
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


def preprocessing_to_dict(preprocessing: Preprocessing) -> dict[str, Any]:
    """Preprocessing as plain JSON values, complete, so that a reader need not know the defaults."""
    return plain(dataclasses.asdict(preprocessing))


def preprocessing_from_dict(values: object) -> Preprocessing:
    """Undo `preprocessing_to_dict`."""
    return from_dict(Preprocessing, values, "preprocessing")


def card_to_dict(card: ModelCard) -> dict[str, Any]:
    """A model card as plain JSON values; what is as ever is left out, so that an older triscale reads it too."""
    values = plain(dataclasses.asdict(card))
    usual = {"several": False, "temperature": None}
    return {key: value for key, value in values.items() if key not in usual or value != usual[key]}


def card_from_dict(values: object) -> ModelCard:
    """Undo `card_to_dict`."""
    return from_dict(ModelCard, values, "card")


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()] if folder.is_dir() else []
