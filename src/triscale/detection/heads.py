"""The head of a detector, for classes or for boxes: convolutions shared by all levels, BatchNorms of their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triscale.detection.layers import by_pixel, depthwise, initialise
from triscale.models.cpu_training import norm_silu, recomputes
from triscale.models.layers import Convolution, activation
from triscale.spec.detector import Heads
from triscale.spec.network import Numerics


class HeadNet(nn.Module):
    """Answers at every pixel of every level.

    heads: what to build. channels: of the maps. levels: how many there are. outputs: numbers at one pixel.
    bias: of its answers when fresh. numerics: of its BatchNorms. redundant_bias: biases before them.

    Shapes: [(B, channels, H_i, W_i)] for the levels -> (B, sum of H_i x W_i, outputs): by level, row and column.
    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 4; BatchNorms: google/automl efficientdet_arch.py.
    """

    def __init__(
        self,
        heads: Heads,
        channels: int,
        levels: int,
        outputs: int,
        bias: float,
        numerics: Numerics,
        redundant_bias: bool,
    ) -> None:
        super().__init__()
        self.bias = bias
        self.layers = nn.ModuleList(
            HeadLayer(heads, channels, levels, numerics, redundant_bias) for _ in range(heads.repeats)
        )
        self.depthwise = depthwise(channels, heads.separable, numerics)
        kernel = 1 if heads.separable else 3
        self.final = Convolution(channels, outputs, kernel, bias=True, padding=numerics.padding)

    def reset_parameters(self) -> None:
        """Initialise all weights anew; see the class for the bias.

        Convolutions: normal, std 1 / sqrt(inputs of one output).
        Source: google/automl efficientdet_arch.py (variance scaling, fan in).
        """
        for module in self.modules():
            initialise(module)
        assert self.final.bias is not None
        nn.init.constant_(self.final.bias, self.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Apply it; shapes as the class says."""
        seen = []
        for level, x in enumerate(maps):
            for layer in self.layers:
                x = layer(x, level)
            seen.append(by_pixel(self.final(x) if self.depthwise is None else self.depthwise(x)))
        if self.depthwise is None:
            return torch.cat(seen, 1)
        # A convolution of single pixels does not care where they stand: one product for all levels, whose answers then
        # lie in order without being copied there.
        return by_pixel(self.final(torch.cat(seen, 1).transpose(1, 2).unsqueeze(2)))


class HeadLayer(nn.Module):
    """Convolution -> the level's BatchNorm -> activation.

    Shapes: (B, channels, H, W) -> the same.
    """

    def __init__(self, heads: Heads, channels: int, levels: int, numerics: Numerics, redundant_bias: bool) -> None:
        super().__init__()
        self.depthwise = depthwise(channels, heads.separable, numerics)
        kernel = 1 if heads.separable else 3
        self.conv = Convolution(channels, channels, kernel, bias=redundant_bias, padding=numerics.padding)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, numerics.eps, numerics.momentum) for _ in range(levels))
        self.act = activation(heads.activation)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Apply it to the map of a level, counted from the finest; shapes as the class says."""
        x = self.conv(x if self.depthwise is None else self.depthwise(x))
        norm = self.norms[level]
        if isinstance(norm, nn.BatchNorm2d) and recomputes(x, norm, self.act):
            return norm_silu(x, norm)
        x = norm(x)
        return x if self.act is None else self.act(x)
