"""What pyramids and heads have beyond a network's own layers: separable convolution, resampling, fresh weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from triscale.models.layers import Convolution, Swish, same_padding
from triscale.spec.network import Numerics, Padding, Size

NOISE = 0.3  # of the variance-scaled random weights, in a layer that begins by passing its input on


def depthwise(channels: int, separable: bool, numerics: Numerics) -> Convolution | None:
    """The 3x3 depthwise half of a separable convolution; None where the convolution is a full one."""
    if not separable:
        return None
    return Convolution(channels, channels, 3, groups=channels, padding=numerics.padding)


def resample(x: Tensor, size: Size, padding: Padding) -> Tensor:
    """A map at another size (H, W): nearest neighbour where it grows, max-pooling where it shrinks; else itself.

    Pooling has stride ceil(side / wanted side) and a kernel larger by one pixel, on each axis for itself. "same" pads
    as TensorFlow does; "symmetric" alike on both sides, which only even strides can have.
    Shapes: (B, C, H', W') -> (B, C, *size).
    Source: google/automl efficientdet_arch.py; effdet 0.4.1, ResampleFeatureMap.
    """
    height, width = x.shape[-2:]
    if (height, width) == size:
        return x
    if height < size[0] or width < size[1]:
        return functional.interpolate(x, size)
    strides = -(-height // size[0]), -(-width // size[1])
    kernels = tuple(1 if stride == 1 else stride + 1 for stride in strides)
    if padding == "symmetric" and all(stride == 1 or stride % 2 == 0 for stride in strides):
        return functional.max_pool2d(x, kernels, strides, tuple(kernel // 2 for kernel in kernels))
    before = tuple(same_padding(*each)[0] for each in zip((height, width), kernels, strides, strict=True))
    # The last window may reach one pixel over the edge on that side alone, which is what rounding up allows.
    return functional.max_pool2d(x, kernels, strides, before, ceil_mode=True)


def by_pixel(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H x W, C), without a copy where channels lie last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def initialise(module: nn.Module) -> None:
    """Give one layer (not its children) fresh weights: normal with variance 1 / inputs, biases 0, BatchNorm anew.

    A convolution with as many outputs as inputs begins by passing its input on, with a share `NOISE` of that beside it.
    What a trained backbone knows of a class would otherwise be lost on the way through a dozen random layers.
    Source: google/automl efficientdet_arch.py, whose heads are initialised so but for passing on: that is from
        DiracNets, https://arxiv.org/abs/1706.00388, section 3.
    """
    if isinstance(module, nn.Conv2d):
        fan_in = math.prod(module.kernel_size) * module.in_channels // module.groups
        nn.init.normal_(module.weight, std=1 / math.sqrt(fan_in))
        if module.in_channels == module.out_channels:
            noise = module.weight.detach().clone()
            nn.init.dirac_(module.weight, module.groups)
            with torch.no_grad():
                module.weight.add_(noise, alpha=NOISE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, Swish)):
        module.reset_parameters()
