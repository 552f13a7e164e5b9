"""Images with boxes as a batch has them: pixels, and rows of what is in them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from triscale.data.augment import dice_for
from triscale.data.detection.augment import (
    CROWD,
    MOST_BOXES,
    BoxAugmentation,
    Placed,
    Window,
    draw_place,
    kept,
    mirrored,
    moved,
)
from triscale.data.detection.dataset import BoxSample
from triscale.data.items import Item, Opener
from triscale.data.randaugment import STILL, randaugment
from triscale.data.transforms import normalise, resize, with_channels
from triscale.errors import DataError
from triscale.spec.network import Size
from triscale.spec.placement import Placement, place
from triscale.spec.preprocessing import Preprocessing

PADDING = -1.0  # class of a row that stands for nothing


class BoxItems:
    """Images with their boxes, letterboxed into the network's input.

    size: (H, W) in pixels. augmentation: None gives each image as evaluation has it.
    placements: without augmentation, where each image that was made lies in the input, by index.
    Raises: DataError where the preprocessing does not letterbox: boxes could not be mapped back.
    """

    def __init__(
        self,
        samples: Sequence[BoxSample],
        preprocessing: Preprocessing,
        augmentation: BoxAugmentation | None,
        seed: int,
        size: Size,
    ) -> None:
        if preprocessing.fit != "letterbox":
            raise DataError(f'images with boxes are letterboxed, the preprocessing says "{preprocessing.fit}".')
        self.samples, self.preprocessing, self.augmentation = samples, preprocessing, augmentation
        self.seed, self.size = seed, size
        self.placements: dict[int, Placement] = {}
        mean = np.array(preprocessing.mean)
        fill = mean if preprocessing.fill is None else preprocessing.fill
        self._blank = ((fill - mean) / np.array(preprocessing.std)).astype(np.float32)

    def make(self, index: int, epoch: int, opened: Opener) -> Item:
        """See `Items.make`; the target is rows (M, 5) of (x1, y1, x2, y2, class), in pixels of the input."""
        values = np.empty((*self.size, self.preprocessing.channels), np.float32)
        values[:] = self._blank
        augmentation = self.augmentation
        if augmentation is None:
            image = opened(index, self.size)
            decoded = (image.height, image.width)
            placement = place(self.preprocessing, decoded, self.size)
            self.placements[index] = placement.of_original(decoded, self.samples[index].size)
            rows = self._put(values, index, image, Placed(placement.used, 0, 0), None)
            return Item(values, rows[:MOST_BOXES])
        dice = dice_for(self.seed, epoch, index)
        window = (0, 0, *self.size)
        if dice.random() < augmentation.mosaic:
            rows = self._mosaic(values, index, opened, augmentation, dice)
        else:
            rows, window = self._drawn(values, index, opened, augmentation, dice)
        across, down = (dice.random() < share for share in (augmentation.flip, augmentation.flip_vertical))
        # Where it lies: the filling stays on the side on which evaluation has it.
        shown = values[window[0] : window[2], window[1] : window[3]]
        if across or down:
            shown[:] = shown[:: -1 if down else 1, :: -1 if across else 1].copy()
        return Item(values, mirrored(rows, window, across, down)[:MOST_BOXES])

    def targets(self, indices: np.ndarray, made: Sequence[Any]) -> torch.Tensor:
        """(N, M, 5) float32, as many rows as the image with the most needs, at least one; see `PADDING`, `CROWD`."""
        most = max([1, *(len(rows) for rows in made)])
        targets = np.zeros((len(made), most, 5), np.float32)
        targets[..., 4] = PADDING
        for target, rows in zip(targets, made, strict=True):
            target[: len(rows)] = rows
        return torch.from_numpy(targets)

    def _drawn(
        self, values: np.ndarray, index: int, opened: Opener, augmentation: BoxAugmentation, dice: random.Random
    ) -> tuple[np.ndarray, Window]:
        """Put an image at a random size and place. Returns: its rows, and where it shows."""
        into = values.shape[0], values.shape[1]
        image = opened(index, self._needed(augmentation))
        placed = draw_place((image.height, image.width), into, augmentation, dice)
        return self._put(values, index, image, placed, dice), placed.window(into)

    def _mosaic(
        self, values: np.ndarray, index: int, opened: Opener, augmentation: BoxAugmentation, dice: random.Random
    ) -> np.ndarray:
        """Put this image and three others into the four parts about a random point of the middle half."""
        height, width = self.size
        row, column = (max(1, int(side * dice.uniform(0.25, 0.75))) for side in self.size)
        others = [index, *(int(dice.random() * len(self.samples)) for _ in range(3))]
        dice.shuffle(others)
        found = []
        for number, other in enumerate(others):
            top, left = (row if number >= 2 else 0), (column if number % 2 else 0)
            part = values[top : height if number >= 2 else row, left : width if number % 2 else column]
            rows, _ = self._drawn(part, other, opened, augmentation, dice)
            found.append(rows + np.array([left, top, left, top, 0], np.float32))
        return np.concatenate(found)

    def _needed(self, augmentation: BoxAugmentation) -> Size:
        """(H, W) at which the whole image is decoded: whatever is drawn, so that one that is kept is the same."""
        largest = max(1.0, augmentation.scale[1])
        return round(self.size[0] * largest), round(self.size[1] * largest)

    def _put(
        self, values: np.ndarray, index: int, image: Image.Image, placed: Placed, dice: random.Random | None
    ) -> np.ndarray:
        """Paint an image at its place in `values` (H, W, C). Returns: its rows, of what shows there."""
        into, own = (values.shape[0], values.shape[1]), (image.height, image.width)
        top, left, bottom, right = placed.window(into)
        image = with_channels(image, self.preprocessing.channels)
        shown = resize(image, (bottom - top, right - left), self.preprocessing, placed.source(into, own))
        if dice is not None and self.augmentation is not None and self.augmentation.colour_layers:
            layers, magnitude = self.augmentation.colour_layers, self.augmentation.colour_magnitude
            shown = randaugment(shown, layers, magnitude, dice, STILL)
        values[top:bottom, left:right] = normalise(shown, self.preprocessing)
        sample = self.samples[index]
        rows = np.array([(*box[:4], CROWD if box.crowd else box.label) for box in sample.boxes], np.float32)
        visible, least_side = (
            (0.0, 0.0) if self.augmentation is None else (self.augmentation.visible, self.augmentation.least_side)
        )
        whole = Placement((0.0, 0.0, own[1], own[0]), placed.size).of_original(own, sample.size)
        rows = moved(rows.reshape(-1, 5), whole.scale, placed)
        return kept(rows, (top, left, bottom, right), visible, least_side)
