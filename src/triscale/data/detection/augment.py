"""Augmentation of images with boxes: what happens to the pixels happens to the boxes."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from triscale.errors import SpecError
from triscale.spec.network import Size
from triscale.spec.placement import Box, fitted

CROWD = -2.0  # class of a region in which nothing is taught
MOST_BOXES = 100  # of one image; more are cut off, as in the released training
Window = tuple[int, int, int, int]  # (top, left, bottom, right) of a part of the network's input, in pixels


@dataclass(frozen=True, slots=True)
class BoxAugmentation:
    """How images with boxes vary in training.

    scale: smallest and largest size of the image, uniform, where 1 just fits into the network's input. What is too
        large is cut at a random place, what is too small is filled up.
    shift: put a smaller image anywhere; without it, into the top left corner, where evaluation has it.
    flip, flip_vertical: how often an image is mirrored left to right, top to bottom; 0 where that changes its meaning
        (digits, letters, arrows).
    mosaic: how often an image becomes one of four that share the input; 0 for never.
    colour_layers, colour_magnitude: operations of `randaugment` that move no pixel; 0 layers leave them out.
    visible: share of a box that must be left inside the input, and least_side: how many pixels each of its sides must
        have there. Of an object that shows less nothing is taught: neither that it is there nor that it is not.
    Sources: scale and flip, google/automl dataloader.py and hparams_config.py (0.1 to 2.0, every second image; all
    boxes with an area are kept); mosaic, YOLOv4, https://arxiv.org/abs/2004.10934, section 3.3.
    """

    scale: tuple[float, float] = (0.1, 2.0)
    shift: bool = False
    flip: float = 0.5
    flip_vertical: float = 0.0
    mosaic: float = 0.0
    colour_layers: int = 0
    colour_magnitude: float = 5.0
    visible: float = 0.25
    least_side: float = 2.0

    def __post_init__(self) -> None:
        low, high = self.scale
        object.__setattr__(self, "scale", (low, high))  # a list from a file becomes a tuple
        if not 0.01 <= low <= high <= 10:
            raise SpecError(f"BoxAugmentation.scale is (smallest, largest), both in 0.01..10; got {(low, high)}.")
        for name in ("flip", "flip_vertical", "mosaic"):
            if not 0 <= getattr(self, name) <= 1:
                raise SpecError(f"BoxAugmentation.{name} is how often, 0..1; got {getattr(self, name)}.")
        if self.colour_layers < 0 or not 0 <= self.colour_magnitude <= 30:
            found = f"{self.colour_layers} layers of magnitude {self.colour_magnitude}"
            raise SpecError(f"BoxAugmentation wants 0 or more colour layers, magnitude 0..30; got {found}.")
        if not 0 <= self.visible <= 1 or not 0 <= self.least_side <= 1e3:
            raise SpecError(
                f"BoxAugmentation.visible is a share, 0..1, and least_side pixels, 0..1000; "
                f"got {self.visible} and {self.least_side}."
            )


class Placed(NamedTuple):
    """Where an image lies in the network's input, in pixels; it may reach beyond it.

    size: (H, W) of the whole image as resized. top, left: of its corner.
    """

    size: Size
    top: int
    left: int

    def window(self, into: Size) -> Window:
        """What shows in an input of (H, W)."""
        (height, width), (rows, columns) = self.size, into
        return (
            max(0, self.top),
            max(0, self.left),
            min(rows, self.top + height),
            min(columns, self.left + width),
        )

    def source(self, into: Size, image: Size) -> Box:
        """(left, top, right, bottom) of what shows, in pixels of the image of (H, W) before it was resized."""
        top, left, bottom, right = self.window(into)
        down, across = image[0] / self.size[0], image[1] / self.size[1]
        corner = (max(0.0, (left - self.left) * across), max(0.0, (top - self.top) * down))
        return (
            *corner,
            min(float(image[1]), (right - self.left) * across),
            min(float(image[0]), (bottom - self.top) * down),
        )


def draw_place(image: Size, into: Size, augmentation: BoxAugmentation, dice: random.Random) -> Placed:
    """A random size and place of an image of (H, W) in an input of (H, W)."""
    size = fitted(image, into, dice.uniform(*augmentation.scale))
    corner = []
    for own, room in zip(size, into, strict=True):
        drawn = dice.random()
        free = room - own
        corner.append(math.floor(drawn * (abs(free) + 1)) * (1 if free > 0 else -1))
        if free > 0 and not augmentation.shift:
            corner[-1] = 0
    return Placed(size, *corner)


def moved(rows: np.ndarray, scale: tuple[float, float], place: Placed) -> np.ndarray:
    """Rows (N, 5) of (x1, y1, x2, y2, class) from pixels of an image to those of the input.

    scale: pixels of the image for one of the input, across and down.
    """
    made = rows / np.array([*scale, *scale, 1], np.float32)
    made[:, :4] += np.array([place.left, place.top, place.left, place.top], np.float32)
    return made


def mirrored(rows: np.ndarray, window: Window, across: bool, down: bool) -> np.ndarray:
    """Rows of a part of the input that was mirrored left to right, top to bottom, or both."""
    top, left, bottom, right = window
    made = rows.copy()
    if across:
        made[:, [0, 2]] = left + right - rows[:, [2, 0]]
    if down:
        made[:, [1, 3]] = top + bottom - rows[:, [3, 1]]
    return made


def kept(rows: np.ndarray, window: Window, visible: float, least_side: float) -> np.ndarray:
    """Rows cut to what shows.

    Of what shows less than `visible`, or is smaller than `least_side`, the class becomes `CROWD`; what does not show at
    all is left out.
    """
    top, left, bottom, right = window
    made = rows.copy()
    made[:, [0, 2]] = rows[:, [0, 2]].clip(left, right)
    made[:, [1, 3]] = rows[:, [1, 3]].clip(top, bottom)
    sides, before = made[:, 2:4] - made[:, :2], rows[:, 2:4] - rows[:, :2]
    shown = sides.prod(1) / np.maximum(before.prod(1), 1e-12)
    made[(shown < visible) | (sides.min(1) < least_side), 4] = CROWD
    return made[sides.min(1) > 0]
