"""In which order shards are read: mixed well, and yet from few shards at a time.

A permutation of all samples reads every disk at random, and needs every shard at hand. So the shards are shuffled, and
as many of them as make up a window are mixed: within a window the order is a permutation of its samples.
Source: the shuffle buffer of WebDataset (https://github.com/webdataset/webdataset); a window differs in that any batch
of it can be computed without those before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from triscale.data.member import Member, Shard

if TYPE_CHECKING:
    from triscale.data.dataset import Sample
from triscale.data.detection.dataset import BoxSample

# What is mixed at a time, about 20,000 photographs of ImageNet; three windows lie on the disk where shards come from
# elsewhere. It is a part of what an epoch gives, and so it does not depend on the machine.
WINDOW_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Blocks:
    """Which shard each sample is in.

    shards: those that have samples. number: (N,) each sample's shard. offset: (N,) in bytes. size: (shards,) bytes to
        have at hand for it: all up to its last sample, the same for a shard on this disk and for one from elsewhere.
    """

    shards: tuple[Shard, ...]
    number: np.ndarray
    offset: np.ndarray
    size: np.ndarray


@dataclass(frozen=True, slots=True)
class Reading:
    """One epoch. order: (N,) int64. starts: where each window begins in it. windows: the shards of each."""

    order: np.ndarray
    starts: tuple[int, ...] = (0,)
    windows: tuple[tuple[Shard, ...], ...] = ((),)


def blocks_of(samples: Sequence[Sample] | Sequence[BoxSample]) -> Blocks | None:
    """The shards of samples; None where any of them is a file of its own."""
    numbers: dict[Shard, int] = {}
    places = [(each.path.shard, each.path) for each in samples if isinstance(each.path, Member)]
    if len(places) < len(samples):
        return None
    number = np.array([numbers.setdefault(shard, len(numbers)) for shard, _ in places])
    size = np.zeros(len(numbers), np.int64)
    np.maximum.at(size, number, [path.offset + path.length for _, path in places])
    return Blocks(tuple(numbers), number, np.array([path.offset for _, path in places]), size)


def reading(count: int, blocks: Blocks | None, dice: np.random.Generator | None) -> Reading:
    """The order of one epoch.

    count: samples. blocks: their shards, if any.
    dice: shuffles; None reads in the samples' order, and what is larger than a window shard by shard.
    """
    if blocks is None or blocks.size.sum() <= WINDOW_BYTES:
        order = np.arange(count) if dice is None else dice.permutation(count)
        return Reading(order, windows=(() if blocks is None else blocks.shards,))
    shards = np.arange(len(blocks.shards)) if dice is None else dice.permutation(len(blocks.shards))
    by_shard = np.lexsort((blocks.offset, blocks.number))
    bounds = np.searchsorted(blocks.number[by_shard], np.arange(len(blocks.shards) + 1))
    orders, starts, windows = list[np.ndarray](), list[int](), list[tuple[Shard, ...]]()
    for window in _windows(shards, blocks.size):
        inside = np.concatenate([by_shard[bounds[each] : bounds[each + 1]] for each in window])
        starts.append(sum(len(each) for each in orders))
        orders.append(inside if dice is None else dice.permutation(inside))
        windows.append(tuple(blocks.shards[each] for each in window))
    return Reading(np.concatenate(orders), tuple(starts), tuple(windows))


def _windows(shards: np.ndarray, size: np.ndarray) -> list[np.ndarray]:
    """Neighbours in this order whose sizes together reach at most a window; a larger shard is one by itself."""
    found, first, taken = list[np.ndarray](), 0, 0
    for place, shard in enumerate(shards):
        if place > first and taken + size[shard] > WINDOW_BYTES:
            found.append(shards[first:place])
            first, taken = place, 0
        taken += int(size[shard])
    return [*found, shards[first:]]
