"""The blocks of a network as modules: one class for each kind, and `build_block`, which chooses.

No block changes its input, so feature maps may be kept while later blocks run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triscale.models.layers import ConvNorm, DropConnect, SqueezeExcite, activation
from triscale.spec.block import Block
from triscale.spec.network import Numerics


def build_block(block: Block, in_channels: int, numerics: Numerics, drop_rate: float = 0.0) -> nn.Module:
    """The module of `block`, reading `in_channels`; `drop_rate` is its drop connect in training."""
    match block.kind:
        case "mbconv":
            return MBConv(block, in_channels, numerics, drop_rate)
        case "fused":
            return FusedMBConv(block, in_channels, numerics, drop_rate)
        case "separable":
            return Separable(block, in_channels, numerics)
        case "bottleneck":
            return Bottleneck(block, in_channels, numerics, drop_rate)
        case "basic":
            return Basic(block, in_channels, numerics, drop_rate)
        case "shuffle" | "xception":
            return ShuffleUnit(block, in_channels, numerics)


def _squeeze(block: Block, in_channels: int, channels: int) -> SqueezeExcite | None:
    """The squeeze-excite of `block` over `channels`, where it has one."""
    if block.squeeze is None:
        return None
    inner = block.squeeze.activation or block.activation
    return SqueezeExcite(channels, block.squeeze_channels(in_channels), inner, block.squeeze.gate)


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 expand, depthwise kernel x kernel, squeeze-excite, 1x1 project without activation.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: MobileNetV2, https://arxiv.org/abs/1801.04381, fig. 3b; squeeze-excite as in MnasNet, 1807.11626.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics, drop_rate: float) -> None:
        super().__init__()
        hidden, act = block.hidden_channels(in_channels), block.activation
        self.expand = ConvNorm(in_channels, hidden, act=act, numerics=numerics) if block.expands() else None
        self.depthwise = ConvNorm(hidden, hidden, block.kernel, block.stride, groups=hidden, act=act, numerics=numerics)
        self.squeeze = _squeeze(block, in_channels, hidden)
        self.project = ConvNorm(hidden, block.channels, numerics=numerics)
        self.drop = DropConnect(drop_rate) if block.has_residual(in_channels) else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        y = x if self.expand is None else self.expand(x)
        y = self.depthwise(y)
        if self.squeeze is not None:
            y = self.squeeze(y)
        y = self.project(y)
        return y if self.drop is None else self.drop(y).add_(x)


class FusedMBConv(nn.Module):
    """kernel x kernel expand, squeeze-excite, 1x1 project; without an expansion one convolution and its activation.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: EfficientNetV2, https://arxiv.org/abs/2104.00298, fig. 2.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics, drop_rate: float) -> None:
        super().__init__()
        expands, act = block.expands(), block.activation
        hidden = block.hidden_channels(in_channels) if expands else block.channels
        self.expand = ConvNorm(in_channels, hidden, block.kernel, block.stride, act=act, numerics=numerics)
        self.squeeze = _squeeze(block, in_channels, hidden)
        self.project = ConvNorm(hidden, block.channels, numerics=numerics) if expands else None
        self.drop = DropConnect(drop_rate) if block.has_residual(in_channels) else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        y = self.expand(x)
        if self.squeeze is not None:
            y = self.squeeze(y)
        if self.project is not None:
            y = self.project(y)
        # Without a projection y is an activation's output, which its backward pass may need.
        return y if self.drop is None else self.drop(y) + x


class Separable(nn.Module):
    """Depthwise kernel x kernel, squeeze-excite where asked for, 1x1; both convolutions with an activation.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: MobileNetV1, https://arxiv.org/abs/1704.04861, fig. 3.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics) -> None:
        super().__init__()
        act = block.activation
        self.depthwise = ConvNorm(
            in_channels, in_channels, block.kernel, block.stride, groups=in_channels, act=act, numerics=numerics
        )
        self.squeeze = _squeeze(block, in_channels, in_channels)
        self.pointwise = ConvNorm(in_channels, block.channels, act=act, numerics=numerics)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        y = self.depthwise(x)
        if self.squeeze is not None:
            y = self.squeeze(y)
        return self.pointwise(y)


class _Shortcut(nn.Module):
    """What ResNet's two blocks share: squeeze-excite, the sum with the (projected) input, and the activation after it.

    Source: https://arxiv.org/abs/1512.03385, section 3.3, option B.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics, drop_rate: float) -> None:
        super().__init__()
        self.squeeze = _squeeze(block, in_channels, block.channels)
        self.shortcut = (
            ConvNorm(in_channels, block.channels, stride=block.stride, numerics=numerics)
            if block.projects_residual(in_channels)
            else None
        )
        self.drop = DropConnect(drop_rate) if block.skip else None
        self.act = activation(block.activation)

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        if self.squeeze is not None:
            y = self.squeeze(y)
        if self.drop is not None:
            y = self.drop(y).add_(x if self.shortcut is None else self.shortcut(x))
        return y if self.act is None else self.act(y)


