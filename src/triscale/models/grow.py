"""`grow`: a wider and deeper network that computes the same function as the trained one it starts from.

Every channel of the larger network repeats one of the smaller. What is added to one another shares one map of channels,
so a map follows the residuals from block to block. Repeated channels carry the same values through BatchNorm,
activations, depthwise convolutions and gates; whoever reads them splits its weight among them in unequal shares.

Source: Net2Net, https://arxiv.org/abs/1511.05641, sections 2.2 and 2.3; a BatchNorm of zero before a sum as in
https://arxiv.org/abs/1706.02677, section 5.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from triscale.errors import SpecError, WeightsError
from triscale.models.assembler import ClassifierHead, ConvNet
from triscale.models.blocks import Basic, Bottleneck, FusedMBConv, MBConv, Separable
from triscale.models.layers import ConvNorm, SqueezeExcite, Swish
from triscale.spec.card import ModelCard
from triscale.spec.growth import require_growable, same_operator
from triscale.spec.network import Network, PlacedBlock

LEAST, MOST = 0.5, 1.5  # of an equal share, before the shares of one channel are made to sum to one
REACH = 3.0  # deviations from a channel's mean that its values are taken to reach
# What an activation passes on; below and above it is flat, and a channel that never leaves there cannot learn.
PASSES: dict[type[nn.Module], tuple[float, float]] = {
    nn.ReLU: (0.0, math.inf),
    nn.ReLU6: (0.0, 6.0),
    nn.Hardswish: (-3.0, math.inf),
    nn.Hardsigmoid: (-3.0, 3.0),
}


@dataclass(frozen=True, slots=True)
class Replicas:
    """Which channel of the smaller network each channel of the larger one repeats.

    source: (channels,), indices into the smaller network's `count` channels; each of them occurs.
    """

    source: Tensor
    count: int

    def __len__(self) -> int:
        return len(self.source)

    @staticmethod
    def draw(count: int, channels: int, alive: Tensor | None = None) -> Replicas:
        """First all channels in their order, then others at random, none of them twice before all were taken.

        alive: (count,), bool: which may be repeated; all without it, and where none is.
        """
        living = torch.arange(count) if alive is None or not alive.any() else alive.nonzero().flatten()
        rounds = -(-(channels - count) // len(living))
        drawn = [torch.arange(count), *(living[torch.randperm(len(living))] for _ in range(rounds))]
        return Replicas(torch.cat(drawn)[:channels], count)

    def shares(self, rows: int) -> Tensor:
        """(rows, channels), float64: what each row reads of each replica, above 0; 1 over the replicas of a channel.

        Shares differ from row to row: with one share for all, replicas would receive gradients that are multiples of
        each other, and AdamW, which divides by their size, would hardly part them.
        """
        drawn = torch.rand(rows, len(self), dtype=torch.float64) * (MOST - LEAST) + LEAST
        total = torch.zeros(rows, self.count, dtype=torch.float64).index_add_(1, self.source, drawn)
        return drawn / total[:, self.source]


@torch.no_grad()
def grow(model: ConvNet, network: Network) -> ConvNet:
    """A model of `network` that gives the same answers as `model`, and can learn more.

    model: stays as it is. network: as wide and deep in every stage as the model's, or more, of the same operators. Its
        resolution, dropout and drop connect hold; its numerics are replaced by those of the model's weights.
    Added depth is a copy of a stage's last block (a fresh block, where that changes the shape) that adds nothing until
    it is trained. Which channels are repeated, and the shares, come from PyTorch's random state, as fresh weights do.
    Returns: the grown model on the same device, in evaluation mode; equal up to rounding, also in training mode with
        dropout and drop connect off. Where there is no head, the first channels of the last map are the model's.
    Raises: SpecError naming the first stage that prevents it, or for what is no Network; WeightsError for a model
        without a Network or without weights.
    Source: see the module.
    """
    if not isinstance(model, ConvNet):
        raise WeightsError(
            f"grow starts from a model of triscale (create_model, load), got {type(model).__name__}; "
            f"load its weights into one with load_weights first."
        )
    if not isinstance(network, Network):
        found = repr(network) if isinstance(network, str) else type(network).__name__
        raise SpecError(f'grow needs the Network to grow to, such as network("efficientnet_b1"), got {found:.80}.')
    first = next(model.parameters())
    if first.is_meta:
        raise WeightsError(f"{model.network.name} is on the meta device and has no weights to grow from.")
    require_growable(model.network, network)
    network = replace(network, numerics=model.network.numerics)
    large = ConvNet(
        network, replace(model.preprocessing, size=network.resolution, train_size=None), device=first.device
    )
    large.to(first.dtype)
    large.card = _card(model, network)
    with torch.device("cpu"):  # whatever PyTorch's default device is
        _fill(model, large)
    return large.eval()


def _fill(model: ConvNet, large: ConvNet) -> None:
    """Give the larger model its weights, from the first layer to the last."""
    stream = Replicas.draw(model.network.stem.channels, large.network.stem.channels)
    images = Replicas.draw(large.network.in_channels, large.network.in_channels)
    _layer(_first(model.stem), _first(large.stem), images, stream)
    stream = _stages(model, large, stream)
    if model.head is not None and large.head is not None:
        _head(model.head, large.head, stream)


def _card(model: ConvNet, network: Network) -> ModelCard:
    """The card of the source, saying that it was grown; figures hold at the size where they were measured."""
    card = model.card
    grown = f"grown from {model.network.name} to {network.name}"
    same_size = model.preprocessing.size == network.resolution
    return replace(
        card,
        notes=f"{card.notes}; {grown}" if card.notes else grown,
        metrics=card.metrics if same_size else {},
        temperature=card.temperature if same_size else None,
    )


def _stages(model: ConvNet, large: ConvNet, stream: Replicas) -> Replicas:
    """Fill all stages of the larger network. Returns: the map of what leaves the last one."""
    sources = {(each.stage, each.index): each for each in model.network.placed_blocks()}
    last: PlacedBlock | None = None
    for placed in large.network.placed_blocks():
        block = _module(large, placed)
        source = sources.get((placed.stage, placed.index))
        if source is not None:
            inputs, last = stream, source
            if not placed.block.has_residual(placed.in_channels):
                stream = Replicas.draw(source.block.channels, placed.block.channels)
            _block(_module(model, source), block, inputs, stream)
            continue
        assert last is not None  # a stage has at least one block
        if same_operator(last, placed):
            _block(_module(model, last), block, stream, stream)
        norm = _last_norm(block)
        nn.init.zeros_(norm.weight)
        nn.init.zeros_(norm.bias)
    return stream


def _module(model: ConvNet, placed: PlacedBlock) -> nn.Module:
    return cast(nn.Sequential, model.stages[placed.stage])[placed.index]


def _first(stem: nn.Module) -> ConvNorm:
    return cast(ConvNorm, cast(nn.Sequential, stem)[0])


def _block(small: nn.Module, large: nn.Module, inputs: Replicas, outputs: Replicas) -> None:
    """Fill one block of the larger network from one of the smaller with the same operators."""
    match small, large:
        case MBConv(), MBConv():
            hidden = inputs
            if small.expand is not None and large.expand is not None:
                hidden = _between(small.expand, large.expand, small.depthwise)
                _layer(small.expand, large.expand, inputs, hidden)
            _layer(small.depthwise, large.depthwise, None, hidden)
            _squeeze(small.squeeze, large.squeeze, hidden)
            _layer(small.project, large.project, hidden, outputs)
        case FusedMBConv(), FusedMBConv():
            hidden = outputs if small.project is None else _between(small.expand, large.expand)
            _layer(small.expand, large.expand, inputs, hidden)
            _squeeze(small.squeeze, large.squeeze, hidden)
            if small.project is not None and large.project is not None:
                _layer(small.project, large.project, hidden, outputs)
        case Separable(), Separable():
            _layer(small.depthwise, large.depthwise, None, inputs)
            _squeeze(small.squeeze, large.squeeze, inputs)
            _layer(small.pointwise, large.pointwise, inputs, outputs)
        case Bottleneck(), Bottleneck():
            reduced, convolved = _between(small.reduce, large.reduce), _between(small.convolve, large.convolve)
            _layer(small.reduce, large.reduce, inputs, reduced)
            _layer(small.convolve, large.convolve, reduced, convolved)
            _layer(small.restore, large.restore, convolved, outputs)
            _shortcut(small, large, inputs, outputs)
        case Basic(), Basic():
            hidden = _between(small.first, large.first)
            _layer(small.first, large.first, inputs, hidden)
            _layer(small.second, large.second, hidden, outputs)
            _shortcut(small, large, inputs, outputs)
        case _:  # ShuffleNetV2's units, which only pass where nothing grows
            large.load_state_dict(small.state_dict())


def _last_norm(block: nn.Module) -> nn.BatchNorm2d:
    """The BatchNorm before a block's sum."""
    match block:
        case MBConv():
            return block.project.norm
        case FusedMBConv():
            return (block.project or block.expand).norm
        case Bottleneck():
            return block.restore.norm
        case Basic():
            return block.second.norm
    raise AssertionError(f"{type(block).__name__} has no sum")  # spec/growth.py refuses to add such a block


