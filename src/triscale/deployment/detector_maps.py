"""The part of a detector behind its backbone as ONNX nodes: pyramid and heads, for images of one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from triscale.deployment.fuse import fused_activation, fused_convolution
from triscale.deployment.onnx_graph import GraphWriter
from triscale.detection.heads import HeadLayer, HeadNet
from triscale.detection.pyramid import Cell, PyramidNet, PyramidNode
from triscale.models.layers import ConvNorm, Convolution, same_padding
from triscale.spec.network import Padding, Size, shrink


class Map(NamedTuple):
    """A map in a graph: its name, and its size (H, W)."""

    name: str
    size: Size


def write_pyramid(writer: GraphWriter, net: PyramidNet, fed: Sequence[Map]) -> list[Map]:
    """All levels' maps of the backbone's, finest first. The pyramid is written as it is in eval mode."""
    maps = list(fed)
    for number in range(net.made):
        x = maps[-1]
        if number == 0 and net.extra is not None:
            x = _conv_norm(writer, "pyramid.extra", x, net.extra)
        maps.append(_resampled(writer, f"pyramid.made.{number}", x, shrink(x.size, 2), net.padding))
    for number, cell in enumerate(net.cells):
        assert isinstance(cell, Cell)
        maps = _cell(writer, f"pyramid.{number}", cell, maps)
    return maps


def write_head(writer: GraphWriter, name: str, net: HeadNet, maps: Sequence[Map], answers: int) -> str:
    """What a head says of every anchor: the name of a tensor (B, anchors, answers)."""
    last = fused_convolution(net.final, None, None, maps[0].size)
    rows = []
    for level, x in enumerate(maps):
        for number, layer in enumerate(net.layers):
            assert isinstance(layer, HeadLayer)
            x = _head_layer(writer, f"{name}.{number}", level, layer, x)
        if net.depthwise is None:
            x = Map(writer.convolution(f"{name}.final.{level}", [x.name], last, f"{name}.final"), x.size)
        else:
            x = _depthwise(writer, f"{name}.depthwise", level, net.depthwise, x)
        rows.append(_by_pixel(writer, f"{name}.row.{level}", x, net.final if net.depthwise is None else net.depthwise))
    row = writer.add("Concat", rows, f"{name}.rows", {"axis": 1}) if len(rows) > 1 else rows[0]
    locations = sum(math.prod(each.size) for each in maps)
    if net.depthwise is not None:
        # One product over the pixels of all levels and images, whose answers lie in order.
        flat = writer.integers(f"{name}.flat", [-1, net.final.in_channels])
        row = writer.add("Reshape", [row, flat], f"{name}.pixels")
        weight = writer.constant(f"{name}.final.weight", net.final.weight.flatten(1))
        parts = [row, weight]
        if net.final.bias is not None:
            parts.append(writer.constant(f"{name}.final.bias", net.final.bias))
        row = writer.add("Gemm", parts, f"{name}.answers", {"transB": 1})
    anchors = locations * net.final.out_channels // answers
    return writer.add("Reshape", [row, writer.integers(f"{name}.shape", [-1, anchors, answers])], name)


def _head_layer(writer: GraphWriter, name: str, level: int, layer: HeadLayer, x: Map) -> Map:
    if layer.depthwise is not None:
        x = _depthwise(writer, f"{name}.depthwise", level, layer.depthwise, x)
    conv = fused_convolution(layer.conv, layer.norms[level], layer.act, x.size)
    return Map(writer.convolution(f"{name}.{level}", [x.name], conv), x.size)


def _depthwise(writer: GraphWriter, name: str, level: int, conv: Convolution, x: Map) -> Map:
    """One that all levels share."""
    fused = fused_convolution(conv, None, None, x.size)
    return Map(writer.convolution(f"{name}.{level}", [x.name], fused, name), x.size)


def _by_pixel(writer: GraphWriter, name: str, x: Map, conv: Convolution) -> str:
    """(B, C, H, W) -> (B, H x W, C)."""
    turned = writer.add("Transpose", [x.name], f"{name}.turned", {"perm": [0, 2, 3, 1]})
    shape = writer.integers(f"{name}.shape", [-1, math.prod(x.size), conv.out_channels])
    return writer.add("Reshape", [turned, shape], name)


def _cell(writer: GraphWriter, name: str, cell: Cell, maps: Sequence[Map]) -> list[Map]:
    known = list(maps)
    for number, (node, place) in enumerate(zip(cell.nodes, cell.places, strict=True)):
        assert isinstance(node, PyramidNode)
        known.append(_node(writer, f"{name}.{number}", node, known, maps[place].size))
    passed = []
    for each in cell.outputs:
        conv = dict(cell.passes.items()).get(str(each))
        passed.append(_conv_norm(writer, f"{name}.pass.{each}", known[each], conv) if conv else known[each])
    return passed


def _node(writer: GraphWriter, name: str, node: PyramidNode, known: Sequence[Map], size: Size) -> Map:
    reads = []
    for number, each in enumerate(node.inputs):
        conv = dict(node.projections.items()).get(str(number))
        reads.append(_conv_norm(writer, f"{name}.project.{number}", known[each], conv) if conv else known[each])
    x = _attended(writer, name, node, reads, size) if node.attends else _sum(writer, name, node, reads, size)
    if node.convolve is None:
        return x
    if node.act is not None:
        x = Map(writer.activation(f"{name}.act", [x.name], fused_activation(node.act)), size)
    if node.depthwise is not None:
        fused = fused_convolution(node.depthwise, None, None, size)
        x = Map(writer.convolution(f"{name}.depthwise", [x.name], fused), size)
    return _conv_norm(writer, f"{name}.convolve", x, node.convolve)


def _attended(writer: GraphWriter, name: str, node: PyramidNode, reads: Sequence[Map], size: Size) -> Map:
    first, second = (
        _resampled(writer, f"{name}.read.{number}", each, size, node.padding).name for number, each in enumerate(reads)
    )
    mean = writer.add("GlobalAveragePool", [second], f"{name}.mean")
    gate = writer.add("Sigmoid", [mean], f"{name}.gate")
    gated = writer.add("Mul", [first, gate], f"{name}.gated")
    return Map(writer.add("Add", [second, gated], f"{name}.attended"), size)


def _sum(writer: GraphWriter, name: str, node: PyramidNode, reads: Sequence[Map], size: Size) -> Map:
    """The inputs' sum, each times its share; a map that grows is multiplied while it is small."""
    shares = node.shares()
    total = None
    for number, x in enumerate(reads):
        if shares is None:
            x = _resampled(writer, f"{name}.read.{number}", x, size, node.padding)
        elif x.size[0] < size[0]:
            x = _times(writer, f"{name}.share.{number}", x, shares[number])
            x = _resampled(writer, f"{name}.read.{number}", x, size, node.padding)
        else:
            x = _resampled(writer, f"{name}.read.{number}", x, size, node.padding)
            x = _times(writer, f"{name}.share.{number}", x, shares[number])
        total = x.name if total is None else writer.add("Add", [total, x.name], f"{name}.sum.{number}")
    assert total is not None  # a Node has an input
    return Map(total, size)


