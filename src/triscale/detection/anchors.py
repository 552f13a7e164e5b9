"""Anchors: the boxes from which a detector's answers are offsets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from triscale.errors import SpecError
from triscale.spec.detector import Anchors
from triscale.spec.network import Size


def anchor_boxes(anchors: Anchors, levels: Sequence[int], size: Size, map_sizes: Sequence[Size]) -> Tensor:
    """Every anchor of an image.

    levels: numbers of the pyramid's levels, finest first. size: (H, W) of the network's input in pixels. map_sizes:
        (H, W) of each level's map. The stride of a level is image over map, on each axis: 320 / 3 = 106.67 at P7.
    Returns: (A, 4) float32, (x1, y1, x2, y2) in pixels of the input, not clipped, in order of level, row, column,
        octave and aspect.
    Raises: SpecError when there is not one map for each level, or one without pixels.
    Source: google/automl, tf2/anchors.py.
    """
    if len(levels) != len(map_sizes):
        raise SpecError(f"anchor_boxes: {len(levels)} levels need as many map sizes, got {len(map_sizes)}.")
    # In float64 to the end: the released anchors are float64 rounded once.
    sides = torch.tensor(
        [(2**o * w, 2**o * h) for o in anchors.octaves for w, h in anchors.aspects], dtype=torch.double
    )
    parts = []
    for level, (rows, columns) in zip(levels, map_sizes, strict=True):
        if rows < 1 or columns < 1:
            raise SpecError(f"anchor_boxes: the map of level {level} has no pixels: {rows} x {columns}.")
        stride_y, stride_x = size[0] / rows, size[1] / columns
        y = (torch.arange(rows, dtype=torch.double) + 0.5) * stride_y
        x = (torch.arange(columns, dtype=torch.double) + 0.5) * stride_x
        centres = torch.stack((x.expand(rows, columns), y[:, None].expand(rows, columns)), -1)[:, :, None]
        half = sides * torch.tensor((stride_x, stride_y), dtype=torch.double) * (anchors.scale / 2)
        parts.append(torch.cat((centres - half, centres + half), -1).reshape(-1, 4))
    return torch.cat(parts).float()
