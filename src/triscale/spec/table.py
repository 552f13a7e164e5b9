"""A network as the table that papers print: one row per stage, as it will be built."""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from triscale.spec.block import Block
from triscale.spec.cost import LayerCost, cost
from triscale.spec.network import Head, Network, PlacedBlock, Size, Stem, as_size, shrink

_NAMES = {
    "mbconv": "MBConv",
    "fused": "FusedMBConv",
    "separable": "SepConv",
    "bottleneck": "Bottleneck",
    "basic": "Basic",
    "shuffle": "Shuffle",
    "xception": "Xception",
}


class Row(NamedTuple):
    """One row: alike blocks that stand together.

    stage: 1 for the stem, counted up; the rows of a mixed stage share its number.
    operator: "MBConv6, k3x3": the block, how often it expands its input, and its kernel.
    resolution: (H, W) of what the row reads, in pixels. stride: by how much it shrinks that.
    channels: that it writes. layers: blocks in the row. squeeze: whether they have squeeze-excite.
    params, macs: of the row; macs at batch 1.
    """

    stage: int
    operator: str
    resolution: Size
    stride: int
    channels: int
    layers: int
    squeeze: bool
    params: int
    macs: int


def table_rows(network: Network, size: int | tuple[int, int] | None = None) -> tuple[Row, ...]:
    """The architecture row by row: stem, stages, head.

    size: of the image in pixels, one number or (H, W); the network's own by default.
    Returns: rows whose params and macs add up to the network's.
    Source: the form of Tan & Le 2019, table 1, https://arxiv.org/abs/1905.11946.
    """
    read = network.resolution if size is None else as_size(size)
    layers = cost(network, read).layers
    shares = {where: list(costs) for where, costs in groupby(layers, lambda layer: layer.where)}

    def row(stage: int, operator: str, places: list[str], stride: int, channels: int, squeeze: bool = False) -> Row:
        own = [layer for where in places for layer in shares[where]]
        params, macs = sum(layer.params for layer in own), sum(layer.macs for layer in own)
        return Row(stage, operator, read, stride, channels, len(places), squeeze, params, macs)

    stem = network.stem
    rows = [row(1, stem_operator(stem), ["stem"], stem.stride * (2 if stem.pool else 1), stem.channels)]
    read = shrink(read, rows[-1].stride)
    for (number, operator, squeeze), run in groupby(network.placed_blocks(), _alike):
        blocks = list(run)
        first = blocks[0]
        places = [f"stages.{each.stage}.{each.index}" for each in blocks]
        rows.append(row(number + 2, operator, places, first.block.stride, first.block.channels, squeeze))
        read = shrink(read, first.block.stride)
    if network.head is not None:
        channels = network.head.channels or network.feature_channels
        rows.append(row(len(network.stages) + 2, head_operator(network.head), ["head"], 1, channels))
    return tuple(rows)


def count_layers(network: Network) -> int:
    """Convolution and linear layers, those of squeeze-excite among them: 82 for B0, 274 for B7."""
    return sum(_has_weights(layer) for layer in cost(network).layers)


def operator(block: Block, in_channels: int) -> str:
    """What a block is called in a table; a hidden width that is no multiple of its input is written out."""
    name = _NAMES[block.kind]
    if block.kind in ("mbconv", "fused"):
        times = block.hidden_channels(in_channels) / in_channels if block.expands() else 1
        name += f"{times:g}" if times == round(times) else f" {block.hidden_channels(in_channels)}"
    return f"{name}, k{block.kernel}x{block.kernel}"


def stem_operator(stem: Stem) -> str:
    """What the stem is called in a table."""
    return f"Conv{stem.kernel}x{stem.kernel}" + (" & MaxPool" if stem.pool else "")


def head_operator(head: Head) -> str:
    """What the head is called in a table."""
    parts = ["Conv1x1"] if head.channels is not None else []
    parts += ["Pooling"] + ([f"FC {head.linear}"] if head.linear is not None else []) + ["FC"]
    return " & ".join(parts)


def _alike(placed: PlacedBlock) -> tuple[int, str, bool]:
    return placed.stage, operator(placed.block, placed.in_channels), placed.block.squeeze is not None


def _has_weights(layer: LayerCost) -> bool:
    # Only convolutions and linear layers multiply and accumulate; a slope of Swish has a parameter but no such layer.
    return layer.macs > 0
