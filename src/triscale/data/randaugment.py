"""RandAugment: a few random operations of one common strength.

Source: Cubuk et al. 2019, "RandAugment", https://arxiv.org/abs/1909.13719: of 14 operations, `layers` in a row, each
drawn uniformly. At magnitude 10 the ranges are those of AutoAugment (https://arxiv.org/abs/1805.09501, table 6: 30
degrees, shear 0.3, 0.45 of the side, factors 0.1 to 1.9, 4 bits). Unlike in the released code every operation grows
with the magnitude (there, posterize and solarize become weaker), shear and rotation turn about the centre, and what
comes in from outside has the colour of the image's own border, so that a digit on black stays one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

# of the image, the signed strength (1.0 at magnitude 10) and the colour of what comes in
Operation = Callable[[Image.Image, float, int | tuple[int, ...]], Image.Image]

_SMOOTH = Image.Resampling.BILINEAR


def randaugment(
    image: Image.Image,
    layers: int,
    magnitude: float,
    dice: random.Random,
    operations: Sequence[Operation] | None = None,
) -> Image.Image:
    """`layers` random operations in a row, each forwards or backwards by `magnitude` (10 is strong, 30 the most).

    operations: to draw from, `OPERATIONS` by default.
    """
    choice = operations or OPERATIONS
    outside = border_colour(image)
    for _ in range(layers):
        operation = choice[int(dice.random() * len(choice))]
        sign = 1 if dice.random() < 0.5 else -1
        image = operation(image, sign * magnitude / 10, outside)
    return image


def border_colour(image: Image.Image) -> int | tuple[int, ...]:
    """The mean colour of the outermost rows and columns, in the form that Pillow fills with."""
    pixels = np.asarray(image)
    bands = pixels.reshape(*pixels.shape[:2], -1)
    edges = np.concatenate([bands[0], bands[-1], bands[:, 0], bands[:, -1]])
    colour = tuple(int(value) for value in np.rint(edges.mean(axis=0)))
    return colour if image.mode == "RGB" else colour[0]


def _identity(image: Image.Image, _strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return image


def _autocontrast(image: Image.Image, _strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageOps.autocontrast(image)


def _equalize(image: Image.Image, _strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageOps.equalize(image)


def rotate(image: Image.Image, strength: float, outside: int | tuple[int, ...]) -> Image.Image:
    """Turned about the centre, by 30 degrees at strength 1."""
    return image.rotate(30 * strength, _SMOOTH, fillcolor=outside)


def _solarize(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageOps.solarize(image, max(0, round(256 * (1 - abs(strength)))))


def _posterize(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageOps.posterize(image, max(1, 8 - round(4 * abs(strength))))


def colour(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    """More or less colourful: times 1.9 at strength 1, times 0.1 at -1."""
    return ImageEnhance.Color(image).enhance(_factor(strength))


def _contrast(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(_factor(strength))


def _brightness(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(_factor(strength))


def _sharpness(image: Image.Image, strength: float, _outside: int | tuple[int, ...]) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(_factor(strength))


def shear_x(image: Image.Image, strength: float, outside: int | tuple[int, ...]) -> Image.Image:
    """Slanted sideways about the centre, by 0.3 at strength 1."""
    slope = 0.3 * strength
    return _affine(image, (1, slope, -slope * image.height / 2, 0, 1, 0), outside)


def shear_y(image: Image.Image, strength: float, outside: int | tuple[int, ...]) -> Image.Image:
    """Slanted up or down about the centre, by 0.3 at strength 1."""
    slope = 0.3 * strength
    return _affine(image, (1, 0, 0, slope, 1, -slope * image.width / 2), outside)


def _translate_x(image: Image.Image, strength: float, outside: int | tuple[int, ...]) -> Image.Image:
    return _affine(image, (1, 0, 0.45 * strength * image.width, 0, 1, 0), outside)


def translate_y(image: Image.Image, strength: float, outside: int | tuple[int, ...]) -> Image.Image:
    """Moved up or down, by 0.45 of the height at strength 1."""
    return _affine(image, (1, 0, 0, 0, 1, 0.45 * strength * image.height), outside)


def _factor(strength: float) -> float:
    return max(0.0, 1 + 0.9 * strength)


def _affine(image: Image.Image, matrix: tuple[float, ...], outside: int | tuple[int, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix, _SMOOTH, fillcolor=outside)


OPERATIONS: tuple[Operation, ...] = (
    _identity,
    _autocontrast,
    _equalize,
    rotate,
    _solarize,
    _posterize,
    colour,
    _contrast,
    _brightness,
    _sharpness,
    shear_x,
    shear_y,
    _translate_x,
    translate_y,
)
# Those that move no pixel, so that boxes stay where they are.
STILL: tuple[Operation, ...] = (
    _identity,
    _autocontrast,
    _equalize,
    _solarize,
    _posterize,
    colour,
    _contrast,
    _brightness,
    _sharpness,
)
