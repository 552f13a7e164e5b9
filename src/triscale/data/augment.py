"""Augmentation: what training does to an image, as a pure function of (seed, epoch, index)."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from PIL import Image

from triscale.data.autoaugment import autoaugment
from triscale.data.randaugment import randaugment
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
    autoaugment: one of the pairs of operations of `autoaugment`.
    randaugment_layers, randaugment_magnitude: see `randaugment`; 0 layers leave it out.
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
    if dice.random() < augmentation.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if dice.random() < augmentation.flip_vertical:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if augmentation.autoaugment:
        image = autoaugment(image, dice)
    image = randaugment(image, augmentation.randaugment_layers, augmentation.randaugment_magnitude, dice)
    if dice.random() < augmentation.erase:
        _erase(image, dice)
    return image


def _erase(image: Image.Image, dice: random.Random) -> None:
    area = dice.uniform(0.02, 0.33) * image.width * image.height
    aspect = math.exp(dice.uniform(math.log(0.3), math.log(3.3)))
    width = max(1, min(image.width, round(math.sqrt(area * aspect))))
    height = max(1, min(image.height, round(math.sqrt(area / aspect))))
    left = int(dice.random() * (image.width - width + 1))
    top = int(dice.random() * (image.height - height + 1))
    noise = dice.randbytes(width * height * len(image.getbands()))
    image.paste(Image.frombytes(image.mode, (width, height), noise), (left, top))
