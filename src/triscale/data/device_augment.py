"""Augmentation of whole batches on the device where the network is: what `augment` does after the crop.

What happens to an image is drawn as there, from (seed, epoch, index), on the CPU: the same changes, whichever of the
two carries them out, in whatever batch, process or stage an image comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triscale.data.augment import Augmentation, Changes, Erasure, dice_for, draw_changes, draw_crop
from triscale.data.device_operations import WAYS, BatchOperation, border_colours
from triscale.data.operations import Change
from triscale.data.transforms import scale_and_shift
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class DeviceAugment:
    """Turns the batches of `Batches` with `as_bytes` into those without.

    augmentation, preprocessing, seed: those that the batches have.
    """

    augmentation: Augmentation
    preprocessing: Preprocessing
    seed: int

    @torch.no_grad()
    def __call__(self, images: Tensor, epoch: int, indices: Tensor) -> Tensor:
        """Mirror, AutoAugment, RandAugment, erase, normalise.

        images: (N, C, H, W) uint8, cut out and resized, on any device; they stay as they are. indices: (N,), on the
        CPU, which image of the set each is.
        Returns: (N, C, H, W) float32, normalised, on that device and in that memory layout.
        """
        last = images.is_contiguous(memory_format=torch.channels_last)
        size = images.shape[-2], images.shape[-1]
        drawn = [self._draw(epoch, index, size) for index in indices.tolist()]
        made = images.clone(memory_format=torch.contiguous_format)
        _flip(made, [each.flip for each in drawn], -1)
        _flip(made, [each.flip_vertical for each in drawn], -2)
        _change(made, [each.autoaugment for each in drawn])
        _change(made, [each.randaugment for each in drawn])
        _erase(made, [each.erasure for each in drawn])
        layout = torch.channels_last if last else torch.contiguous_format
        return self._normalised(made.contiguous(memory_format=layout))

    def _draw(self, epoch: int, index: int, size: Size) -> Changes:
        dice = dice_for(self.seed, epoch, index)
        draw_crop(self.augmentation, dice)  # is done already; its numbers come first
        return draw_changes(self.augmentation, dice, size, self.preprocessing.channels)

    def _normalised(self, images: Tensor) -> Tensor:
        found = scale_and_shift(self.preprocessing.mean, self.preprocessing.std, 1)
        scale, shift = (torch.from_numpy(each).to(images.device).view(-1, 1, 1) for each in found)
        return images.float().mul_(scale).sub_(shift)


def _flip(images: Tensor, wanted: Sequence[bool], side: int) -> None:
    places = _places([place for place, flip in enumerate(wanted) if flip], images)
    if len(places):
        images.index_copy_(0, places, images.index_select(0, places).flip(side))


def _change(images: Tensor, changes: Sequence[tuple[Change, ...]]) -> None:
    """Do to each image its changes, in place: of all images the first ones, then the second ones, kind by kind."""
    if not any(changes):
        return
    size = images.shape[-2], images.shape[-1]
    outside = border_colours(images)
    for number in range(max(len(each) for each in changes)):
        groups: dict[BatchOperation, tuple[list[int], list[tuple[float, ...]]]] = {}
        for place, own in enumerate(changes):
            if number < len(own):
                way = WAYS[own[number].name]
                members, parameters = groups.setdefault(way.function, ([], []))
                members.append(place)
                parameters.append(way.parameters(own[number].amount, size))
        for function, (members, parameters) in groups.items():
            places = _places(members, images)
            numbers = torch.tensor(parameters, dtype=torch.float64).to(images.device, non_blocking=True)
            some = function(images.index_select(0, places), numbers, outside.index_select(0, places))
            images.index_copy_(0, places, some)


def _erase(images: Tensor, erasures: Sequence[Erasure | None]) -> None:
    erased = [(place, each) for place, each in enumerate(erasures) if each is not None]
    if not erased:
        return
    rows, columns = (torch.arange(side).view(1, -1) for side in images.shape[-2:])
    left, top, width, height = (
        torch.tensor([(e.left, e.top, e.width, e.height) for _, e in erased]).view(-1, 4, 1).unbind(1)
    )
    inside = ((rows >= top) & (rows < top + height))[:, :, None] & ((columns >= left) & (columns < left + width))[
        :, None
    ]
    noise = np.frombuffer(b"".join(each.noise for _, each in erased), np.uint8).copy()
    places = _places([place for place, _ in erased], images)
    some = images.index_select(0, places).permute(0, 2, 3, 1).contiguous()  # as the noise is: channel by channel
    some.masked_scatter_(inside[..., None].to(images.device), torch.from_numpy(noise).to(images.device))
    images.index_copy_(0, places, some.permute(0, 3, 1, 2))


def _places(places: Sequence[int], images: Tensor) -> Tensor:
    return torch.tensor(places, dtype=torch.int64).to(images.device, non_blocking=True)
