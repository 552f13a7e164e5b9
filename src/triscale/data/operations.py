"""What RandAugment and AutoAugment do to one image, with Pillow: each operation by its name, with one amount.

`device_operations` has the same ones for whole batches. Shear and rotation turn about the centre, and what comes in
from outside has the colour of the image's own border, so that a digit on black stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from triscale.spec.network import Size

Colour = int | tuple[int, ...]
Matrix = tuple[float, float, float, float, float, float]
# of the image, the amount and the colour of what comes in
Operation = Callable[[Image.Image, float, Colour], Image.Image]


class Change(NamedTuple):
    """One operation on one image.

    name: a key of `OPERATIONS`. amount: in the operation's own unit: degrees for rotate (anticlockwise), a slope for
    shear, a share of the side for translate, a factor for colour, contrast, brightness and sharpness, the value from
    which solarize inverts, the bits that posterize keeps, what solarize_add adds to values below 128; else unused.
    """

    name: str
    amount: float = 0.0


def changed(image: Image.Image, changes: Iterable[Change]) -> Image.Image:
    """An RGB or grey image after some operations in a row; it comes back itself where there are none."""
    outside = border_colour(image)
    for name, amount in changes:
        image = OPERATIONS[name](image, amount, outside)
    return image


def border_colour(image: Image.Image) -> Colour:
    """The mean colour of the outermost rows and columns, in the form that Pillow fills with."""
    pixels = np.asarray(image)
    bands = pixels.reshape(*pixels.shape[:2], -1)
    edges = np.concatenate([bands[0], bands[-1], bands[:, 0], bands[:, -1]])
    colour = tuple(int(value) for value in np.rint(edges.mean(axis=0)))
    return colour if image.mode == "RGB" else colour[0]


def shear_x(slope: float, size: Size) -> Matrix:
    """Slanted sideways about the centre of an image of `size` (H, W): where each pixel of the result comes from.

    Returns: (a, b, c, d, e, f) with source x = a x + b y + c, source y = d x + e y + f; so do the other three.
    """
    return 1, slope, -slope * size[0] / 2, 0, 1, 0


def shear_y(slope: float, size: Size) -> Matrix:
    """Slanted up or down about the centre."""
    return 1, 0, 0, slope, 1, -slope * size[1] / 2


def translate_x(share: float, size: Size) -> Matrix:
    """Moved sideways, by a share of the width."""
    return 1, 0, share * size[1], 0, 1, 0


def translate_y(share: float, size: Size) -> Matrix:
    """Moved up or down, by a share of the height."""
    return 1, 0, 0, 0, 1, share * size[0]


def _affine(matrix: Callable[[float, Size], Matrix]) -> Operation:
    def operation(image: Image.Image, amount: float, outside: Colour) -> Image.Image:
        coefficients = matrix(amount, (image.height, image.width))
        return image.transform(image.size, Image.Transform.AFFINE, coefficients, _SMOOTH, fillcolor=outside)

    return operation


def _solarize_add(image: Image.Image, added: float, _outside: Colour) -> Image.Image:
    table = [min(255, value + int(added)) if value < 128 else value for value in range(256)]
    return image.point(table * len(image.mode))


_SMOOTH = Image.Resampling.BILINEAR

OPERATIONS: dict[str, Operation] = {
    "autocontrast": lambda image, _amount, _outside: ImageOps.autocontrast(image),
    "equalize": lambda image, _amount, _outside: ImageOps.equalize(image),
    "invert": lambda image, _amount, _outside: ImageOps.invert(image),
    "rotate": lambda image, degrees, outside: image.rotate(degrees, _SMOOTH, fillcolor=outside),
    "solarize": lambda image, threshold, _outside: ImageOps.solarize(image, int(threshold)),
    "solarize_add": _solarize_add,
    "posterize": lambda image, bits, _outside: ImageOps.posterize(image, int(bits)),
    "colour": lambda image, factor, _outside: ImageEnhance.Color(image).enhance(factor),
    "contrast": lambda image, factor, _outside: ImageEnhance.Contrast(image).enhance(factor),
    "brightness": lambda image, factor, _outside: ImageEnhance.Brightness(image).enhance(factor),
    "sharpness": lambda image, factor, _outside: ImageEnhance.Sharpness(image).enhance(factor),
    "shear_x": _affine(shear_x),
    "shear_y": _affine(shear_y),
    "translate_x": _affine(translate_x),
    "translate_y": _affine(translate_y),
}
MOVING = frozenset({"rotate", "shear_x", "shear_y", "translate_x", "translate_y"})  # the others leave pixels in place
