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

from triscale.data.operations import Change
from triscale.data.randaugment import factor


def draw_autoaugment(dice: random.Random) -> tuple[Change, ...]:
    """One of the pairs, drawn uniformly; each of its operations happens with its probability."""
    drawn = []
    for name, probability, level in POLICY[int(dice.random() * len(POLICY))]:
        happens, sign = dice.random() < probability, 1 if dice.random() < 0.5 else -1
        if happens:
            drawn.append(Change(name, AMOUNTS[name](level, sign)))
    return tuple(drawn)


def _none(_level: float, _sign: int) -> float:
    return 0.0


def _slope(level: float, sign: int) -> float:
    return 0.3 * (sign * level / 10)


# the amount of each operation at a level, 0 to 10, and with a sign where it has two directions
AMOUNTS: dict[str, Callable[[float, int], float]] = {
    "equalize": _none,
    "autocontrast": _none,
    "invert": _none,
    "rotate": lambda level, sign: 30 * (sign * level / 10),
    "shear_x": _slope,
    "shear_y": _slope,
    "translate_y": lambda level, sign: 0.45 * (sign * level / 10),
    "colour": lambda level, _sign: factor(level / 5 - 1),  # 0.1 to 1.9
    "posterize": lambda level, _sign: max(
        1, int(level / 10 * 4)
    ),  # one bit is the least that TensorFlow's shift leaves
    "solarize": lambda level, _sign: int(level / 10 * 256),
    "solarize_add": lambda level, _sign: int(level / 10 * 110),
}

# (operation, probability, level), twice: rows in the order of the source
POLICY: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (
    (("equalize", 0.8, 1), ("shear_y", 0.8, 4)),
    (("colour", 0.4, 9), ("equalize", 0.6, 3)),
    (("colour", 0.4, 1), ("rotate", 0.6, 8)),
    (("solarize", 0.8, 3), ("equalize", 0.4, 7)),
    (("solarize", 0.4, 2), ("solarize", 0.6, 2)),
    (("colour", 0.2, 0), ("equalize", 0.8, 8)),
    (("equalize", 0.4, 8), ("solarize_add", 0.8, 3)),
    (("shear_x", 0.2, 9), ("rotate", 0.6, 8)),
    (("colour", 0.6, 1), ("equalize", 1.0, 2)),
    (("invert", 0.4, 9), ("rotate", 0.6, 0)),
    (("equalize", 1.0, 9), ("shear_y", 0.6, 3)),
    (("colour", 0.4, 7), ("equalize", 0.6, 0)),
    (("posterize", 0.4, 6), ("autocontrast", 0.4, 7)),
    (("solarize", 0.6, 8), ("colour", 0.6, 9)),
    (("solarize", 0.2, 4), ("rotate", 0.8, 9)),
    (("rotate", 1.0, 7), ("translate_y", 0.8, 9)),
    (("shear_x", 0.0, 0), ("solarize", 0.8, 4)),
    (("shear_y", 0.8, 0), ("colour", 0.6, 4)),
    (("colour", 1.0, 0), ("rotate", 0.6, 2)),
    (("equalize", 0.8, 4), ("equalize", 0.0, 8)),
    (("equalize", 1.0, 4), ("autocontrast", 0.6, 2)),
    (("shear_y", 0.4, 7), ("solarize_add", 0.6, 7)),
    (("posterize", 0.8, 2), ("solarize", 0.6, 10)),
    (("solarize", 0.6, 8), ("equalize", 0.6, 1)),
    (("colour", 0.8, 6), ("rotate", 0.4, 5)),
)
