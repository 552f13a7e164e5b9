"""The choice of a detector as a file, so that a resumed run never chooses again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from triscale import atomic
from triscale.errors import RunError, SpecError
from triscale.fit.detection.choose import DetectorCandidate, DetectorChoice
from triscale.spec.files import detector_from_dict, detector_to_dict, read_json

VERSION = 1


def write_choice(choice: DetectorChoice, path: Path) -> None:
    """Write `choice.json`, atomically."""
    document = {
        "version": VERSION,
        "chosen": _to_dict(choice.chosen),
        "rejected": [_to_dict(each) for each in choice.rejected],
        "notes": list(choice.notes),
    }
    atomic.write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_choice(path: Path) -> DetectorChoice:
    """Undo `write_choice`. Raises: RunError when the file is damaged; FileError when it is missing."""
    document = read_json(path)
    try:
        if document["version"] != VERSION:
            raise RunError(f"{path}: is of version {document['version']}, this triscale reads {VERSION}.")
        return DetectorChoice(
            _from_dict(document["chosen"]),
            tuple(_from_dict(each) for each in document["rejected"]),
            tuple(str(note) for note in document["notes"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError, SpecError) as error:
        raise RunError(f"{path}: is damaged ({error}); choose another folder.") from None


def _to_dict(candidate: DetectorCandidate) -> dict[str, Any]:
    return {
        "detector": detector_to_dict(candidate.detector),
        "weights": candidate.weights,
        "values": {word: value for word, value in candidate.values.items() if math.isfinite(value)},
        "inside": candidate.inside,
        "scaled": candidate.scaled,
        "reason": candidate.reason,
    }


def _from_dict(values: dict[str, Any]) -> DetectorCandidate:
    weights = values["weights"]
    return DetectorCandidate(
        detector_from_dict(values["detector"]),
        None if weights is None else str(weights),
        {str(word): float(value) for word, value in values["values"].items()},
        bool(values["inside"]),
        str(values["scaled"]),
        str(values["reason"]),
    )
