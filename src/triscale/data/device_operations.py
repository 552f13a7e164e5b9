"""What RandAugment and AutoAugment do, for many images at once, on whatever device they are.

The same operations with the same amounts as in `operations`, down to how Pillow rounds: bytes in, bytes out. What moves
pixels reads between them bilinearly, there and here. Sums are made in another order only on a GPU, where a pixel may
then differ by one level of 256.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from triscale.data.operations import Matrix, shear_x, shear_y, translate_x, translate_y
from triscale.spec.network import Size

# of images (N, C, H, W) uint8, contiguous, parameters (N, k) float64 and the colours of what comes in (N, C) uint8:
# images of the same shape
BatchOperation = Callable[[Tensor, Tensor, Tensor], Tensor]

_AT_ONCE = 32  # images that are moved at the same time; it takes some 120 bytes for each of their pixels


class Way(NamedTuple):
    """How an operation is done.

    function: operations that share it are done together. parameters: of the amount and the images' (H, W), its numbers.
    """

    function: BatchOperation
    parameters: Callable[[float, Size], tuple[float, ...]]


def border_colours(images: Tensor) -> Tensor:
    """The mean colour of the outermost rows and columns. images: (N, C, H, W) uint8. Returns: (N, C) uint8."""
    height, width = images.shape[-2:]
    edges = (images[:, :, 0], images[:, :, -1], images[:, :, :, 0], images[:, :, :, -1])
    total = sum((each.sum(-1) for each in edges), torch.zeros((), dtype=torch.int64, device=images.device))
    return (total.double() / (2 * (height + width))).round().to(torch.uint8)


def rotation(degrees: float, size: Size) -> Matrix:
    """Turned anticlockwise about the centre of an image of `size` (H, W), as Pillow does; see `shear_x`."""
    angle = -math.radians(degrees % 360)
    cosine, sine = round(math.cos(angle), 15), round(math.sin(angle), 15)
    x, y = size[1] / 2, size[0] / 2
    return cosine, sine, cosine * -x + sine * -y + x, -sine, cosine, -sine * -x + cosine * -y + y


def _moved(images: Tensor, matrices: Tensor, outside: Tensor) -> Tensor:
    """Each pixel from the place that the image's matrix says, between four pixels; the border's colour from outside."""
    parts = zip(images.split(_AT_ONCE), matrices.split(_AT_ONCE), outside.split(_AT_ONCE), strict=True)
    return torch.cat([_moved_at_once(*part) for part in parts])


def _moved_at_once(images: Tensor, matrices: Tensor, outside: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    columns = torch.arange(width, dtype=torch.float64, device=images.device) + 0.5
    rows = (torch.arange(height, dtype=torch.float64, device=images.device) + 0.5).view(-1, 1)
    a, b, c, d, e, f = matrices.view(-1, 6, 1, 1).unbind(1)
    x, y = a * columns + b * rows + c, d * columns + e * rows + f
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y = x - 0.5, y - 0.5
    left, top = x.floor(), y.floor()
    x, y = (x - left)[:, None], (y - top)[:, None]
    columns_at, rows_at = ((left, left + 1), (top, top + 1))
    flat = images.flatten(2)

    def read(row: Tensor, column: Tensor) -> Tensor:
        places = row.long().clamp(0, height - 1) * width + column.long().clamp(0, width - 1)
        return flat.gather(2, places.flatten(1)[:, None].expand(-1, flat.shape[1], -1)).view_as(images).double()

    first, second = (_between(read(row, columns_at[0]), read(row, columns_at[1]), x) for row in rows_at)
    return torch.where(inside[:, None], _between(first, second, y).to(torch.uint8), outside[:, :, None, None])


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return second.sub_(first).mul_(share).add_(first)


def _autocontrast(images: Tensor, _parameters: Tensor, _outside: Tensor) -> Tensor:
    low, high = (each.unsqueeze(2).double() for each in images.flatten(2).aminmax(dim=2))
    scale = torch.full_like(low, 255.0) / (high - low)  # a plain 255.0 would be multiplied by the rounded inverse
    values = torch.arange(256, device=images.device)
    tables = (values * scale + -low * scale).clamp(0, 255)
    return _looked_up(images, torch.where(high > low, tables.to(torch.uint8), values.to(torch.uint8)))


def _equalize(images: Tensor, _parameters: Tensor, _outside: Tensor) -> Tensor:
    count, channels = images.shape[:2]
    bands = images.reshape(count * channels, -1).long()
    offsets = torch.arange(count * channels, device=images.device).view(-1, 1) * 256
    ones = torch.ones((), dtype=torch.int64, device=images.device).expand(bands.numel())
    counts = torch.zeros(count * channels * 256, dtype=torch.int64, device=images.device)
    histogram = counts.scatter_add_(0, (bands + offsets).flatten(), ones).view(-1, 256)
    step = (bands.shape[1] - histogram.gather(1, bands.amax(1, keepdim=True))) // 255
    below = histogram.cumsum(1) - histogram
    tables = ((step // 2 + below) // step.clamp(min=1)).clamp(max=255)
    values = torch.arange(256, device=images.device)
    return _looked_up(images, torch.where(step > 0, tables, values).to(torch.uint8).view(count, channels, 256))


def _looked_up(images: Tensor, tables: Tensor) -> Tensor:
    """tables: (N, C, 256) uint8, what becomes of each value."""
    return tables.gather(2, images.flatten(2).long()).view_as(images)


def _invert(images: Tensor, _parameters: Tensor, _outside: Tensor) -> Tensor:
    return 255 - images


def _solarize(images: Tensor, thresholds: Tensor, _outside: Tensor) -> Tensor:
    return torch.where(images < thresholds.view(-1, 1, 1, 1), images, 255 - images)


def _solarize_add(images: Tensor, added: Tensor, _outside: Tensor) -> Tensor:
    more = (images + added.view(-1, 1, 1, 1)).clamp(max=255).to(torch.uint8)
    return torch.where(images < 128, more, images)


def _posterize(images: Tensor, bits: Tensor, _outside: Tensor) -> Tensor:
    kept = 256 - 2 ** (8 - bits.long())
    return images & kept.to(torch.uint8).view(-1, 1, 1, 1)


def _colour(images: Tensor, factors: Tensor, _outside: Tensor) -> Tensor:
    return _blended(_grey(images), images, factors)


def _contrast(images: Tensor, factors: Tensor, _outside: Tensor) -> Tensor:
    means = _grey(images).flatten(1).sum(1).double() / math.prod(images.shape[-2:])
    return _blended((means + 0.5).floor().view(-1, 1, 1, 1), images, factors)


def _brightness(images: Tensor, factors: Tensor, _outside: Tensor) -> Tensor:
    return _blended(torch.zeros((), device=images.device), images, factors)


def _sharpness(images: Tensor, factors: Tensor, _outside: Tensor) -> Tensor:
    """Away from, or towards, the mean of each pixel (5 of 13) and its eight neighbours; the border stays."""
    smooth = images.int()
    rows = smooth[:, :, :-2] + smooth[:, :, 1:-1] + smooth[:, :, 2:]
    nine = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    inner = smooth[:, :, 1:-1, 1:-1]
    inner.copy_((2 * (nine + 4 * inner) + 13) // 26)  # rounded
    return _blended(smooth, images, factors)


def _grey(images: Tensor) -> Tensor:
    """ITU-R 601 luma in Pillow's fixed point. Returns: (N, 1, H, W), whole numbers."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.int().split(1, dim=1)
    return (red * 19595 + green * 38470 + blue * 7471 + 32768) >> 16


