"""Networks in parts whose cost is linear in pixels: what makes counting a matter of microseconds.

A part's cost is linear in three numbers: the pixels it reads, the pixels it writes, and 1. So each stage is worked out
once (cached) and a network at any resolution is a handful of multiplications.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from triscale.spec.block import Block
from triscale.spec.network import Head, Network, Size, Stage, Stem
from triscale.spec.operations import Operation, Terms, block_operations, head_operations, plus, stem_operations


class Totals(NamedTuple):
    """What one image needs; `peak` is the most elements alive during any one operation."""

    params: int
    macs: int
    activations: int
    peak: int


def totals(network: Network, size: Size, taps: tuple[int, ...] = ()) -> Totals:
    """Count a network at `size`.

    taps: stages whose output is needed after the network has run (a detector's maps), so that it stays alive.
    """
    height, width = size
    params, macs, activations, peak = 0, 0, 0, 0
    pixels = height * width
    kept = tapped = 0  # elements of taps: of all but the last one, and of that, which the stage behind it still reads
    for stride, tap, (own, a, b, c, d, e, f, (x, y, z), lives) in network_parts(network, taps):
        params += own
        if stride == 1:  # as many pixels are read as written, so the terms of the read ones are zero
            macs += b * pixels + c
            activations += e * pixels + f
            if kept + y * pixels + z > peak:
                peak = max(peak, *[kept + h * pixels + i for _, h, i in lives])
        else:
            read = pixels
            height, width = -(-height // stride), -(-width // stride)
            pixels = height * width
            macs += a * read + b * pixels + c
            activations += d * read + e * pixels + f
            if kept + x * read + y * pixels + z > peak:
                peak = max(peak, *[kept + g * read + h * pixels + i for g, h, i in lives])
        if taps:
            kept, tapped = kept + tapped, tap * pixels
    return Totals(params, macs, activations, peak)


# Of one part of a network: parameters, then MACs and activations as coefficients of (pixels read, pixels written, 1),
# then the elements alive during those operations that can be the peak, behind a bound on all of them.
_Part = tuple[int, int, int, int, int, int, int, Terms, tuple[Terms, ...]]

MANY = 256  # operations of one part beyond which none is worth sorting out


def network_parts(network: Network, taps: tuple[int, ...] = ()) -> list[tuple[int, int, _Part]]:
    """(stride, channels that are tapped behind it, part) of stem, stages and head, in order."""
    stem = network.stem
    parts = [(stem.stride, 0, _stem_part(stem, network.in_channels, False))]
    if stem.pool:
        parts.append((2, 0, _stem_part(stem, network.in_channels, True)))
    channels = stem.channels
    tapped = False
    for number, each in enumerate(network.stages):
        part = _stage_part(each, channels, tapped)
        first = each.blocks[0]
        channels = first.channels
        tapped = number in taps
        parts.append((first.stride, channels if tapped else 0, part))
    if network.head is not None:
        parts.append((1, 0, _head_part(network.head, channels, network.classes)))
    return parts


def _merge(operations: Iterable[Operation]) -> _Part:
    steps = tuple(operations)
    macs, activations = plus(*(o.macs for o in steps)), plus(*(o.activations for o in steps))
    return sum(o.params for o in steps), *macs, *activations, *_peaks({o.live for o in steps})


@lru_cache(maxsize=1 << 16)
def _stage_part(each: Stage, in_channels: int, held: bool) -> _Part:
    """held: what the stage reads stays alive behind it; such a stage has a stride, for it begins another map."""
    own, a, b, c, d, e, f = [0] * 7
    lives: set[Terms] = set()
    (first, alike), *others = each._runs
    parts = [(_block_part(first, in_channels, held), 1)]
    if alike > 1:
        others.append((first, alike - 1))
    parts += [(_block_part(block, each.channels, False), times) for block, times in others]
    for (params, g, h, i, j, k, m, _, live), times in parts:
        own += times * params
        a, b, c = a + times * g, b + times * h, c + times * i
        d, e, f = d + times * j, e + times * k, f + times * m
        lives.update([(in_channels, y, z) for _, y, z in live] if held and lives else live)
    return own, a, b, c, d, e, f, *_peaks(lives)


@lru_cache(maxsize=1 << 16)
def _block_part(block: Block, in_channels: int, held: bool) -> _Part:
    operations = block_operations(block, in_channels, held)
    return _merge(operations if block.stride > 1 else map(_at_output, operations))


@lru_cache(maxsize=1 << 12)
def _stem_part(stem: Stem, in_channels: int, pool: bool) -> _Part:
    convolution, *pooling = stem_operations(stem, in_channels)
    if pool:
        return _merge(pooling)
    return _merge([convolution] if stem.stride > 1 else [_at_output(convolution)])


@lru_cache(maxsize=1 << 12)
def _head_part(head: Head, in_channels: int, classes: int) -> _Part:
    return _merge(head_operations(head, in_channels, classes))


def _at_output(operation: Operation) -> Operation:
    """The same operation in a block without a stride, where as many pixels are read as written."""

    def moved(terms: Terms) -> Terms:
        return 0, terms[0] + terms[1], terms[2]

    return operation._replace(
        macs=moved(operation.macs), activations=moved(operation.activations), live=moved(operation.live)
    )


def _peaks(lives: set[Terms]) -> tuple[Terms, tuple[Terms, ...]]:
    """A bound on all of `lives`, and those that can be the peak at some size.

    Pixels read r >= pixels written w >= 1, and a r + b w + c = a (r - w) + (a + b) (w - 1) + (a + b + c): an operation
    that is smaller in all three of these coefficients is never the peak.
    """
    bound = (max(a for a, _, _ in lives), max(b for _, b, _ in lives), max(c for _, _, c in lives))
    if len(lives) > MANY:
        return bound, tuple(lives)
    kept: list[tuple[int, int, Terms]] = []
    # Largest first: an operation can only be exceeded by one that was kept before it.
    for _, y, z, terms in sorted([(a, a + b, a + b + c, (a, b, c)) for a, b, c in lives], reverse=True):
        for v, w, _ in kept:
            if v >= y and w >= z:
                break
        else:
            kept.append((y, z, terms))
    return bound, tuple([terms for _, _, terms in kept])
