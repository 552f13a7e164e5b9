"""Detectors in parts whose cost is linear in the pixels of their levels; see `spec/parts.py` for the backbone's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from operator import mul
from typing import NamedTuple

from triscale.spec.detector import Detector, Heads
from triscale.spec.map_operations import (
    ALL,
    MapOperation,
    Vector,
    Width,
    head_operations,
    level_operations,
    repeat_operations,
)
from triscale.spec.network import Size, shrink
from triscale.spec.parts import Totals, totals
from triscale.spec.pyramid import Pyramid


class MapPart(NamedTuple):
    """What stands behind the backbone: parameters, and coefficients of the levels' pixels.

    lives: the elements alive during those operations that can be the peak.
    """

    params: int
    macs: Vector
    activations: Vector
    lives: tuple[Vector, ...]


def detector_totals(detector: Detector, size: Size) -> Totals:
    """Count a detector at `size`."""
    backbone = totals(detector.backbone, size, taps(detector))
    part = _map_part(
        detector.pyramid, detector.heads, fed_channels(detector), head_outputs(detector), detector.redundant_bias
    )
    pixels = level_pixels(detector.pyramid, size)
    return Totals(
        backbone.params + part.params,
        backbone.macs + sum(map(mul, part.macs, pixels)),
        backbone.activations + sum(map(mul, part.activations, pixels)),
        max(backbone.peak, *[sum(map(mul, live, pixels)) for live in part.lives]),
    )


def map_operations(detector: Detector) -> Iterator[MapOperation]:
    """Every operation behind the backbone, in order."""
    pyramid, bias = detector.pyramid, detector.redundant_bias
    reads = fed_channels(detector)
    yield from level_operations(reads, pyramid.levels, _width(pyramid, bias))
    reads = _all_levels(pyramid, reads)
    for number in range(pyramid.repeats):
        yield from repeat_operations(pyramid, number, reads, bias)
        reads = (pyramid.channels,) * len(reads)
    yield from head_operations(detector.heads, pyramid.levels, pyramid.channels, head_outputs(detector), bias)


def taps(detector: Detector) -> tuple[int, ...]:
    """The backbone's stages whose maps feed the pyramid, finest first."""
    stages = detector.backbone.reductions()
    return tuple([stages[2**level] for level in detector.fed_levels])


def fed_channels(detector: Detector) -> tuple[int, ...]:
    """Channels of the backbone's maps that feed the pyramid, finest first."""
    stages = detector.backbone.stages
    return tuple([stages[number].channels for number in taps(detector)])


def head_outputs(detector: Detector) -> tuple[int, int]:
    """Numbers that the class head and the box head give at one pixel."""
    anchors = detector.anchors.per_location
    return anchors * detector.classes, anchors * 4


def level_sizes(pyramid: Pyramid, size: Size) -> tuple[Size, ...]:
    """(H, W) of every level's map for an image of `size`, finest first: ceil(n / stride)."""
    return tuple([shrink(size, 2**level) for level in pyramid.level_numbers])


def level_pixels(pyramid: Pyramid, size: Size) -> Vector:
    """Pixels of every level's map, and a last 1 for what is there once."""
    return *[height * width for height, width in level_sizes(pyramid, size)], 1


@lru_cache(maxsize=1 << 14)
def _map_part(pyramid: Pyramid, heads: Heads, fed: tuple[int, ...], outputs: tuple[int, int], bias: bool) -> MapPart:
    reads = _all_levels(pyramid, fed)
    parts = [(_repeat_part(pyramid, reads, bias), 1)]
    if pyramid.repeats > 1:
        parts.append((_repeat_part(pyramid, (pyramid.channels,) * len(reads), bias), pyramid.repeats - 1))
    parts.append((_merged(len(reads), level_operations(fed, pyramid.levels, _width(pyramid, bias))), 1))
    parts.append((_head_part(heads, pyramid.levels, pyramid.channels, outputs, bias), 1))
    return MapPart(
        sum(part.params * times for part, times in parts),
        _summed((part.macs, times) for part, times in parts),
        _summed((part.activations, times) for part, times in parts),
        _highest(live for part, _ in parts for live in part.lives),
    )


def _repeat_part(pyramid: Pyramid, reads: tuple[int, ...], bias: bool) -> MapPart:
    return _merged(len(reads), repeat_operations(pyramid, 0, reads, bias))


@lru_cache(maxsize=1 << 12)
def _head_part(heads: Heads, levels: tuple[int, int], channels: int, outputs: tuple[int, int], bias: bool) -> MapPart:
    return _merged(levels[1] - levels[0] + 1, head_operations(heads, levels, channels, outputs, bias))


def _merged(levels: int, operations: tuple[MapOperation, ...]) -> MapPart:
    macs, activations = [0] * (levels + 1), [0] * (levels + 1)
    for each in operations:
        if each.weights:
            for place in range(levels) if each.place == ALL else (each.place,):
                macs[place] += each.weights
                activations[place] += each.channels
    return MapPart(
        sum(each.params for each in operations),
        tuple(macs),
        tuple(activations),
        _highest(each.live for each in operations),
    )


def _summed(vectors: Iterable[tuple[Vector, int]]) -> Vector:
    return tuple([sum(column) for column in zip(*([times * n for n in each] for each, times in vectors), strict=True)])


def _highest(lives: Iterable[Vector]) -> tuple[Vector, ...]:
    """Those that can be the peak at some size: coarser levels never have more pixels than finer ones.

    So sum(v * p) = sum over k of (v_0 + ... + v_k) x (p_k - p_(k + 1)): what is smaller in all these sums is never it.
    """
    kept: list[tuple[Vector, Vector]] = []
    for sums, live in sorted(((_cumulated(live), live) for live in set(lives)), reverse=True):
        if not any(all(map(int.__ge__, other, sums)) for other, _ in kept):
            kept.append((sums, live))
    return tuple([live for _, live in kept])


def _cumulated(vector: Vector) -> Vector:
    total, sums = 0, []
    for each in vector:
        total += each
        sums.append(total)
    return tuple(sums)


def _all_levels(pyramid: Pyramid, fed: tuple[int, ...]) -> tuple[int, ...]:
    """Channels of the maps that the first repeat reads; what was made from the coarsest is as wide as the pyramid."""
    return *fed, *[pyramid.channels] * (len(pyramid.level_numbers) - len(fed))


def _width(pyramid: Pyramid, bias: bool) -> Width:
    return Width(pyramid.channels, pyramid.separable, pyramid.activation, bias)
