"""AutoAugment: one of 25 pairs of operations, each with its own probability and strength.

Source: the table "v0" of tensorflow/tpu, models/official/efficientnet/autoaugment.py, with which EfficientNet was
trained; method: Cubuk et al. 2018, https://arxiv.org/abs/1805.09501. It is not the ImageNet table of that paper.
As there, levels go from 0 to 10; rotation and shear go either way; solarize and posterize are the stronger the lower
their level is. As in our RandAugment, and unlike there, shear and rotation turn about the centre, what comes in has
the colour of the image's border, and translation is a share of the side (0.45 at level 10, the paper's 150 of 331
pixels): the 250 pixels of the released code would move an image of 224 out of sight.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image, ImageOps

from triscale.data import randaugment as shared

Colour = int | tuple[int, ...]
# of the image, the level (0 to 10), a sign and the colour of what comes in
LevelledOperation = Callable[[Image.Image, float, int, Colour], Image.Image]


def autoaugment(image: Image.Image, dice: random.Random) -> Image.Image:
    """One of the pairs, drawn uniformly, on an RGB or grey image; each operation happens with its probability."""
    outside = shared.border_colour(image)
    for operation, probability, level in POLICY[int(dice.random() * len(POLICY))]:
        happens, sign = dice.random() < probability, 1 if dice.random() < 0.5 else -1
        if happens:
            image = operation(image, level, sign, outside)
    return image


def _equalize(image: Image.Image, _level: float, _sign: int, _outside: Colour) -> Image.Image:
    return ImageOps.equalize(image)


def _autocontrast(image: Image.Image, _level: float, _sign: int, _outside: Colour) -> Image.Image:
    return ImageOps.autocontrast(image)


def _invert(image: Image.Image, _level: float, _sign: int, _outside: Colour) -> Image.Image:
    return ImageOps.invert(image)


def _rotate(image: Image.Image, level: float, sign: int, outside: Colour) -> Image.Image:
    return shared.rotate(image, sign * level / 10, outside)


def _shear_x(image: Image.Image, level: float, sign: int, outside: Colour) -> Image.Image:
    return shared.shear_x(image, sign * level / 10, outside)


def _shear_y(image: Image.Image, level: float, sign: int, outside: Colour) -> Image.Image:
    return shared.shear_y(image, sign * level / 10, outside)


def _translate_y(image: Image.Image, level: float, sign: int, outside: Colour) -> Image.Image:
    return shared.translate_y(image, sign * level / 10, outside)


def _colour(image: Image.Image, level: float, _sign: int, outside: Colour) -> Image.Image:
    return shared.colour(image, level / 5 - 1, outside)  # factors 0.1 to 1.9


def _posterize(image: Image.Image, level: float, _sign: int, _outside: Colour) -> Image.Image:
    return ImageOps.posterize(image, max(1, int(level / 10 * 4)))  # one bit is the least that TensorFlow's shift leaves


def _solarize(image: Image.Image, level: float, _sign: int, _outside: Colour) -> Image.Image:
    return ImageOps.solarize(image, int(level / 10 * 256))


def _solarize_add(image: Image.Image, level: float, _sign: int, _outside: Colour) -> Image.Image:
    added = int(level / 10 * 110)
    return image.point([min(255, value + added) if value < 128 else value for value in range(256)] * len(image.mode))


# (operation, probability, level), twice: rows in the order of the source
POLICY: tuple[tuple[tuple[LevelledOperation, float, int], tuple[LevelledOperation, float, int]], ...] = (
    ((_equalize, 0.8, 1), (_shear_y, 0.8, 4)),
    ((_colour, 0.4, 9), (_equalize, 0.6, 3)),
    ((_colour, 0.4, 1), (_rotate, 0.6, 8)),
    ((_solarize, 0.8, 3), (_equalize, 0.4, 7)),
    ((_solarize, 0.4, 2), (_solarize, 0.6, 2)),
    ((_colour, 0.2, 0), (_equalize, 0.8, 8)),
    ((_equalize, 0.4, 8), (_solarize_add, 0.8, 3)),
    ((_shear_x, 0.2, 9), (_rotate, 0.6, 8)),
    ((_colour, 0.6, 1), (_equalize, 1.0, 2)),
    ((_invert, 0.4, 9), (_rotate, 0.6, 0)),
    ((_equalize, 1.0, 9), (_shear_y, 0.6, 3)),
    ((_colour, 0.4, 7), (_equalize, 0.6, 0)),
    ((_posterize, 0.4, 6), (_autocontrast, 0.4, 7)),
    ((_solarize, 0.6, 8), (_colour, 0.6, 9)),
    ((_solarize, 0.2, 4), (_rotate, 0.8, 9)),
    ((_rotate, 1.0, 7), (_translate_y, 0.8, 9)),
    ((_shear_x, 0.0, 0), (_solarize, 0.8, 4)),
    ((_shear_y, 0.8, 0), (_colour, 0.6, 4)),
    ((_colour, 1.0, 0), (_rotate, 0.6, 2)),
    ((_equalize, 0.8, 4), (_equalize, 0.0, 8)),
    ((_equalize, 1.0, 4), (_autocontrast, 0.6, 2)),
    ((_shear_y, 0.4, 7), (_solarize_add, 0.6, 7)),
    ((_posterize, 0.8, 2), (_solarize, 0.6, 10)),
    ((_solarize, 0.6, 8), (_equalize, 0.6, 1)),
    ((_colour, 0.8, 6), (_rotate, 0.4, 5)),
)
