"""The module of a `Pyramid`: maps of a backbone in, maps of equal width at every level out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from triscale.detection.layers import depthwise, initialise, resample
from triscale.models.layers import ConvNorm, activation
from triscale.spec.network import Numerics, Padding, Size, shrink
from triscale.spec.pyramid import Fusion, Node, Pyramid

EPSILON = 1e-4  # of fast fusion: EfficientDet, https://arxiv.org/abs/1911.09070, equation 3


class PyramidNet(nn.Module):
    """Makes the levels that the backbone has not, then applies every repeat.

    pyramid: what to build. channels: of the maps that feed it, finest first. numerics: of its BatchNorms and pools.
    redundant_bias: biases before BatchNorm.

    Shapes: [(B, channels[i], H / 2^level, W / 2^level)] -> the same with pyramid.channels, one for every level; sides
    are rounded up.
    """

    def __init__(self, pyramid: Pyramid, channels: Sequence[int], numerics: Numerics, redundant_bias: bool) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.padding = numerics.padding
        self.made = len(pyramid.level_numbers) - len(channels)  # levels coarser than the backbone's
        bias = redundant_bias
        project = self.made > 0 and channels[-1] != pyramid.channels
        self.extra = ConvNorm(channels[-1], pyramid.channels, numerics=numerics, bias=bias) if project else None
        reads = [*channels, *[pyramid.channels] * self.made]
        self.cells = nn.ModuleList()
        for _ in range(pyramid.repeats):
            self.cells.append(Cell(pyramid, reads, numerics, bias))
            reads = [pyramid.channels] * len(reads)

    def reset_parameters(self) -> None:
        """Initialise all weights anew; a node's inputs begin with equal weights."""
        for module in self.modules():
            initialise(module)
            if isinstance(module, PyramidNode) and module.weights is not None:
                nn.init.ones_(module.weights)

    def set_padding(self, padding: Padding) -> None:
        """Choose the padding of its pools."""
        self.padding = padding
        for module in self.modules():
            if isinstance(module, PyramidNode):
                module.padding = padding

    def forward(self, fed: Sequence[Tensor]) -> list[Tensor]:
        """Apply it; shapes as the class says."""
        maps = list(fed)
        for number in range(self.made):
            x = maps[-1]
            if number == 0 and self.extra is not None:
                x = self.extra(x)
            maps.append(resample(x, shrink((x.shape[-2], x.shape[-1]), 2), self.padding))
        for cell in self.cells:
            maps = cell(maps)
        return maps


class Cell(nn.Module):
    """One repeat of a pyramid.

    Shapes: [(B, channels[i], H_i, W_i)] -> [(B, pyramid.channels, H_i, W_i)], one for every level.
    """

    def __init__(self, pyramid: Pyramid, channels: Sequence[int], numerics: Numerics, bias: bool) -> None:
        super().__init__()
        self.outputs = pyramid.outputs
        self.places = tuple(node.level - pyramid.levels[0] for node in pyramid.nodes)
        known = list(channels)
        self.nodes = nn.ModuleList()
        for node in pyramid.nodes:
            self.nodes.append(PyramidNode(pyramid, node, [known[each] for each in node.inputs], numerics, bias))
            known.append(pyramid.channels)
        # Levels without a node pass, but all leave a pyramid equally wide.
        self.passes = nn.ModuleDict(
            {
                str(number): ConvNorm(width, pyramid.channels, numerics=numerics, bias=bias)
                for number, width in enumerate(channels)
                if number in self.outputs and width != pyramid.channels
            }
        )

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Apply it; shapes as the class says."""
        known = list(maps)
        for node, place in zip(self.nodes, self.places, strict=True):
            known.append(node(known, (maps[place].shape[-2], maps[place].shape[-1])))
        return [
            self.passes[str(each)](known[each]) if str(each) in self.passes else known[each] for each in self.outputs
        ]


class PyramidNode(nn.Module):
    """Inputs at the node's size and width -> combined -> activation -> convolution -> BatchNorm.

    Shapes: [(B, channels[i], any, any)] for the inputs -> (B, pyramid.channels, *size).
    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 3.3; attending: NAS-FPN, 1904.07392, figure 5.
    """

    def __init__(self, pyramid: Pyramid, node: Node, channels: Sequence[int], numerics: Numerics, bias: bool) -> None:
        super().__init__()
        width = pyramid.channels
        self.inputs, self.attends, self.padding = node.inputs, node.combine == "attend", numerics.padding
        self.fusion: Fusion = pyramid.fusion
        self.projections = nn.ModuleDict(
            {
                str(number): ConvNorm(read, width, numerics=numerics, bias=bias)
                for number, read in enumerate(channels)
                if read != width
            }
        )
        weighted = not self.attends and pyramid.fusion != "sum"
        self.weights = nn.Parameter(torch.ones(len(node.inputs))) if weighted else None
        self.act = activation(pyramid.activation) if node.convolve else None
        self.depthwise = depthwise(width, pyramid.separable, numerics) if node.convolve else None
        kernel = 1 if pyramid.separable else 3
        self.convolve = ConvNorm(width, width, kernel, numerics=numerics, bias=bias) if node.convolve else None

    def forward(self, known: Sequence[Tensor], size: Size) -> Tensor:
        """Apply it to those of the `known` maps that it reads; shapes as the class says."""
        reads = [self._read(number, known[each]) for number, each in enumerate(self.inputs)]
        x = self._attend(reads, size) if self.attends else self._fuse(reads, size)
        if self.convolve is None:
            return x
        if self.act is not None:
            # An activation works in place; what other nodes read too must stay.
            x = self.act(x.clone() if any(x is each for each in reads) else x)
        return self.convolve(x if self.depthwise is None else self.depthwise(x))

    def _read(self, number: int, x: Tensor) -> Tensor:
        projection = str(number)
        return self.projections[projection](x) if projection in self.projections else x

    def _attend(self, reads: Sequence[Tensor], size: Size) -> Tensor:
        first, second = (resample(x, size, self.padding) for x in reads)
        return torch.addcmul(second, second.mean((2, 3), keepdim=True).sigmoid(), first)

    def _fuse(self, reads: Sequence[Tensor], size: Size) -> Tensor:
        """The sum, weighted where there are weights.

        Nearest neighbours commute with a product: a map that grows is multiplied while it is small.
        """
        shares = self.shares()
        total = None
        for number, x in enumerate(reads):
            share = None if shares is None else shares[number]
            if share is not None and (total is None or x.shape[-2] < size[0]):
                x, share = x * share, None
            x = resample(x, size, self.padding)
            if total is None:
                total = x
            elif share is not None:
                total = total.addcmul_(x, share)
            else:
                # The first summand of a plain sum may be a map that others read.
                total = total.add_(x) if number > 1 or shares is not None else total + x
        assert total is not None  # a Node has an input
        return total

    def shares(self) -> Tensor | None:
        """(inputs,) What each input counts in the sum; None where it is a plain one."""
        if self.weights is None:
            return None
        if self.fusion == "softmax":
            return self.weights.softmax(0)
        weights = functional.relu(self.weights)
        return weights / (weights.sum() + EPSILON)
