"""The layers that every block is made of: activations, padded convolutions, squeeze-excite, drop connect."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from triscale.models.cpu_inference import pointwise_by_onednn, pointwise_conv2d
from triscale.models.cpu_training import depthwise_conv2d, norm_silu, pixel_mean, recomputes, splits_kernel
from triscale.spec.block import Activation
from triscale.spec.network import Numerics, Padding, Size


class Swish(nn.Module):
    """x * sigmoid(beta * x), with a trainable beta that starts at 1 (where it is SiLU).

    Shapes: any -> the same. At beta = 0 it is x / 2; as beta grows it becomes ReLU.
    Source: https://arxiv.org/abs/1710.05941, section 3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin at beta = 1."""
        nn.init.ones_(self.beta)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return x * torch.sigmoid(self.beta * x)


def activation(name: Activation) -> nn.Module | None:
    """A new module for the activation of that name, working in place; None for the identity."""
    match name:
        case "silu":
            return nn.SiLU(inplace=True)
        case "swish":
            return Swish()
        case "relu":
            return nn.ReLU(inplace=True)
        case "relu6":
            return nn.ReLU6(inplace=True)
        case "hardswish":
            return nn.Hardswish(inplace=True)
        case "sigmoid":
            return nn.Sigmoid()
        case "hardsigmoid":
            return nn.Hardsigmoid(inplace=True)
        case "identity":
            return None


def same_padding(pixels: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) on one axis so that ceil(pixels / stride) windows fit, as TensorFlow pads: the odd one after."""
    total = max((-(-pixels // stride) - 1) * stride + kernel - pixels, 0)
    return total // 2, total - total // 2


class Convolution(nn.Conv2d):
    """nn.Conv2d without dilation whose padding is "same" or "symmetric" by name, for any input size.

    At stride 1 both are kernel // 2 on every side. At a larger stride "same" may need one pixel more after than
    before. PyTorch's kernels only know equal padding, and a padded copy of the input is slow; so the weight gets one
    leading row or column of zeros instead, which moves its window by one pixel. Exported graphs pad the input, which
    runtimes fold into their convolutions.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride)).
    Source: tensorflow.org/api_docs/python/tf/nn#notes_on_padding_2, checked against two ports in the tests.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        bias: bool = False,
        padding: Padding = "symmetric",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.set_padding(padding)

    def set_padding(self, padding: Padding) -> None:
        """Choose the padding; forgets a fixed size."""
        self.same = padding == "same" and self.stride != (1, 1)
        self.pads: tuple[int, int, int, int] | None = None

    def fix(self, size: Size | None) -> None:
        """Work the padding out once, for inputs of `size` (H, W); None makes it depend on the input again."""
        self.pads = None if size is None or not self.same else self.pads_for(*size)

    def pads_for(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(left, right, top, bottom) for an input of this size."""
        kernel, stride = self.kernel_size, self.stride
        return *same_padding(width, kernel[1], stride[1]), *same_padding(height, kernel[0], stride[0])

    def forward(self, input: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        weight, padding = self.weight, (self.kernel_size[0] // 2, self.kernel_size[1] // 2)
        if not self.same:
            if self.bias is None and splits_kernel(input, weight):
                return depthwise_conv2d(input, weight, self.stride, padding)
            if pointwise_by_onednn(input, weight):
                return pointwise_conv2d(input, weight, self.bias, self.stride)
            return super().forward(input)
        pads = self.pads or self.pads_for(input.shape[-2], input.shape[-1])
        left, right, top, bottom = pads
        padding = (bottom, right)
        if left != right or top != bottom:
            if torch.compiler.is_exporting():
                input, padding = functional.pad(input, pads), (0, 0)
            else:
                weight = functional.pad(weight, (right - left, 0, bottom - top, 0))
        if self.bias is None and splits_kernel(input, weight):
            return depthwise_conv2d(input, weight, self.stride, padding)
        return functional.conv2d(input, weight, self.bias, self.stride, padding, 1, self.groups)

    def extra_repr(self) -> str:
        """nn.Conv2d's line, with the padding by name."""
        return super().extra_repr() + (f", same={self.pads or True}" if self.same else "")


class MaxPool(nn.Module):
    """ResNet's 3x3 max-pool of stride 2, padded "same" or "symmetric" with what can never be the maximum.

    Shapes: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.same = padding == "same"

    def set_padding(self, padding: Padding) -> None:
        """Choose the padding."""
        self.same = padding == "same"

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        if not self.same:
            return functional.max_pool2d(x, 3, 2, 1)
        pads = *same_padding(x.shape[-1], 3, 2), *same_padding(x.shape[-2], 3, 2)
        return functional.max_pool2d(functional.pad(x, pads, value=-torch.inf), 3, 2)


class ConvNorm(nn.Module):
    """Convolution -> BatchNorm -> activation (in place; None where there is none).

    Shapes: (B, in_channels, H, W) -> (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        numerics: Numerics,
        act: Activation = "identity",
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.conv = Convolution(
            in_channels, out_channels, kernel, stride, groups=groups, bias=bias, padding=numerics.padding
        )
        self.norm = nn.BatchNorm2d(out_channels, numerics.eps, numerics.momentum)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        x = self.conv(x)
        if recomputes(x, self.norm, self.act):
            return norm_silu(x, self.norm)
        x = self.norm(x)
        return x if self.act is None else self.act(x)


class SqueezeExcite(nn.Module):
    """Average over all pixels -> 1x1 down -> activation -> 1x1 up -> gate; scales every channel by its gate.

    Shapes: (B, channels, H, W) -> the same; without gradients its input is overwritten.
    Source: https://arxiv.org/abs/1709.01507, fig. 2.
    """

    def __init__(self, channels: int, squeezed: int, act: Activation, gate: Activation) -> None:
        super().__init__()
        self.reduce = Convolution(channels, squeezed, bias=True)
        self.act = activation(act)
        self.expand = Convolution(squeezed, channels, bias=True)
        self.gate = activation(gate)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        scale = self.reduce(pixel_mean(x))
        scale = self.expand(scale if self.act is None else self.act(scale))
        scale = scale if self.gate is None else self.gate(scale)
        # The activation before it may have kept its output for the backward pass: then it must not change.
        return x * scale if torch.is_grad_enabled() else x.mul_(scale)


class DropConnect(nn.Module):
    """In training, zeroes whole samples with probability `rate` and divides the others by what is left of 1.

    Shapes: (B, ...) -> the same.
    Source: https://arxiv.org/abs/1603.09382; per sample as in tensorflow/tpu efficientnet utils.py.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        """The rate."""
        return f"rate={self.rate:.4g}"
