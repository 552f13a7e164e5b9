"""Augmentation: what training does to an image, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image

from triscale.data.autoaugment import draw_autoaugment
from triscale.data.operations import Change, changed
from triscale.data.randaugment import draw_randaugment
from triscale.data.transforms import Box, resize
from triscale.errors import SpecError
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How images vary in training.

    crop_area: smallest and largest share of the image's area that a random crop keeps; (1, 1) keeps all that fits.
    crop_aspect: smallest and largest width / height of the crop, relative to the network's own.
    flip, flip_vertical: how often an image is mirrored left to right, top to bottom; 0 where that changes its meaning
        (digits, letters, arrows).
    autoaugment: one of the pairs of operations of `draw_autoaugment`.
    randaugment_layers, randaugment_magnitude: see `draw_randaugment`; 0 layers leave it out.
    erase: how often a rectangle is replaced by noise.
    Sources: random crop, Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, section 6; erasing, Zhong et al. 2017,
    https://arxiv.org/abs/1708.04896 (2 to 33 % of the area, aspect 0.3 to 3.3).
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    flip_vertical: float = 0.0
    autoaugment: bool = False
    randaugment_layers: int = 0
    randaugment_magnitude: float = 9.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name in ("crop_area", "crop_aspect"):
            low, high = getattr(self, name)
            object.__setattr__(self, name, (low, high))  # a list from a file becomes a tuple
            if not 0 < low <= high or (name == "crop_area" and high > 1):
                top = ", the area at most 1" if name == "crop_area" else ""
                raise SpecError(f"Augmentation.{name} is (smallest, largest), both above 0{top}; got {(low, high)}.")
        for name in ("flip", "flip_vertical", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise SpecError(f"Augmentation.{name} is how often, 0..1; got {getattr(self, name)}.")
        if self.randaugment_layers < 0 or not 0 <= self.randaugment_magnitude <= 30:
            found = f"{self.randaugment_layers} layers of magnitude {self.randaugment_magnitude}"
            raise SpecError(f"Augmentation wants 0 or more layers of RandAugment, magnitude 0..30; got {found}.")


@dataclass(frozen=True, slots=True)
class Crop:
    """A random crop, drawn before the image is decoded, so that a JPEG is decoded no larger than the crop needs.

    area: share of the image's area. aspect: width / height, relative to the target's. left, top: where, 0..1.
    """

    area: float
    aspect: float
    left: float
    top: float

    def needed_size(self, size: Size) -> Size:
        """(H, W) of the whole image at which the crop has about the pixels of `size`."""
        return math.ceil(size[0] / math.sqrt(self.area)), math.ceil(size[1] / math.sqrt(self.area))

    def box(self, image: Image.Image, size: Size) -> Box:
        """(left, top, right, bottom) in the image; smaller than `area` where its aspect does not fit otherwise."""
        ratio = self.aspect * size[1] / size[0]
        area = self.area * image.width * image.height
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        shrink = min(1.0, image.width / width, image.height / height)
        width, height = min(width * shrink, image.width), min(height * shrink, image.height)
        left, top = self.left * (image.width - width), self.top * (image.height - height)
        return left, top, left + width, top + height


@dataclass(frozen=True, slots=True)
class Erasure:
    """A rectangle of pixels, and the noise that replaces it: a byte for each channel of each pixel, row by row."""

    left: int
    top: int
    width: int
    height: int
    noise: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """All that happens to one image once it is cut out and resized, in this order, drawn beforehand.

    Whoever carries them out, `augment` or `DeviceAugment`, does the same.
    """

    flip: bool
    flip_vertical: bool
    autoaugment: tuple[Change, ...]
    randaugment: tuple[Change, ...]
    erasure: Erasure | None


def dice_for(seed: int, epoch: int, index: int) -> random.Random:
    """The random numbers of one image in one epoch: the same in any process, whatever was drawn before."""
    return random.Random(f"{seed} {epoch} {index}")


def draw_crop(augmentation: Augmentation, dice: random.Random) -> Crop:
    """A crop with area uniform, and aspect uniform in its logarithm, between the limits."""
    low, high = (math.log(each) for each in augmentation.crop_aspect)
    return Crop(
        area=dice.uniform(*augmentation.crop_area),
        aspect=math.exp(dice.uniform(low, high)),
        left=dice.random(),
        top=dice.random(),
    )


def augment(
    image: Image.Image,
    augmentation: Augmentation,
    crop: Crop,
    dice: random.Random,
    size: Size,
    preprocessing: Preprocessing,
) -> Image.Image:
    """Cut out, resize, mirror, AutoAugment, RandAugment, erase.

    image: RGB or grey. crop: from `draw_crop` with the same `dice`. size: (H, W) of the result.
    Returns: an image of `size`, in the same mode.
    """
    image = resize(image, size, preprocessing, crop.box(image, size))
    changes = draw_changes(augmentation, dice, size, len(image.getbands()))
    if changes.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if changes.flip_vertical:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for operations in (changes.autoaugment, changes.randaugment):
        if operations:
            image = changed(image, operations)
    if changes.erasure is not None:
        erased = changes.erasure
        noise = Image.frombytes(image.mode, (erased.width, erased.height), erased.noise)
        image.paste(noise, (erased.left, erased.top))
    return image


def draw_changes(augmentation: Augmentation, dice: random.Random, size: Size, channels: int) -> Changes:
    """What happens to an image of `size` (H, W) after its crop.

    dice: of the image, from which its crop was drawn last.
    """
    return Changes(
        flip=dice.random() < augmentation.flip,
        flip_vertical=dice.random() < augmentation.flip_vertical,
        autoaugment=draw_autoaugment(dice) if augmentation.autoaugment else (),
        randaugment=draw_randaugment(augmentation.randaugment_layers, augmentation.randaugment_magnitude, dice),
        erasure=_draw_erasure(dice, size, channels) if dice.random() < augmentation.erase else None,
    )


def _draw_erasure(dice: random.Random, size: Size, channels: int) -> Erasure:
    area = dice.uniform(0.02, 0.33) * size[1] * size[0]
    aspect = math.exp(dice.uniform(math.log(0.3), math.log(3.3)))
    width = max(1, min(size[1], round(math.sqrt(area * aspect))))
    height = max(1, min(size[0], round(math.sqrt(area / aspect))))
    left = int(dice.random() * (size[1] - width + 1))
    top = int(dice.random() * (size[0] - height + 1))
    return Erasure(left, top, width, height, dice.randbytes(width * height * channels))
