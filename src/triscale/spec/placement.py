"""Placement: which part of an image the network sees, and where in its input; read both ways."""

from __future__ import annotations

from dataclasses import dataclass

from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing

Box = tuple[float, float, float, float]
_REDUCTIONS = (1, 2, 4, 8)  # sizes at which a JPEG can be decoded: 1/2, 1/4, 1/8


@dataclass(frozen=True, slots=True)
class Placement:
    """A part of an image, and the part of the network's input that it fills.

    part: (left, top, right, bottom) in pixels of the image.
    used: (H, W) in pixels of the input, from its upper left corner; what lies right of it and below is filling.
    """

    part: Box
    used: Size

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the image for one pixel of the input, across and down; not quite the same after rounding."""
        left, top, right, bottom = self.part
        return (right - left) / self.used[1], (bottom - top) / self.used[0]

    def of_original(self, decoded: Size, original: Size) -> Placement:
        """The same in pixels of the file's image (H, W), where what was placed is `decoded`, a smaller copy of it.

        A JPEG is decoded at a half, a quarter or an eighth, the last pixel then standing for what is left over: 1,001
        pixels become 501 of 2 each. One that is turned by its EXIF too has that pixel at the other end, and is off by
        less than 8 pixels of the file.
        """
        for factor in _REDUCTIONS:
            if all(-(-whole // factor) == small for whole, small in zip(original, decoded, strict=True)):
                return self._times(factor, factor)
        return self._times(original[1] / decoded[1], original[0] / decoded[0])

    def _times(self, across: float, down: float) -> Placement:
        left, top, right, bottom = self.part
        return Placement((left * across, top * down, right * across, bottom * down), self.used)


def place(preprocessing: Preprocessing, image: Size, size: Size | None = None) -> Placement:
    """Where an image of (H, W) pixels comes to lie in an input of `size` (by default the preprocessing's)."""
    size = size or preprocessing.size
    height, width = image
    match preprocessing.fit:
        case "letterbox":
            return Placement((0.0, 0.0, width, height), fitted(image, size))
        case "crop":
            return Placement(centre_part(image, size, preprocessing.crop), size)
        case "squash":
            return Placement((0.0, 0.0, width, height), size)


def fitted(image: Size, size: Size, scale: float = 1.0) -> Size:
    """(H, W) of an image made as large as `size` holds, times `scale`, its aspect kept but for whole pixels.

    Rounded down, to at least one.
    """
    share = min(size[0] / image[0], size[1] / image[1]) * scale
    return max(1, int(image[0] * share)), max(1, int(image[1] * share))


def centre_part(image: Size, size: Size, crop: float) -> Box:
    """The central `crop` share of the largest part of an image (H, W) that has the aspect of `size`."""
    height, width = image
    scale = min(height / size[0], width / size[1]) * crop
    part_height, part_width = size[0] * scale, size[1] * scale
    left, top = (width - part_width) / 2, (height - part_height) / 2
    return left, top, left + part_width, top + part_height
