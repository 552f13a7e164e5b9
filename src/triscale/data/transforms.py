"""From RGB pixels to the network's input, exactly as its `Preprocessing` says: the same for eval, predict and export.

Cutting and resizing are one operation, from the pixels of the source: "resize to 256, then cut out the central 224" is
written as crop=224/256 and gives the same region, without the detour through whole-pixel sizes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from triscale.data.images import open_image
from triscale.data.member import ImagePlace
from triscale.errors import SpecError
from triscale.spec.network import Size
from triscale.spec.placement import Box, place
from triscale.spec.preprocessing import Preprocessing

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def _same(image: Image.Image) -> Image.Image:
    return image


def preprocess(image: Image.Image, preprocessing: Preprocessing, size: Size | None = None) -> torch.Tensor:
    """The network's input for one image.

    image: as `open_image` gives it. size: (H, W) instead of `preprocessing.size`.
    Returns: (C, H, W) float32, normalised; C is `preprocessing.channels`.
    Raises: SpecError where the network wants other than 1 (grey) or 3 channels.
    """
    values = to_values(image, preprocessing, size or preprocessing.size)
    return torch.from_numpy(values).permute(2, 0, 1).contiguous()


def load(path: str | ImagePlace, preprocessing: Preprocessing, size: Size | None = None) -> torch.Tensor:
    """`preprocess` of an image, decoded no larger than needed; raises like `open_image`."""
    size = size or preprocessing.size
    return preprocess(open_image(path, needed_size(preprocessing, size)), preprocessing, size)


def needed_size(preprocessing: Preprocessing, size: Size) -> Size:
    """(H, W) that the whole image must have at least, so that making `size` of it enlarges nothing."""
    share = preprocessing.crop if preprocessing.fit == "crop" else 1.0
    return math.ceil(size[0] / share), math.ceil(size[1] / share)


def to_values(
    image: Image.Image, preprocessing: Preprocessing, size: Size, change: Callable[[Image.Image], Image.Image] = _same
) -> np.ndarray:
    """`preprocess` as a numpy array, (H, W, C) float32.

    change: of the picture as the network sees it, cut and resized, to one of the same size, before its numbers become
        the network's.
    """
    image = with_channels(image, preprocessing.channels)
    placement = place(preprocessing, (image.height, image.width), size)
    if preprocessing.fit == "letterbox":
        return _letterboxed(image, preprocessing, size, placement.used, change)
    box = placement.part if preprocessing.fit == "crop" else None
    return normalise(change(resize(image, size, preprocessing, box)), preprocessing)


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """The image as grey (1 channel) or RGB (3)."""
    if channels not in (1, 3):
        raise SpecError(
            f"an image file has 1 (grey) or 3 (RGB) channels, the network wants {channels}; feed it tensors."
        )
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def resize(image: Image.Image, size: Size, preprocessing: Preprocessing, box: Box | None = None) -> Image.Image:
    """The part `box` of the image at (H, W), by the interpolation of `preprocessing`."""
    return image.resize((size[1], size[0]), RESAMPLING[preprocessing.interpolation], box)


def normalise(image: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """Bytes to (x / 255 - mean) / std. Returns: (H, W, C) float32."""
    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    scale, shift = scale_and_shift(preprocessing.mean, preprocessing.std, width)
    values = np.multiply(pixels.reshape(height, -1), scale)
    values -= shift
    return values.reshape(height, width, -1)


@functools.lru_cache(maxsize=32)
def scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], width: int) -> tuple[np.ndarray, np.ndarray]:
    """What bytes are multiplied by, and what is then taken away, for a line of `width` pixels: (width * C,) float32.

    A whole line at once is several times faster than broadcasting over 3 channels.
    """
    scale = np.tile(1 / (255 * np.array(std)), width).astype(np.float32)
    shift = np.tile(np.array(mean) / np.array(std), width).astype(np.float32)
    return scale, shift


def _letterboxed(
    image: Image.Image,
    preprocessing: Preprocessing,
    size: Size,
    used: Size,
    change: Callable[[Image.Image], Image.Image],
) -> np.ndarray:
    height, width = used
    mean = np.array(preprocessing.mean)
    fill = mean if preprocessing.fill is None else preprocessing.fill
    values = np.empty((*size, preprocessing.channels), np.float32)
    values[:] = (fill - mean) / np.array(preprocessing.std)
    values[:height, :width] = normalise(change(resize(image, used, preprocessing)), preprocessing)
    return values
