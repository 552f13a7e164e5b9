"""RandAugment: a few random operations of one common strength.

Source: Cubuk et al. 2019, "RandAugment", https://arxiv.org/abs/1909.13719: of 14 operations, `layers` in a row, each
drawn uniformly. At magnitude 10 the ranges are those of AutoAugment (https://arxiv.org/abs/1805.09501, table 6: 30
degrees, shear 0.3, 0.45 of the side, factors 0.1 to 1.9, 4 bits). Unlike in the released code every operation grows
with the magnitude (there, posterize and solarize become weaker); see also `operations`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from PIL import Image

from triscale.data.operations import MOVING, Change, changed

# an operation, and its amount at a signed strength, 1.0 at magnitude 10
Strengthened = tuple[str, Callable[[float], float]]


def randaugment(
    image: Image.Image,
    layers: int,
    magnitude: float,
    dice: random.Random,
    operations: Sequence[Strengthened] | None = None,
) -> Image.Image:
    """An RGB or grey image after what `draw_randaugment` draws."""
    drawn = draw_randaugment(layers, magnitude, dice, operations)
    return changed(image, drawn) if drawn else image


def draw_randaugment(
    layers: int, magnitude: float, dice: random.Random, operations: Sequence[Strengthened] | None = None
) -> tuple[Change, ...]:
    """`layers` random operations in a row, each forwards or backwards by `magnitude` (10 is strong, 30 the most).

    operations: to draw from, `AMOUNTS` by default.
    Returns: what changes the image; fewer than `layers` where the one that does nothing was drawn.
    """
    choice = operations or AMOUNTS
    drawn = []
    for _ in range(layers):
        name, amount = choice[int(dice.random() * len(choice))]
        sign = 1 if dice.random() < 0.5 else -1
        if name != "identity":
            drawn.append(Change(name, amount(sign * magnitude / 10)))
    return tuple(drawn)


def factor(strength: float) -> float:
    """Of colour, contrast, brightness, sharpness: 1.9 at strength 1, 0.1 at -1."""
    return max(0.0, 1 + 0.9 * strength)


def _none(_strength: float) -> float:
    return 0.0


def _threshold(strength: float) -> float:
    return max(0, round(256 * (1 - abs(strength))))


def _bits(strength: float) -> float:
    return max(1, 8 - round(4 * abs(strength)))


def _slope(strength: float) -> float:
    return 0.3 * strength


def _share(strength: float) -> float:
    return 0.45 * strength


AMOUNTS: tuple[Strengthened, ...] = (
    ("identity", _none),
    ("autocontrast", _none),
    ("equalize", _none),
    ("rotate", lambda strength: 30 * strength),
    ("solarize", _threshold),
    ("posterize", _bits),
    ("colour", factor),
    ("contrast", factor),
    ("brightness", factor),
    ("sharpness", factor),
    ("shear_x", _slope),
    ("shear_y", _slope),
    ("translate_x", _share),
    ("translate_y", _share),
)
# Those that move no pixel, so that what is marked on an image stays where it is.
STILL: tuple[Strengthened, ...] = tuple(each for each in AMOUNTS if each[0] not in MOVING)
