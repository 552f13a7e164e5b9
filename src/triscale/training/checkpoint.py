"""Checkpoints of a run: tensors as safetensors, the rest as JSON; whole or not there, and checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors
import safetensors.torch
from torch import Tensor

from triscale import atomic
from triscale.errors import FileError
from triscale.models.tensors import storable

VERSION = 2  # 1 had sums of one label an image


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One point of a training.

    step: steps done. tensors: flat, by dotted name. state: everything else, plain values.
    best: tensors of the best weights so far; empty when nothing was evaluated yet.
    """

    step: int
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    best: dict[str, Tensor]


class Checkpoints:
    """The checkpoints in a folder: the newest few, and the best weights that they refer to.

    On disk: `step-N.safetensors` and, written after it, `step-N.json` with its SHA-256, the state, and the name of
    `best-M.safetensors`. What has no JSON does not count, so a crash between the two files loses nothing.
    """

    def __init__(self, folder: str | Path, keep: int = 2) -> None:
        self.folder = Path(folder)
        self.keep = keep
        self._best_written: dict[str, str] = {}  # name -> SHA-256

    def write(
        self,
        step: int,
        tensors: Mapping[str, Tensor],
        state: Mapping[str, object],
        best: Mapping[str, Tensor] | None = None,
        best_step: int = 0,
    ) -> Path:
        """Write a checkpoint, then remove what is no longer needed.

        best, best_step: the best weights so far and the step at which they were; written once.
        Raises: FileError when the disk is full; the checkpoints before it stay as they are.
        """
        best_name, best_hash = None, None
        if best is not None:
            best_name = f"best-{best_step:08d}.safetensors"
            if best_name not in self._best_written:
                self._best_written = {best_name: self._write_tensors(best_name, best)}
            best_hash = self._best_written[best_name]
        name = f"step-{step:08d}.safetensors"
        document = {
            "format_version": VERSION,
            "step": step,
            "file": name,
            "sha256": self._write_tensors(name, tensors),
            "best_file": best_name,
            "best_sha256": best_hash,
            "state": state,
        }
        path = self.folder / f"step-{step:08d}.json"
        atomic.write_bytes(path, msgspec.json.format(msgspec.json.encode(document), indent=1))
        self._remove_old(step)
        return path

    def newest(self) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """The newest intact checkpoint, None where there is none, and a line on each one that had to be passed over."""
        notes = []
        for path in sorted(self.folder.glob("step-*.json"), reverse=True):
            try:
                return self._read(path), tuple(notes)
            except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
                notes.append(f"{path}: is damaged ({_reason(error)}); going back to the one before it")
        return None, tuple(notes)

    def _read(self, path: Path) -> Checkpoint:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format_version"] != VERSION:
            raise FileError(
                f"{path}: is of format {document['format_version']}, this triscale reads {VERSION}; "
                f"resume with the triscale that wrote it."
            )
        tensors = self._read_tensors(document["file"], document["sha256"])
        best: dict[str, Tensor] = {}
        if document["best_file"] is not None:
            best = self._read_tensors(document["best_file"], document["best_sha256"])
            self._best_written = {document["best_file"]: document["best_sha256"]}
        return Checkpoint(document["step"], tensors, document["state"], best)

    def _write_tensors(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        data = safetensors.torch.save(storable(tensors))
        atomic.write_bytes(self.folder / name, data)
        return hashlib.sha256(data).hexdigest()

    def _read_tensors(self, name: str, expected: str) -> dict[str, Tensor]:
        if Path(name).name != name:
            raise ValueError(f"refers to {name!r} outside its folder")
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != expected:
            raise ValueError(f"{name} is not what was written")
        return safetensors.torch.load(data)

    def _remove_old(self, step: int) -> None:
        """Keep the newest few up to `step`: later ones were damaged, or we would not be here.

        JSON goes first, so that no crash leaves one that names a missing file.
        """
        newest = self.folder / f"step-{step:08d}.json"
        descriptions = sorted(self.folder.glob("step-*.json"), reverse=True)
        kept = [path for path in descriptions if path <= newest][: self.keep]
        for path in descriptions:
            if path not in kept:
                path.unlink(missing_ok=True)
        needed = set()
        for path in kept:
            needed.add(path.with_suffix(".safetensors").name)
            try:
                needed.add(json.loads(path.read_text(encoding="utf-8"))["best_file"])
            except (OSError, ValueError, KeyError):
                continue  # damaged: what it refers to cannot be told, and it will not be used
        for path in self.folder.glob("*.safetensors"):
            if path.name not in needed:
                path.unlink(missing_ok=True)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0]
