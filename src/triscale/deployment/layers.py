"""A network as the layers that a device runs one after another, and what each of them has to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from triscale.spec.block import Block
from triscale.spec.network import Head, Network, Padding, Size, Stem, shrink
from triscale.spec.operations import Operation, block_operations, head_operations, stem_operations

RELU = ("relu", "relu6", "identity")  # what every runtime does within the convolution, at no cost


@dataclass(frozen=True, slots=True)
class Layer:
    """A stem, a block or a head with all that its latency depends on; equal layers take equally long.

    in_channels: that it reads. size: (H, W) in pixels that it reads. classes: outputs of a head, 0 for other parts.
    padding: where its convolutions put the odd pixel.
    """

    part: Stem | Block | Head
    in_channels: int
    size: Size
    padding: Padding
    classes: int = 0

    def __str__(self) -> str:
        """As a person names it: `mbconv 5x5 /2, 40 -> 240 -> 80 channels, 28 x 28`."""
        height, width = self.size
        match self.part:
            case Stem():
                what = f"stem {self.part.kernel}x{self.part.kernel} /{self.part.stride}"
                way = f"{self.in_channels} -> {self.part.channels} channels"
            case Head():
                inner = [c for c in (self.part.channels, self.part.linear) if c is not None]
                what = "head"
                way = " -> ".join(map(str, (self.in_channels, *inner, self.classes))) + " outputs"
            case Block():
                what = f"{self.part.kind} {self.part.kernel}x{self.part.kernel}"
                what += f" /{self.part.stride}" if self.part.stride > 1 else ""
                what += "" if self.part.squeeze is None else " squeeze"
                hidden = [self.part.hidden_channels(self.in_channels)] if self.part.expands() else []
                way = " -> ".join(map(str, (self.in_channels, *hidden, self.part.channels))) + " channels"
        return f"{what}, {way}, {height} x {width}"


def layers_of(network: Network) -> list[Layer]:
    """The layers of a network in the order in which they run, each at the size that reaches it."""
    return list(_walk(network))


def _walk(network: Network) -> Iterator[Layer]:
    padding, size = network.numerics.padding, network.resolution
    yield Layer(network.stem, network.in_channels, size, padding)
    size = shrink(size, network.stem.stride * (2 if network.stem.pool else 1))
    for placed in network.placed_blocks():
        yield Layer(_plain(placed.block, placed.in_channels), placed.in_channels, size, padding)
        size = shrink(size, placed.block.stride)
    if network.head is not None:
        head = replace(network.head, dropout=0.0, scaling="full")
        yield Layer(head, network.stages[-1].channels, size, padding, network.classes)


@lru_cache(maxsize=1 << 16)
def _plain(block: Block, in_channels: int) -> Block:
    """The block with its widths written out, so that two ways to write the same widths are one layer."""
    if block.expands():
        block = replace(block, hidden=block.hidden_channels(in_channels), expand=1.0, relative_to="input")
    if block.squeeze is not None:
        squeezed = block.squeeze_channels(in_channels)
        block = replace(block, squeeze=replace(block.squeeze, channels=squeezed, ratio=1.0, of="input", divisor=1))
    return block


@lru_cache(maxsize=1 << 16)
def work(layer: Layer) -> tuple[float, ...]:
    """What a layer makes a device do, as numbers that time should grow with.

    Returns: millions of multiply-accumulates of its dense convolutions, of its depthwise ones, and of those on a single
        pixel; millions of elements read, written and kept; millions of elements through an activation that is more
        than a comparison; number of operations.
    """
    stride = layer.part.stride if isinstance(layer.part, (Stem, Block)) else 1
    read, written = layer.size[0] * layer.size[1], _area(shrink(layer.size, stride))
    if isinstance(layer.part, Stem) and layer.part.pool:
        # The pool reads what the convolution wrote; its elements are counted as the convolution's.
        steps = stem_operations(replace(layer.part, pool=False), layer.in_channels)
    else:
        steps = _operations(layer)
    curved = layer.part.activation not in RELU
    dense = depthwise = single = moved = bent = 0.0
    for step in steps:
        a, b, c = step.macs
        if "depthwise" in step.name:
            depthwise += a * read + b * written
        else:
            dense += a * read + b * written
        single += c
        moved += step.live[0] * read + step.live[1] * written + step.live[2]
        bent += curved * (step.activations[0] * read + step.activations[1] * written)
    return dense / 1e6, depthwise / 1e6, single / 1e6, moved / 1e6, bent / 1e6, float(len(steps))


def _operations(layer: Layer) -> tuple[Operation, ...]:
    match layer.part:
        case Stem():
            return stem_operations(layer.part, layer.in_channels)
        case Block():
            return block_operations(layer.part, layer.in_channels)
        case Head():
            return head_operations(layer.part, layer.in_channels, layer.classes)


def _area(size: Size) -> int:
    return size[0] * size[1]
