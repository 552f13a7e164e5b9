"""A detector for inference: every BatchNorm folded into the convolution before it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from triscale.detection.detector import DetectorNet
from triscale.detection.heads import HeadLayer
from triscale.models.fold import folded
from triscale.models.layers import ConvNorm, Convolution


class FoldedHeadLayer(nn.Module):
    """A head's layer with a convolution for each level, into which that level's BatchNorm is folded.

    Shapes: (B, channels, H, W) -> the same.
    """

    def __init__(self, layer: HeadLayer) -> None:
        super().__init__()
        self.depthwise, self.act = layer.depthwise, layer.act
        self.convs = nn.ModuleList(fold_convolution(layer.conv, norm) for norm in layer.norms)

    def forward(self, x: Tensor, level: int) -> Tensor:
        """Apply it to the map of a level, counted from the finest; shapes as the class says."""
        x = self.convs[level](x if self.depthwise is None else self.depthwise(x))
        return x if self.act is None else self.act(x)


def fold(model: DetectorNet) -> DetectorNet:
    """A copy of `model` in eval mode without BatchNorms, to 1e-5 (relative) the same function.

    It is only run, and neither saved nor loaded: Google's biases before BatchNorm have vanished in it. The model stays
    as it is.
    """
    made = copy.deepcopy(model).eval().requires_grad_(False)
    for module in list(made.modules()):
        if isinstance(module, ConvNorm):
            module.conv = fold_convolution(module.conv, module.norm)
            module.add_module("norm", nn.Identity())
    for head in (made.class_head, made.box_head):
        head.layers = nn.ModuleList(FoldedHeadLayer(layer) for layer in head.layers if isinstance(layer, HeadLayer))
    return made


def fold_convolution(conv: Convolution, norm: nn.Module) -> Convolution:
    """A convolution that does what `conv` and then `norm` do in eval mode."""
    weight, bias = folded(conv, norm)
    with torch.device("meta"):
        made = Convolution(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size[0],
            conv.stride[0],
            groups=conv.groups,
            bias=bias is not None,
        )
    made.same, made.pads = conv.same, conv.pads
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made
