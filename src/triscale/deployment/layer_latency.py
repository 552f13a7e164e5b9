"""How long one layer takes inside a network: the slope of time over copies of it, measured on this device.

A layer that is timed alone mostly shows what stands around it: the call of the runtime, the copy of the input, the
change into and out of the runtime's blocked layout. Here a convolution first makes the layer's input, in the runtime's
own layout; then one graph runs the layer once, and a second one several times, with weights of their own. What the
second one takes longer, for each further copy, is the layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from triscale.deployment.engine import graph_runner
from triscale.deployment.export import ExportEngine
from triscale.deployment.fuse import fuse_part
from triscale.deployment.layers import Layer
from triscale.deployment.onnx_graph import onnx_graph
from triscale.deployment.untrained import randomise
from triscale.models.assembler import ClassifierHead, build_stem
from triscale.models.blocks import build_block
from triscale.models.layers import ConvNorm
from triscale.spec.block import Block
from triscale.spec.network import Head, Numerics, Stem

COPIES = 4  # further copies in the second graph
LEAST_PAIRS, MOST_PAIRS = 15, 60  # runs of both graphs, in turns
SECONDS = 0.3  # that a layer is timed for, between those bounds
WARM_UP = 6
IMAGE_CHANNELS = 3  # of the image from which a convolution makes what the layer reads


def measure_layer(layer: Layer, engine: ExportEngine, threads: int) -> float:
    """Milliseconds that `layer` adds to a network on this device, at batch 1 in fp32.

    The lower decile of each graph's runs is taken: these are short, and what else the machine does only makes them
    longer.
    Raises: MissingExtraError without the engine's library.
    """
    once, several = (_runner(layer, engine, threads, copies) for copies in (1, 1 + COPIES))
    pairs = [_pair(once, several) for _ in range(WARM_UP)]
    runs = min(max(LEAST_PAIRS, int(SECONDS / (sum(pairs[-1]) + 1e-9))), MOST_PAIRS)
    times = np.array([_pair(once, several) for _ in range(runs)])
    low = np.quantile(times, 0.1, axis=0)
    # Noise can make the smallest layers come out negative; no layer takes no time at all.
    return max(1e3 * float(low[1] - low[0]) / COPIES, 1e-4)


def _pair(once: Callable[[], object], several: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one run of each."""
    start = time.perf_counter()
    once()
    middle = time.perf_counter()
    several()
    return middle - start, time.perf_counter() - middle


def _runner(layer: Layer, engine: ExportEngine, threads: int, copies: int) -> Callable[[], object]:
    with torch.device("meta"):  # weights are written once, and the caller's random state is left alone
        fan = _Fan(layer, copies).eval()
    randomise(fan.to_empty(device="cpu"))  # no two copies alike: equal ones would be computed once
    channels = layer.in_channels if fan.first is None else IMAGE_CHANNELS
    graph = onnx_graph(fuse_part(fan, layer.size), channels, fan.outputs)
    infer = graph_runner(graph.SerializeToString(), engine, threads, (channels, *layer.size))
    image = np.random.default_rng(0).standard_normal((1, channels, *layer.size), dtype=np.float32)
    return lambda: infer(image)


class _Fan(nn.Module):
    """Copies of a layer side by side on the same input; their averages over all pixels are summed.

    Side by side, because a layer that changes the shape could not follow itself.
    Shapes: (1, 3 or the stem's channels, H, W) -> (1, outputs).
    """

    def __init__(self, layer: Layer, copies: int) -> None:
        super().__init__()
        numerics = Numerics(padding=layer.padding)
        stands_first = isinstance(layer.part, Stem)
        self.first = (
            None if stands_first else ConvNorm(IMAGE_CHANNELS, layer.in_channels, act="relu", numerics=numerics)
        )
        self.copies = nn.ModuleList(_build(layer, numerics) for _ in range(copies))
        self.is_head = isinstance(layer.part, Head)
        self.outputs = layer.classes if isinstance(layer.part, Head) else layer.part.channels

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        x = x if self.first is None else self.first(x)
        answers = [copy(x) for copy in self.copies]
        if not self.is_head:
            answers = [each.mean((2, 3)) for each in answers]
        total = answers[0]
        for each in answers[1:]:
            total = total + each
        return total


def _build(layer: Layer, numerics: Numerics) -> nn.Module:
    match layer.part:
        case Stem():
            return build_stem(layer.part, layer.in_channels, numerics)
        case Block():
            return build_block(layer.part, layer.in_channels, numerics)
        case Head():
            return ClassifierHead(layer.part, layer.in_channels, layer.classes, numerics)
