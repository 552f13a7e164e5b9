"""What was measured on this device, kept so that it need not be measured again."""

from __future__ import annotations

import hashlib
import json
import os
from importlib import metadata
from pathlib import Path

from triscale import atomic
from triscale.errors import FileError

LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino"}


def cache_folder(kind: str = "trials") -> Path:
    """Where outcomes are kept: $XDG_CACHE_HOME/triscale/KIND, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triscale" / kind


def key_of(facts: object) -> str:
    """A file name for everything that an outcome depends on; facts: JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def version_of(library: str) -> str:
    """The installed version, empty where there is none."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def remember(place: Path, values: object) -> None:
    """Write JSON values whole or not at all; a cache that cannot be written costs time, nothing else."""
    try:
        atomic.write_text(place, json.dumps(values))
    except FileError:
        return