class Bottleneck(nn.Module):
    """1x1 reduce, kernel x kernel (with the stride), 1x1 restore; sum, then activation.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: https://arxiv.org/abs/1512.03385, fig. 5 right; the stride on the middle convolution, as in torchvision.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics, drop_rate: float) -> None:
        super().__init__()
        hidden, act = block.hidden_channels(in_channels), block.activation
        self.reduce = ConvNorm(in_channels, hidden, act=act, numerics=numerics)
        self.convolve = ConvNorm(hidden, hidden, block.kernel, block.stride, act=act, numerics=numerics)
        self.restore = ConvNorm(hidden, block.channels, numerics=numerics)
        self.sum = _Shortcut(block, in_channels, numerics, drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return self.sum(self.restore(self.convolve(self.reduce(x))), x)


class Basic(nn.Module):
    """Two kernel x kernel convolutions (the first with the stride); sum, then activation.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: https://arxiv.org/abs/1512.03385, fig. 5 left.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics, drop_rate: float) -> None:
        super().__init__()
        hidden, act, kernel = block.hidden_channels(in_channels), block.activation, block.kernel
        self.first = ConvNorm(in_channels, hidden, kernel, block.stride, act=act, numerics=numerics)
        self.second = ConvNorm(hidden, block.channels, kernel, numerics=numerics)
        self.sum = _Shortcut(block, in_channels, numerics, drop_rate)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return self.sum(self.second(self.first(x)), x)


class ShuffleUnit(nn.Module):
    """The units of ShuffleNetV2 as DetNAS searches them ("shuffle", and "xception" with three separable convolutions).

    At stride 1 the even channels pass by and the odd ones are worked on; at a stride a second branch makes as many
    channels as came in, and the main one the rest. The two halves are concatenated.

    Shapes: (B, in_channels, H, W) -> (B, block.channels, ceil(H / stride), ceil(W / stride)).
    Source: https://arxiv.org/abs/1807.11164, fig. 3; https://arxiv.org/abs/1903.10979, section 3.2.
    """

    def __init__(self, block: Block, in_channels: int, numerics: Numerics) -> None:
        super().__init__()
        act, middle = block.activation, block.hidden_channels(in_channels)
        self.passes = block.stride == 1
        source = in_channels // 2 if self.passes else in_channels
        made = block.channels - (in_channels - in_channels // 2 if self.passes else in_channels)
        self.branch = None if self.passes else self._separable(block, source, source, block.stride, numerics)
        if block.kind == "shuffle":
            self.main = nn.Sequential(
                ConvNorm(source, middle, act=act, numerics=numerics),
                ConvNorm(middle, middle, block.kernel, block.stride, groups=middle, numerics=numerics),
                ConvNorm(middle, made, act=act, numerics=numerics),
            )
        else:
            self.main = nn.Sequential(
                *self._separable(block, source, middle, block.stride, numerics),
                *self._separable(block, middle, middle, 1, numerics),
                *self._separable(block, middle, made, 1, numerics),
            )

    @staticmethod
    def _separable(block: Block, inputs: int, outputs: int, stride: int, numerics: Numerics) -> nn.Sequential:
        return nn.Sequential(
            ConvNorm(inputs, inputs, block.kernel, stride, groups=inputs, numerics=numerics),
            ConvNorm(inputs, outputs, act=block.activation, numerics=numerics),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        if self.branch is None:
            return torch.cat((x[:, 0::2], self.main(x[:, 1::2])), 1)
        return torch.cat((self.branch(x), self.main(x)), 1)
