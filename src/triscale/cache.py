"""What was found out once on this machine, kept so that it need not be found out again."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from triscale import atomic
from triscale.errors import FileError


def cache_folder(kind: str = "trials") -> Path:
    """Where outcomes are kept: $XDG_CACHE_HOME/triscale/KIND, by default under ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triscale" / kind


def key_of(facts: object) -> str:
    """A file name for everything that an outcome depends on; facts: JSON values."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def remember(place: Path, values: object) -> None:
    """Write JSON values whole or not at all; a cache that cannot be written costs time, nothing else."""
    try:
        atomic.write_text(place, json.dumps(values))
    except FileError:
        return
