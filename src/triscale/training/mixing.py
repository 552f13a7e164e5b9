"""Mixup and CutMix: two images become one, and its target is as much of each class as is in it.

All that is drawn is a pure function of (seed, step, rank), on the CPU, whatever device the images are on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from triscale.errors import TrainingError

_TAG = 0x6D6978  # keeps these numbers apart from others that are drawn from the same seed and step


@dataclass(frozen=True, slots=True)
class Mixing:
    """How strongly images of a batch are mixed: the alpha of Beta(alpha, alpha), from which each image's share comes.

    mixup: of images that are added up; 0 for none. cutmix: of images that get a rectangle of another; 0 for none.
    With both, the first half of a batch is added up and the second gets rectangles, as in EfficientNetV2's code.
    Sources: mixup, https://arxiv.org/abs/1710.09412; CutMix, https://arxiv.org/abs/1905.04899.
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def __bool__(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    def __call__(
        self, images: Tensor, labels: Tensor, classes: int, seed: int, step: int, rank: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Mix a batch.

        images: (N, C, H, W) float, any device and memory layout, which stays.
        labels: (N,) int64 class numbers, or (N, classes) float of 0 and 1 where an image may have several.
        rank: of the process, where several train together: each mixes its own part of the batch.
        Returns: images as they were given where nothing is mixed, else new ones; and targets (N, classes) float32 whose
            rows sum to 1 with one label an image, or the labels themselves where nothing is mixed.
        Raises: TrainingError for targets that are neither.
        """
        if not self:
            return images, labels
        if labels.ndim > 2 or (labels.ndim == 2 and labels.shape[1] != classes):
            raise TrainingError(
                f"mixup and cutmix need a class number or {classes} labels an image, "
                f"got targets of shape {tuple(labels.shape)}."
            )
        dice = np.random.default_rng([_TAG, seed % 2**64, step, *([rank] if rank else [])])
        targets = nn.functional.one_hot(labels, classes).float() if labels.ndim == 1 else labels
        added = len(images) if not self.cutmix else len(images) // 2 if self.mixup else 0
        parts = [mixup(images[:added], targets[:added], self.mixup, dice)] if added else []
        if added < len(images):
            parts.append(cutmix(images[added:], targets[added:], self.cutmix, dice))
        if len(parts) == 1:
            return parts[0]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def mixup(images: Tensor, targets: Tensor, alpha: float, dice: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image and the next one of the batch, added up; the larger share is its own, so that it stays what it is.

    images: (N, C, H, W). targets: (N, classes), float. Returns: both, mixed.
    """
    drawn = dice.beta(alpha, alpha, len(images))
    other = _column(1 - np.maximum(drawn, 1 - drawn), images)
    return images.lerp(_next(images), other.to(images.dtype)), targets.lerp(_next(targets), other.view(-1, 1))


def cutmix(images: Tensor, targets: Tensor, alpha: float, dice: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each image with a rectangle of the next one of the batch, at the place where it is there.

    The rectangle has the image's aspect and its centre anywhere in it; what is outside is cut off, and the share of
    the target is that of the pixels which really change.
    images: (N, C, H, W). targets: (N, classes), float. Returns: both, mixed.
    """
    height, width = images.shape[-2:]
    side = np.sqrt(1 - dice.beta(alpha, alpha, len(images)))
    top, bottom = _span(dice.random(len(images)), side, height)
    left, right = _span(dice.random(len(images)), side, width)
    rows, columns = _inside(top, bottom, height), _inside(left, right, width)
    inside = torch.from_numpy(rows[:, None, :, None] & columns[:, None, None, :]).to(images.device)
    other = _column((bottom - top) * (right - left) / (height * width), images)
    return torch.where(inside, _next(images), images), targets.lerp(_next(targets), other.view(-1, 1))


def _span(centre: np.ndarray, side: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """(first, one after the last) pixel of spans of `side` * length about `centre` (0..1), cut off at the ends."""
    middle, half = np.floor(centre * length), np.floor(side * length) / 2
    first, last = np.floor(middle - half), np.floor(middle + half)
    return first.clip(0, length), last.clip(0, length)


def _inside(first: np.ndarray, last: np.ndarray, length: int) -> np.ndarray:
    """(N, length) bool."""
    places = np.arange(length)
    return (places >= first[:, None]) & (places < last[:, None])


def _next(batch: Tensor) -> Tensor:
    """The batch moved up by one: the last gets the first. In a batch of one, every image is its own partner."""
    return torch.cat([batch[1:], batch[:1]])


def _column(values: np.ndarray, images: Tensor) -> Tensor:
    """(N, 1, 1, 1) float32 on the images' device."""
    return torch.from_numpy(values.astype(np.float32)).to(images.device).view(-1, 1, 1, 1)
