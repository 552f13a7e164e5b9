"""What a network costs, by arithmetic: parameters, multiply-accumulates, activations and memory, in microseconds.

A stage's cost is linear in three numbers: the pixels it reads, the pixels it writes, and 1. So each stage is worked out
once (`_stage_part`, cached) and a network at any resolution is a handful of multiplications.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from triscale.spec.block import Block
from triscale.spec.network import Head, Network, PlacedBlock, Size, Stage, Stem, as_size, shrink
from triscale.spec.operations import Operation, Terms, block_operations, head_operations, plus, stem_operations

BYTES = 4  # of one fp32 number


class LayerCost(NamedTuple):
    """One operation of a network. `where` is "stem", "stages.S.B" or "head"; memory in bytes, without parameters."""

    where: str
    operation: str
    output: tuple[int, int, int]
    params: int
    macs: int
    activations: int
    memory: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one image through a network.

    params: trainable parameters. macs: multiply-accumulates of convolution and linear layers.
    activations: elements of all convolution outputs (pycls' definition).
    memory: bytes of fp32 inference: 4 x (parameters + the most elements alive during any one operation).
    size: (H, W) in pixels.
    """

    params: int
    macs: int
    activations: int
    memory: int
    size: Size
    _network: Network = field(repr=False, compare=False)

    @property
    def layers(self) -> tuple[LayerCost, ...]:
        """Every operation in order; their params, macs and activations add up to the totals."""
        return tuple(_layers(self._network, self.size))


def cost(network: Network, size: int | tuple[int, int] | None = None) -> Cost:
    """Count what `network` costs at batch 1.

    size: pixels, one number or (H, W); the network's own resolution by default.
    Returns: Cost; equal to counting the built module to the last digit, memory equal to a liveness walk over the
        traced module with BatchNorm folded.
    Raises: SpecError for a size that is none.
    Source: activations as in pycls, https://arxiv.org/abs/2003.13678, section 3.1.
    """
    size = network.resolution if size is None else as_size(size)
    height, width = size
    params, macs, activations, peak = 0, 0, 0, 0
    pixels = height * width
    for stride, (own, a, b, c, d, e, f, (x, y, z), lives) in _parts(network):
        params += own
        if stride == 1:  # as many pixels are read as written, so the terms of the read ones are zero
            macs += b * pixels + c
            activations += e * pixels + f
            if y * pixels + z > peak:
                peak = max(peak, *[h * pixels + i for _, h, i in lives])
        else:
            read = pixels
            height, width = -(-height // stride), -(-width // stride)
            pixels = height * width
            macs += a * read + b * pixels + c
            activations += d * read + e * pixels + f
            if x * read + y * pixels + z > peak:
                peak = max(peak, *[g * read + h * pixels + i for g, h, i in lives])
    return Cost(params, macs, activations, BYTES * (params + peak), size, network)


# Of one part of a network: parameters, then MACs and activations as coefficients of (pixels read, pixels written, 1),
# then the elements alive during those operations that can be the peak, behind a bound on all of them.
_Part = tuple[int, int, int, int, int, int, int, Terms, tuple[Terms, ...]]

MANY = 256  # operations of one part beyond which none is worth sorting out


def _parts(network: Network) -> list[tuple[int, _Part]]:
    """(stride, part) of stem, stages and head, in order."""
    stem = network.stem
    parts = [(stem.stride, _stem_part(stem, network.in_channels, False))]
    if stem.pool:
        parts.append((2, _stem_part(stem, network.in_channels, True)))
    channels = stem.channels
    for each in network.stages:
        part = _stage_part(each, channels)
        first = each.blocks[0]
        parts.append((first.stride, part))
        channels = first.channels
    if network.head is not None:
        parts.append((1, _head_part(network.head, channels, network.classes)))
    return parts


def _merge(operations: Iterable[Operation]) -> _Part:
    steps = tuple(operations)
    macs, activations = plus(*(o.macs for o in steps)), plus(*(o.activations for o in steps))
    return sum(o.params for o in steps), *macs, *activations, *_peaks({o.live for o in steps})


@lru_cache(maxsize=1 << 16)
def _stage_part(each: Stage, in_channels: int) -> _Part:
    own, a, b, c, d, e, f = [0] * 7
    lives: set[Terms] = set()
    (first, alike), *others = each._runs
    parts = [(_block_part(first, in_channels), 1)]
    if alike > 1:
        others.append((first, alike - 1))
    parts += [(_block_part(block, each.channels), times) for block, times in others]
    for (params, g, h, i, j, k, m, _, live), times in parts:
        own += times * params
        a, b, c = a + times * g, b + times * h, c + times * i
        d, e, f = d + times * j, e + times * k, f + times * m
        lives.update(live)
    return own, a, b, c, d, e, f, *_peaks(lives)


@lru_cache(maxsize=1 << 16)
def _block_part(block: Block, in_channels: int) -> _Part:
    operations = block_operations(block, in_channels)
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


def _layers(network: Network, size: Size) -> Iterator[LayerCost]:
    read = size
    for where, stride, operations in _located(network):
        written = shrink(read, stride)
        factors = (read[0] * read[1], written[0] * written[1], 1)
        for o in operations:
            at = {"read": read, "written": written, "one": (1, 1)}[o.place]
            yield LayerCost(
                where,
                o.name,
                (o.channels, *at),
                o.params,
                _dot(o.macs, factors),
                _dot(o.activations, factors),
                BYTES * _dot(o.live, factors),
            )
        read = written


def _located(network: Network) -> Iterator[tuple[str, int, tuple[Operation, ...]]]:
    convolution, *pooling = stem_operations(network.stem, network.in_channels)
    yield "stem", network.stem.stride, (convolution,)
    if pooling:
        yield "stem", 2, tuple(pooling)
    last = PlacedBlock(0, 0, network.stages[0].blocks[0], network.stem.channels)
    for last in network.placed_blocks():
        yield f"stages.{last.stage}.{last.index}", last.block.stride, block_operations(last.block, last.in_channels)
    if network.head is not None:
        yield "head", 1, head_operations(network.head, last.block.channels, network.classes)


def _dot(terms: Terms, factors: tuple[int, int, int]) -> int:
    return terms[0] * factors[0] + terms[1] * factors[1] + terms[2] * factors[2]
