"""Preprocessing: how a photograph becomes the network's input. It belongs to the weights and travels with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from triscale.errors import SpecError
from triscale.spec.network import Size, as_size

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Fit = Literal["crop", "squash", "letterbox"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Everything between a decoded RGB image and the tensor that the network reads.

    size: (H, W) in pixels at evaluation.
    train_size: (H, W) in training; None means `size`.
    mean, std: per channel, of values in 0..1; the tensor is (x - mean) / std.
    interpolation: of the one resize.
    fit: "crop" keeps the central `crop` share of what fits the target's aspect, then resizes;
         "squash" resizes the whole image; "letterbox" keeps its aspect and fills right and bottom with `fill`.
    crop: share of the side kept by the centre crop (224 of 256 pixels: 0.875).
    fill: what letterboxing paints, 0..1, before normalisation; None paints `mean`, that is zero after it.
    """

    size: Size = (224, 224)
    train_size: Size | None = None
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bicubic"
    fit: Fit = "crop"
    crop: float = 0.875
    fill: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", as_size(self.size))
        if self.train_size is not None:
            object.__setattr__(self, "train_size", as_size(self.train_size))
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        finite = all(map(math.isfinite, (*self.mean, *self.std)))
        if not self.mean or len(self.mean) != len(self.std) or not finite or min(self.std) <= 0:
            raise SpecError(
                f"Preprocessing.mean and std must be finite, as many, and std positive, got {self.mean}, {self.std}."
            )
        if self.interpolation not in ("nearest", "bilinear", "bicubic"):
            raise SpecError(
                f"Preprocessing.interpolation must be nearest, bilinear or bicubic, got {self.interpolation!r}."
            )
        if self.fit not in ("crop", "squash", "letterbox"):
            raise SpecError(f"Preprocessing.fit must be crop, squash or letterbox, got {self.fit!r}.")
        if not 0 < self.crop <= 1:
            raise SpecError(f"Preprocessing.crop must be in 0..1, got {self.crop}.")
        if self.fill is not None and not 0 <= self.fill <= 1:
            raise SpecError(f"Preprocessing.fill must be in 0..1, got {self.fill}.")

    @property
    def channels(self) -> int:
        """Channels of the image it makes."""
        return len(self.mean)