def _blended(plain: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """From `plain`, broadcast, by a factor of the way to the image; cut off at both ends, and to whole numbers."""
    plain = plain.float()
    mixed = images.float().sub_(plain).mul_(factors.float().view(-1, 1, 1, 1)).add_(plain)
    return mixed.clamp_(0, 255).to(torch.uint8)


def _nothing(_amount: float, _size: Size) -> tuple[float, ...]:
    return ()


def _amount(amount: float, _size: Size) -> tuple[float, ...]:
    return (amount,)


# The names are those of `operations.OPERATIONS`.
WAYS: dict[str, Way] = {
    "autocontrast": Way(_autocontrast, _nothing),
    "equalize": Way(_equalize, _nothing),
    "invert": Way(_invert, _nothing),
    "rotate": Way(_moved, rotation),
    "solarize": Way(_solarize, _amount),
    "solarize_add": Way(_solarize_add, _amount),
    "posterize": Way(_posterize, _amount),
    "colour": Way(_colour, _amount),
    "contrast": Way(_contrast, _amount),
    "brightness": Way(_brightness, _amount),
    "sharpness": Way(_sharpness, _amount),
    "shear_x": Way(_moved, shear_x),
    "shear_y": Way(_moved, shear_y),
    "translate_x": Way(_moved, translate_x),
    "translate_y": Way(_moved, translate_y),
}
