"""BatchNorm folded into the convolution before it: one operation for inference, with the same answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def folded(conv: nn.Conv2d, norm: nn.Module | None) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of a convolution that does what `conv` and then `norm`, in eval mode, do; worked out in float64.

    norm: a BatchNorm; anything else is nothing. Both are left as they are.
    """
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if not isinstance(norm, nn.BatchNorm2d):
        return weight.clone(), None if bias is None else bias.clone()
    assert norm.running_mean is not None and norm.running_var is not None  # every BatchNorm here keeps them
    mean, variance, scale, shift = (
        t.detach().double() for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    scale = scale / torch.sqrt(variance + norm.eps)
    start = -mean if bias is None else bias.double() - mean
    scaled = weight.double() * scale[:, None, None, None]
    return scaled.to(weight.dtype), (shift + start * scale).to(weight.dtype)
