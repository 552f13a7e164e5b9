"""Collages: what is in each box of a few images, cut out, moved and mirrored, among pieces that are in no box.

Where an object lies in its image, and what is around it, says nothing here: a detector that finds the objects again has
learnt what is in their boxes. Beside every object lie pieces cut out next to it, with edges like its own; a box that
lies anywhere in its image cannot be told from those.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageEnhance

from triscale.data.augment import dice_for
from triscale.data.detection.dataset import BoxSample
from triscale.data.detection.items import PADDING
from triscale.data.images import open_image
from triscale.data.transforms import normalise, resize, with_channels
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing

SIZES = (0.8, 1.25)  # of a piece, against its size in the network's input
CANVAS = 192  # pixels at most on a side: pieces are as large as in the network's input, and less of it is empty
LARGEST = 0.45  # of the shorter side: several pieces must find room
PIECES = 12  # of one collage, at most; every third of them is an object
BESIDE = 2  # pieces of no box, for each object
AWAY = (0.75, 1.2)  # how far they are cut out from it, in its own sides
SHARED = 0.2  # what they may share with any box, as a part of the smaller one
MARGIN = 0.12  # of a side, that is cut out around a box
LIGHT = (0.75, 1.3)  # brightness and contrast
TRIES = 12
_SMOOTH = 5  # pixels to which a background is made smaller: colours stay, things do not

Rows = tuple[float, float, float, float]


class Cut(NamedTuple):
    """A piece to cut out: of which image, where in its pixels, and the class of what is in it; None: of nothing."""

    image: int
    box: Rows
    label: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Collages:
    """Collages of the objects of some images, as a pure function of (seed, number).

    images: decoded, and boxes: in their pixels, without crowds. flip, flip_vertical: how often a piece is mirrored.
    """

    images: tuple[Image.Image, ...]
    boxes: tuple[tuple[Cut, ...], ...]
    preprocessing: Preprocessing
    flip: float = 0.0
    flip_vertical: float = 0.0
    seed: int = 0

    @property
    def size(self) -> Size:
        """(H, W) of a collage."""
        height, width = self.preprocessing.size
        return min(height, CANVAS), min(width, CANVAS)

    def batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As many collages as there are images, (N, C, H, W); and their targets, (N, M, 5), as batches have them."""
        objects = [cut for own in self.boxes for cut in own]
        random.Random(f"{self.seed} {number}").shuffle(objects)
        count = len(self.images)
        made = [self._one(objects, number, place) for place in range(count)]
        most = max(1, *(len(rows) for _, rows in made))
        targets = np.zeros((count, most, 5), np.float32)
        targets[..., 4] = PADDING
        for target, (_, rows) in zip(targets, made, strict=True):
            target[: len(rows)] = rows
        values = np.stack([normalise(picture, self.preprocessing) for picture, _ in made])
        return torch.from_numpy(values).permute(0, 3, 1, 2), torch.from_numpy(targets)

    def _one(self, objects: Sequence[Cut], number: int, place: int) -> tuple[Image.Image, np.ndarray]:
        """The place-th collage of a batch. Returns: it, and rows (M, 5) of its objects."""
        dice = dice_for(self.seed, number, place)
        size = self.size
        picture = self._background(dice)
        taken: list[tuple[int, int, int, int]] = []
        rows: list[Sequence[float]] = []
        own = [objects[(place + step * len(self.images)) % len(objects)] for step in range(PIECES // (1 + BESIDE))]
        for cut in dict.fromkeys(own):
            pieces = [cut, *(each for each in (self._beside(cut, dice) for _ in range(BESIDE)) if each is not None)]
            for piece in pieces:
                shown, inside = self._cut_out(piece, dice)
                corner = _free(shown.size, size, taken, dice)
                if corner is None:
                    continue
                left, top = corner
                picture.paste(shown, corner)
                taken.append((left, top, left + shown.width, top + shown.height))
                if piece.label is not None:
                    x1, y1, x2, y2 = inside
                    rows.append((left + x1, top + y1, left + x2, top + y2, piece.label))
        return picture, np.array(rows, np.float32).reshape(-1, 5)

    def _background(self, dice: random.Random) -> Image.Image:
        image = self.images[int(dice.random() * len(self.images))]
        small = image.resize((_SMOOTH, _SMOOTH), Image.Resampling.BOX)
        return resize(small, self.size, self.preprocessing)

    def _beside(self, cut: Cut, dice: random.Random) -> Cut | None:
        """A piece next to an object that holds little of any; None where there is none."""
        image, (x1, y1, x2, y2) = self.images[cut.image], cut.box
        for _ in range(TRIES):
            away = [dice.uniform(*AWAY) * (1 if dice.random() < 0.5 else -1) for _ in range(2)]
            along = dice.random()  # in one direction as far as that, in the other anything up to it
            away[dice.random() < 0.5] *= along
            across, down = away[0] * (x2 - x1), away[1] * (y2 - y1)
            box = (x1 + across, y1 + down, x2 + across, y2 + down)
            if box[0] < 0 or box[1] < 0 or box[2] > image.width or box[3] > image.height:
                continue
            if all(_shared(box, other.box) <= SHARED for other in self.boxes[cut.image] if other != cut):
                return Cut(cut.image, box, None)
        return None

    def _cut_out(self, cut: Cut, dice: random.Random) -> tuple[Image.Image, Rows]:
        """A piece at a random size. Returns: it, and the box inside of it."""
        image, (x1, y1, x2, y2), size = self.images[cut.image], cut.box, self.preprocessing.size
        margins = [dice.random() * MARGIN for _ in range(4)]
        left, top = max(0.0, x1 - margins[0] * (x2 - x1)), max(0.0, y1 - margins[1] * (y2 - y1))
        right = min(float(image.width), x2 + margins[2] * (x2 - x1))
        bottom = min(float(image.height), y2 + margins[3] * (y2 - y1))
        scale = min(size[0] / image.height, size[1] / image.width) * dice.uniform(*SIZES)
        scale = min(scale, LARGEST * min(self.size) / max(right - left, bottom - top))
        height, width = max(2, round((bottom - top) * scale)), max(2, round((right - left) * scale))
        shown = resize(image, (height, width), self.preprocessing, (left, top, right, bottom))
        across, down = width / (right - left), height / (bottom - top)
        inside = ((x1 - left) * across, (y1 - top) * down, (x2 - left) * across, (y2 - top) * down)
        if dice.random() < self.flip:
            shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            inside = (width - inside[2], inside[1], width - inside[0], inside[3])
        if dice.random() < self.flip_vertical:
            shown = shown.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
            inside = (inside[0], height - inside[3], inside[2], height - inside[1])
        shown = ImageEnhance.Brightness(shown).enhance(dice.uniform(*LIGHT))
        return ImageEnhance.Contrast(shown).enhance(dice.uniform(*LIGHT)), inside


def collages(
    samples: Sequence[BoxSample], preprocessing: Preprocessing, flip: float, flip_vertical: float, seed: int
) -> Collages:
    """Read the images and cut nothing yet. Raises: ImageError for a file that cannot be read."""
    images, boxes = [], []
    for number, sample in enumerate(samples):
        image = with_channels(open_image(sample.path, preprocessing.size), preprocessing.channels)
        across, down = image.width / sample.size[1], image.height / sample.size[0]
        own = [box for box in sample.boxes if not box.crowd]
        boxes.append(tuple(Cut(number, (b.x1 * across, b.y1 * down, b.x2 * across, b.y2 * down), b.label) for b in own))
        images.append(image)
    return Collages(tuple(images), tuple(boxes), preprocessing, flip, flip_vertical, seed)


def _shared(one: Rows, other: Rows) -> float:
    """What two boxes share, as a part of the smaller one."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0.0, across) * max(0.0, down) / max(smaller, 1e-9)


def _free(
    piece: tuple[int, int], into: Size, taken: Sequence[tuple[int, int, int, int]], dice: random.Random
) -> tuple[int, int] | None:
    """(left, top) of a place for a piece of (width, height) that overlaps no other; None where none was found."""
    for _ in range(TRIES):
        left = int(dice.random() * (into[1] - piece[0] + 1))
        top = int(dice.random() * (into[0] - piece[1] + 1))
        box = (left, top, left + piece[0], top + piece[1])
        if not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
        ):
            return left, top
    return None
