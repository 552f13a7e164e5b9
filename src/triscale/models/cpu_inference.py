"""What a CPU answers faster by other means than PyTorch's own choice: the same numbers, to the last digits of a sum."""

from __future__ import annotations

import torch
from torch import Tensor

from triscale.models.cpu_training import ONEDNN, Pair

FEWEST = 2_000_000  # multiply-accumulates from which oneDNN's preparations pay


def pointwise_by_onednn(input: Tensor, weight: Tensor) -> bool:
    """Whether `pointwise_conv2d` is worth it: a large 1x1 convolution without gradients, on one thread of an x86 CPU.

    With one thread and a small batch PyTorch takes BLAS for it, which on AMD processors has half the speed of oneDNN;
    with several threads it takes oneDNN itself.
    """
    return (
        ONEDNN
        and not torch.compiler.is_compiling()
        and not torch.is_grad_enabled()
        and weight.shape[2] == weight.shape[3] == 1
        and weight.shape[1] == input.shape[1]
        and input.numel() * weight.shape[0] >= FEWEST
        and torch.get_num_threads() == 1
        and type(input) is Tensor
        and input.device.type == "cpu"
        and input.dtype == weight.dtype == torch.float32
        and input.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
    )


def pointwise_conv2d(input: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair) -> Tensor:
    """`functional.conv2d` of a 1x1 convolution without padding or groups.

    input: (B, C, H, W). weight: (channels, C, 1, 1). Returns: (B, channels, H', W').
    """
    return torch.ops.aten.mkldnn_convolution(input, weight, bias, (0, 0), stride, (1, 1), 1)
