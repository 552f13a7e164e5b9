"""What one sample becomes in a batch: its pixels, and what is to be learnt of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image

from triscale.data.augment import Augmentation, augment, dice_for, draw_crop
from triscale.data.dataset import Sample
from triscale.data.several import multi_hot
from triscale.data.transforms import needed_size, normalise, resize, to_values, with_channels
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing

# of a sample's index and the (H, W) that its whole image is needed at: the image, which may be larger
Opener = Callable[[int, Size], Image.Image]


class Item(NamedTuple):
    """values: (H, W, C) float32, normalised, or uint8 with `as_bytes`. target: what its `Items` puts together for a
    batch.
    """

    values: np.ndarray
    target: Any = None


class Items(Protocol):
    """Makes items of samples, as a pure function of (seed, epoch, index)."""

    def make(self, index: int, epoch: int, opened: Opener) -> Item:
        """One sample's item. Raises: ImageError naming an image that cannot be used."""
        ...

    def targets(self, indices: np.ndarray, made: Sequence[Any]) -> torch.Tensor:
        """The targets of a batch, (N, ...). indices: of its samples. made: `Item.target` of each."""
        ...


class LabelItems:
    """Images with their labels.

    size: (H, W) in pixels. augmentation: None gives what `preprocess` gives.
    target_width: the classes where an image may have several, else 0.
    as_bytes: leave everything after the crop to `DeviceAugment`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None,
        seed: int,
        size: Size,
        target_width: int = 0,
        as_bytes: bool = False,
    ) -> None:
        self.preprocessing, self.augmentation, self.seed, self.size = preprocessing, augmentation, seed, size
        self.as_bytes = as_bytes
        self._labels = (
            torch.from_numpy(multi_hot([each.labels for each in samples], target_width))
            if target_width
            else torch.tensor([each.label for each in samples], dtype=torch.int64)
        )

    def make(self, index: int, epoch: int, opened: Opener) -> Item:
        """See `Items.make`."""
        if self.augmentation is None:
            image = opened(index, needed_size(self.preprocessing, self.size))
            return Item(to_values(image, self.preprocessing, self.size))
        dice = dice_for(self.seed, epoch, index)
        crop = draw_crop(self.augmentation, dice)
        image = with_channels(opened(index, crop.needed_size(self.size)), self.preprocessing.channels)
        if self.as_bytes:
            cut = resize(image, self.size, self.preprocessing, crop.box(image, self.size))
            return Item(np.asarray(cut).reshape(*self.size, -1))
        image = augment(image, self.augmentation, crop, dice, self.size, self.preprocessing)
        return Item(normalise(image, self.preprocessing))

    def targets(self, indices: np.ndarray, made: Sequence[Any]) -> torch.Tensor:
        """(N,) int64 class numbers, or (N, classes) float32 of 0 and 1."""
        return self._labels[torch.from_numpy(indices)]