def _between(small: ConvNorm, large: ConvNorm, *others: ConvNorm) -> Replicas:
    """A new map for the channels that two layers make, which nothing outside their block sees.

    others: further layers of the smaller block that these channels pass. A published network has channels that are dead
    (their filters have decayed to nothing, or ReLU never lets them through): no gradient reaches them, so that replicas
    of them would never part and never learn.
    """
    alive = _alive(small)
    for each in others:
        alive &= _alive(each)
    return Replicas.draw(small.conv.out_channels, large.conv.out_channels, alive.cpu())


def _alive(layer: ConvNorm) -> Tensor:
    """(channels,), bool: whose values, as the statistics tell, vary where the activation is not flat."""
    norm = layer.norm
    lowest, highest = PASSES.get(type(layer.act), (-math.inf, math.inf))
    if norm.running_mean is None or norm.running_var is None:
        return torch.ones_like(norm.bias, dtype=torch.bool)
    reach = REACH * norm.weight.abs() * (norm.running_var / (norm.running_var + norm.eps)).sqrt()
    return (reach > 0) & (norm.bias + reach > lowest) & (norm.bias - reach < highest)


def _layer(small: ConvNorm, large: ConvNorm, inputs: Replicas | None, outputs: Replicas) -> None:
    """Convolution, BatchNorm and activation; without `inputs` the convolution is depthwise."""
    _weights(small.conv, large.conv, inputs, outputs)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _repeat(getattr(small.norm, name), getattr(large.norm, name), outputs)
    if small.norm.num_batches_tracked is not None and large.norm.num_batches_tracked is not None:
        large.norm.num_batches_tracked.copy_(small.norm.num_batches_tracked)
    _activation(small.act, large.act)


