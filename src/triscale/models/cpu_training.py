"""Passes of training that a CPU does faster, or in less memory, than PyTorch's own: the same numbers by other means.

They stand in for a convolution and for BatchNorm with its activation while gradients are recorded on a CPU in float32.
Everywhere else (inference, GPUs, autocast, export) the plain layers run; torch.compile takes the convolution alone.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, ...]  # of height and width

# Other processors have other kernels, for which none of this was measured.
ONEDNN = torch.backends.mkldnn.is_available() and platform.machine() in ("x86_64", "AMD64")
WIDEST = 3  # columns of a depthwise kernel up to which oneDNN has a depthwise kernel for the weight's gradient
_convolution_backward = torch.ops.aten.convolution_backward.default


def splits_kernel(input: Tensor, weight: Tensor) -> bool:
    """Whether `depthwise_conv2d` is worth it: a depthwise kernel that is wide, or higher than the map, and whose
    gradient is wanted on an x86 CPU."""
    return (
        _recorded(input, compiled=True)
        and weight.shape[1] == 1
        and (weight.shape[3] > WIDEST or weight.shape[2] > input.shape[2])
        and weight.shape[0] == input.shape[1]
        and weight.requires_grad
        and ONEDNN
    )


def depthwise_conv2d(input: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """`functional.conv2d` of a depthwise convolution without bias, whose weight's gradient is taken in parts.

    For a kernel wider than three columns oneDNN takes the gradient as if the convolution were dense, which costs up to
    twenty times as much. Here it is taken for at most three columns at a time, on an input that is shifted by padding.
    So it does, up to fifty times as slowly, for a kernel higher than the map: there rows are padded beforehand too.
    input: (B, C, H, W). weight: (C, 1, height, width). Returns: (B, C, H', W').
    """
    return _Depthwise.apply(input, weight, stride, padding)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(input, weight, None, stride, padding, 1, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (gradient,), (input, weight) = gradients, ctx.saved_tensors
        wanted_input, wanted_weight = ctx.needs_input_grad[:2]
        return (
            _input_gradient(gradient, input, weight, ctx.stride, ctx.padding) if wanted_input else None,
            _weight_gradient(gradient, input, weight, ctx.stride, ctx.padding) if wanted_weight else None,
            None,
            None,
        )


def _input_gradient(gradient: Tensor, input: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    channels = weight.shape[0]
    around = (weight.shape[2] - 1 - padding[0], weight.shape[3] - 1 - padding[1])
    if stride == (1, 1) and min(around) >= 0:  # the convolution of the gradient with the kernel turned about
        return functional.conv2d(gradient, weight.flip(2, 3), None, 1, around, 1, channels)
    only_input = (True, False, False)
    return _convolution_backward(
        gradient, input, weight, None, stride, padding, (1, 1), False, (0, 0), channels, only_input
    )[0]


def _weight_gradient(gradient: Tensor, input: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    channels, height, width = weight.shape[0], *weight.shape[2:]
    only_weight = (False, True, False)
    top = padding[0]
    if height > input.shape[2]:
        below = (gradient.shape[2] - 1) * stride[0] + height - top - input.shape[2]
        input, top = functional.pad(input, (0, 0, top, below)), 0
    parts = []
    for column in range(0, width, WIDEST):
        part = weight[..., column : column + WIDEST]
        left = padding[1] - column
        read = (gradient.shape[3] - 1) * stride[1] + part.shape[3]  # columns, from `left` before the map's first on
        if not -input.shape[3] < left < read:  # these see padding alone
            parts.append(torch.zeros_like(part))
            continue
        right = read - left - input.shape[3]
        shifted = functional.pad(input, (left, right))  # cuts off where it is negative
        parts.append(
            _convolution_backward(
                gradient, shifted, part, None, stride, (top, 0), (1, 1), False, (0, 0), channels, only_weight
            )[1]
        )
    return torch.cat(parts, 3)


def recomputes(input: Tensor, norm: nn.Module, act: nn.Module | None) -> bool:
    """Whether `norm_silu` can stand in for these two modules: nobody watches them, and BatchNorm sees its batch."""
    return (
        _recorded(input)
        and type(act) is nn.SiLU
        and type(norm) is nn.BatchNorm2d
        and norm.training
        and norm.weight is not None
        and norm.running_mean is not None
        and norm.momentum is not None
        and not (norm._forward_hooks or norm._forward_pre_hooks or norm._backward_hooks)
        and not (act._forward_hooks or act._forward_pre_hooks or act._backward_hooks)
        and input.shape[0] * input.shape[2] * input.shape[3] > 1
    )


def norm_silu(input: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """SiLU of BatchNorm in training, whose backward pass makes the normalised values again instead of keeping them.

    Between two convolutions that leaves two maps for the backward pass instead of three. Updates running statistics.
    Shapes: (B, C, H, W) -> the same.
    """
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    return _NormSilu.apply(input, norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.momentum, norm.eps)


class _NormSilu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, momentum: float, eps: float
    ) -> Tensor:
        out, batch_mean, inverse_std = torch.native_batch_norm(input, weight, bias, mean, var, True, momentum, eps)
        ctx.save_for_backward(input, weight, bias, batch_mean, inverse_std)
        ctx.eps = eps
        return functional.silu(out, inplace=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (input, weight, bias, mean, inverse_std) = gradients, ctx.saved_tensors
        wanted = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # this pass is to be differentiated too
            out = functional.silu(functional.batch_norm(input, None, None, weight, bias, True, 0.0, ctx.eps))
            chosen = [each for each, is_wanted in zip((input, weight, bias), wanted, strict=True) if is_wanted]
            made = iter(torch.autograd.grad(out, chosen, gradient, create_graph=True))
            return *(next(made) if is_wanted else None for is_wanted in wanted), None, None, None, None
        factor = weight * inverse_std
        normalised = torch.addcmul((bias - mean * factor)[:, None, None], input, factor[:, None, None])
        torch.ops.aten.silu_backward.grad_input(gradient, normalised, grad_input=normalised)
        found = torch.ops.aten.native_batch_norm_backward(
            normalised, input, weight, None, None, mean, inverse_std, True, ctx.eps, wanted
        )
        return *found, None, None, None, None


def pixel_mean(x: Tensor) -> Tensor:
    """`x.mean((2, 3), keepdim=True)`, whose gradient is divided before it is spread over all pixels."""
    return _PixelMean.apply(x) if _recorded(x) else x.mean((2, 3), keepdim=True)


class _PixelMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return x.mean((2, 3), keepdim=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return (gradients[0] / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)


def _recorded(x: Tensor, compiled: bool = False) -> bool:
    """Whether a pass over `x` is one of training on a CPU, in float32, run as it is written and not traced.

    compiled: torch.compile may do it too, which fuses what lies between convolutions by itself.
    """
    return (
        type(x) is Tensor
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and torch.is_grad_enabled()
        and not (torch.compiler.is_exporting() if compiled else torch.compiler.is_compiling())
        and not torch.is_autocast_enabled("cpu")
    )