def _times(writer: GraphWriter, name: str, x: Map, share: Tensor) -> Map:
    return Map(writer.add("Mul", [x.name, writer.constant(f"{name}.weight", share)], name), x.size)


def _conv_norm(writer: GraphWriter, name: str, x: Map, module: nn.Module) -> Map:
    assert isinstance(module, ConvNorm)
    conv = fused_convolution(module.conv, module.norm, module.act, x.size)
    return Map(writer.convolution(name, [x.name], conv), conv.written(x.size))


def _resampled(writer: GraphWriter, name: str, x: Map, size: Size, padding: Padding) -> Map:
    """`detection.layers.resample` for a map of a known size."""
    if x.size == size:
        return x
    if x.size[0] < size[0] or x.size[1] < size[1]:
        return Map(_grown(writer, name, x, size), size)
    strides = [-(-read // wanted) for read, wanted in zip(x.size, size, strict=True)]
    kernels = [1 if stride == 1 else stride + 1 for stride in strides]
    if padding == "symmetric" and all(stride == 1 or stride % 2 == 0 for stride in strides):
        pads = [kernel // 2 for kernel in kernels] * 2
    else:
        before, after = zip(*map(same_padding, x.size, kernels, strides), strict=True)
        pads = [*before, *after]
    return Map(writer.add("MaxPool", [x.name], name, {"kernel_shape": kernels, "strides": strides, "pads": pads}), size)


def _grown(writer: GraphWriter, name: str, x: Map, size: Size) -> str:
    """Nearest neighbours.

    Runtimes work out the neighbour in floats, as PyTorch does, each in its own way; only whole multiples are the same
    everywhere. Levels are halves, rounded up: where that is a multiple that is cut, it is written so, and else the
    neighbours are looked up.
    """
    sources = [_neighbours(read, wanted) for read, wanted in zip(x.size, size, strict=True)]
    times = [-(-wanted // read) for read, wanted in zip(x.size, size, strict=True)]
    if all(
        source == [pixel // each for pixel in range(len(source))] for source, each in zip(sources, times, strict=True)
    ):
        scales = writer.constant(f"{name}.scales", torch.tensor([1.0, 1.0, *map(float, times)]))
        options = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        made = writer.add("Resize", [x.name, "", scales], f"{name}.grown", options)
        if (x.size[0] * times[0], x.size[1] * times[1]) == size:
            return made
        ends = {"start": [0, 0], "end": [*size], "axes": [2, 3]}
        return writer.add("Slice", [made, *[writer.integers(f"{name}.{each}", ends[each]) for each in ends]], name)
    made = x.name
    for axis, source in enumerate(sources, start=2):
        made = writer.add(
            "Gather", [made, writer.integers(f"{name}.{axis}.from", source)], f"{name}.{axis}", {"axis": axis}
        )
    return made


def _neighbours(read: int, wanted: int) -> list[int]:
    """For each of `wanted` pixels in a row, the pixel of `read` that it repeats."""
    return functional.interpolate(torch.arange(read).float()[None, None], wanted)[0, 0].int().tolist()
