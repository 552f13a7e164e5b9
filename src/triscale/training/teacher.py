"""The model that a distillation learns from: found, told from others, and shown the student's images as its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from triscale.data.nearby import nearby
from triscale.errors import FileError, TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.files import load
from triscale.models.hub.fetch import fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.pretrained import require_pretrained
from triscale.spec import families
from triscale.spec.preprocessing import Preprocessing

LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey image: ITU-R BT.601, as Pillow has it
NAMED = 3
EXPORTED = (".onnx", ".xml")  # they answer, but where and with which libraries is for deployment to know


def open_teacher(source: str) -> ConvNet:
    """A teacher with its weights, in evaluation mode and without gradients.

    source: a run's folder, a model file, `hf://OWNER/REPO`, or a name with pretrained weights.
    Raises: FileError for a path that is no model of ours, SpecError or WeightsError for a name without weights.
    """
    path = teacher_file(source)
    named = families.is_network(source) and not Path(source).exists()
    model = create_model(source, "pretrained") if named else load(source if is_place(source) else path)
    return model.eval().requires_grad_(False)


def teacher_file(source: str) -> Path:
    """The file of a teacher's weights; raises as `open_teacher`."""
    if not source:
        raise TrainingError("Recipe.distillation has no teacher; give --teacher MODEL.")
    if is_place(source):
        return fetch_weights(source).path
    path = Path(source)
    if path.is_dir():
        if not (path / "model.safetensors").exists():
            raise FileError(f"{path}: holds no model.safetensors; give a run that has finished training.")
        return path / "model.safetensors"
    if path.suffix in EXPORTED:
        raise FileError(f"{path}: is an exported file; give the run or the model.safetensors that it came from.")
    if path.exists():
        return path
    if families.is_network(source):
        return require_pretrained(families.network(source).name).path
    raise FileError(f"{path}: no such teacher{nearby(path)}; give a run, a model file, or a name with weights.")


def teacher_hash(source: str) -> str:
    """SHA-256 of a teacher's weights: the same path may hold others tomorrow."""
    with teacher_file(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outputs_of(teacher: ConvNet, classes: Sequence[str]) -> Tensor:
    """Which of a teacher's outputs stands for each class, by name: (classes,) int64.

    Raises: TrainingError when the teacher does not know a class, or nobody knows what its outputs mean.
    """
    known = {name: output for output, name in enumerate(teacher.card.classes)}
    missing = [name for name in classes if name not in known]
    if not missing:
        return torch.tensor([known[name] for name in classes])
    lacking = ", ".join(missing[:NAMED]) + (f" and {len(missing) - NAMED} more" if len(missing) > NAMED else "")
    found = f"its {len(known):,} classes lack {lacking}" if known else "it does not say what its outputs mean"
    raise TrainingError(
        f"the teacher {teacher.name} cannot answer for these classes: {found}; train it on this data first, or learn "
        f"from its features alone: distillation.weight = 0 and distillation.features = 1."
    )


@dataclass(frozen=True, slots=True)
class Translation:
    """From the tensor that a student reads to the one that its teacher reads, by the preprocessing of both.

    Normalisation is undone, the image is brought to the teacher's size at evaluation and channels, and normalised anew;
    where size and normalisation are the same, nothing is done. Which part of a photograph is seen, the student says.
    """

    student: Preprocessing
    teacher: Preprocessing

    def __call__(self, images: Tensor) -> Tensor:
        """images: (B, C, H, W) float as the student reads them. Returns: (B, teacher's channels, its H, its W)."""
        own, other = self.student, self.teacher
        same_size = tuple(images.shape[2:]) == other.size
        same_values = (own.mean, own.std) == (other.mean, other.std)
        if same_size and same_values:
            return images
        values = images * _channels(own.std, images) + _channels(own.mean, images)
        values = _with_channels(values, other.channels)
        if not same_size:
            values = _resized(values, other)
        return (values - _channels(other.mean, images)) / _channels(other.std, images)


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def _with_channels(values: Tensor, channels: int) -> Tensor:
    """Colours from grey, or grey from colours. Raises: TrainingError for any other change."""
    found = values.shape[1]
    if found == channels:
        return values
    if found == 1 and channels == len(LUMA):
        return values.expand(-1, channels, -1, -1)
    if found == len(LUMA) and channels == 1:
        return (values * _channels(LUMA, values)).sum(1, keepdim=True)
    raise TrainingError(f"the teacher reads {channels} channels, the student {found}; they cannot see the same images.")


def _resized(values: Tensor, wanted: Preprocessing) -> Tensor:
    """Resized as Pillow does it: smoothed where it shrinks, and never beyond the range of an image."""
    if wanted.interpolation == "nearest":
        return nn.functional.interpolate(values, wanted.size, mode="nearest-exact")
    made = nn.functional.interpolate(values, wanted.size, mode=wanted.interpolation, antialias=True)
    return made.clamp(0, 1)