def _weights(
    small: nn.Conv2d | nn.Linear, large: nn.Conv2d | nn.Linear, inputs: Replicas | None, outputs: Replicas | None
) -> None:
    """Rows are repeated as `outputs` say (None: as they are), columns are split among replicas as `inputs` say."""
    weight = small.weight.double().cpu()
    if outputs is not None:
        weight = weight[outputs.source]
    if inputs is not None:
        shares = inputs.shares(len(weight))
        weight = weight[:, inputs.source] * shares.reshape(*shares.shape, *[1] * (weight.ndim - 2))
    large.weight.copy_(weight)
    if small.bias is not None and large.bias is not None:
        _repeat(small.bias, large.bias, outputs)


def _repeat(small: Tensor, large: Tensor, outputs: Replicas | None) -> None:
    large.copy_(small if outputs is None else small[outputs.source.to(small.device)])


def _activation(small: nn.Module | None, large: nn.Module | None) -> None:
    if isinstance(small, Swish) and isinstance(large, Swish):
        large.beta.copy_(small.beta)


def _squeeze(small: SqueezeExcite | None, large: SqueezeExcite | None, channels: Replicas) -> None:
    if small is None or large is None:
        return
    squeezed = Replicas.draw(small.reduce.out_channels, large.reduce.out_channels)
    _weights(small.reduce, large.reduce, channels, squeezed)
    _activation(small.act, large.act)
    _weights(small.expand, large.expand, squeezed, channels)
    _activation(small.gate, large.gate)


def _shortcut(small: Bottleneck | Basic, large: Bottleneck | Basic, inputs: Replicas, outputs: Replicas) -> None:
    """What ResNet's blocks do behind their last convolution."""
    _squeeze(small.sum.squeeze, large.sum.squeeze, outputs)
    if small.sum.shortcut is not None and large.sum.shortcut is not None:
        _layer(small.sum.shortcut, large.sum.shortcut, inputs, outputs)
    _activation(small.sum.act, large.sum.act)


def _head(small: ClassifierHead, large: ClassifierHead, stream: Replicas) -> None:
    if small.conv is not None and large.conv is not None:
        made = _between(small.conv, large.conv)
        _layer(small.conv, large.conv, stream, made)
        stream = made
    if small.linear is not None and large.linear is not None:
        made = Replicas.draw(small.linear.out_features, large.linear.out_features)
        _weights(small.linear, large.linear, stream, made)
        _activation(small.act, large.act)
        stream = made
    _weights(small.classifier, large.classifier, stream, None)
