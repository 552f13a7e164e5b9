"""A teacher: a model that has learnt already, asked about the images that a student trains on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.spec.files import preprocessing_to_dict
from triscale.spec.preprocessing import Preprocessing

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, as Pillow has it (ITU-R BT.601)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A model to learn from. It stays as it is: in evaluation mode, without gradients.

    model: normalised images (N, C, H, W) -> logits (N, outputs). preprocessing: how its images are made.
    classes: names of its outputs in their order; empty where unknown.
    sha256: of all that decides its answers, so that a run is not resumed with another teacher.
    """

    model: nn.Module
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    sha256: str

    @classmethod
    def of(cls, model: Model) -> Self:
        """A model of ours as the teacher, by its own preprocessing and class names."""
        return cls(model.eval(), model.preprocessing, model.card.classes, fingerprint(model))

    def view(self, images: Tensor, student: Preprocessing) -> Tensor:
        """A student's batch as the teacher would read it: the same crops, in the teacher's size, mean and deviation.

        images: (N, C, H, W), normalised as `student` says, of any size.
        Returns: (N, teacher's C, teacher's H, W). Where size, mean and deviation are the same, the batch itself.
        Crops, colours and mixing are not drawn again: a teacher has to see what the student sees
        (https://arxiv.org/abs/2106.05237, section 3.1). Where it reads larger images than the student, these are
        enlarged: pixels that the student's resize left out do not come back.
        """
        own = self.preprocessing
        resized = tuple(images.shape[-2:]) != own.size
        if not resized and (own.mean, own.std) == (student.mean, student.std):
            return images
        pixels = images.float() * _column(student.std, images) + _column(student.mean, images)
        if resized:
            smooth = own.interpolation != "nearest"
            corners = {"align_corners": False} if smooth else {}
            pixels = nn.functional.interpolate(pixels, own.size, mode=own.interpolation, antialias=smooth, **corners)
            pixels = pixels.clamp(0.0, 1.0)  # a bicubic kernel overshoots; bytes cannot
        pixels = _with_channels(pixels, own.channels)
        return (pixels - _column(own.mean, images)) / _column(own.std, images)

    def columns(self, classes: Sequence[str], source: str) -> list[int]:
        """Which of its outputs each of these classes is, by name.

        source: what to call the teacher in errors. Raises: TrainingError for a class that it does not know.
        """
        way_out = (
            "train it on these images first, or take its features only (distillation.weight = 0, "
            "distillation.features = 1)"
        )
        if not self.classes:
            raise TrainingError(f"teacher {source}: does not say what its outputs mean; {way_out}.")
        unknown = [name for name in classes if name not in self.classes]
        if unknown:
            knows = ", ".join(self.classes[:4]) + (", …" if len(self.classes) > 4 else "")
            raise TrainingError(
                f"teacher {source}: does not know {len(unknown)} of {len(classes)} classes, {unknown[0]!r} first; it "
                f"knows {knows}; {way_out}."
            )
        return [self.classes.index(name) for name in classes]


def fingerprint(model: Model) -> str:
    """SHA-256 of a model's layers, weights, preprocessing and class names."""
    described = [model.description(), preprocessing_to_dict(model.preprocessing), model.card.classes]
    hashed = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, value in model.state_dict().items():
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device).reshape(-1, 1, 1)


def _with_channels(pixels: Tensor, channels: int) -> Tensor:
    """Grey as RGB or RGB as grey; as they are where they have so many channels. Raises: TrainingError for others."""
    found = pixels.shape[1]
    if found == channels:
        return pixels
    if (found, channels) == (1, 3):
        return pixels.expand(-1, 3, -1, -1)
    if (found, channels) == (3, 1):
        return (pixels * _column(LUMA, pixels)).sum(1, keepdim=True)
    raise TrainingError(f"the teacher reads images of {channels} channels, the student's have {found}; take another.")
