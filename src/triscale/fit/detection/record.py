"""The choice of a detector as a file, so that a resumed run never chooses again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from triscale.fit.detection.choose import DetectorCandidate, DetectorChoice
from triscale.fit.record import read_document, write_document
from triscale.spec.files import detector_from_dict, detector_to_dict

VERSION = 1


def write_choice(choice: DetectorChoice, path: Path) -> None:
    """Write `choice.json`, atomically."""
    write_document(path, VERSION, _to_dict(choice.chosen), [_to_dict(each) for each in choice.rejected], choice.notes)


def read_choice(path: Path) -> DetectorChoice:
    """Undo `write_choice`. Raises: RunError when the file is damaged; FileError when it is missing."""
    return DetectorChoice(*read_document(path, VERSION, _from_dict))


def _to_dict(candidate: DetectorCandidate) -> dict[str, Any]:
    return {
        "detector": detector_to_dict(candidate.detector),
        "weights": candidate.weights,
        "values": {word: value for word, value in candidate.values.items() if math.isfinite(value)},
        "inside": candidate.inside,
        "scaled": candidate.scaled,
        "reason": candidate.reason,
    }


def _from_dict(values: dict[str, Any], version: int) -> DetectorCandidate:
    weights = values["weights"]
    return DetectorCandidate(
        detector_from_dict(values["detector"]),
        None if weights is None else str(weights),
        {str(word): float(value) for word, value in values["values"].items()},
        bool(values["inside"]),
        str(values["scaled"]),
        str(values["reason"]),
    )
