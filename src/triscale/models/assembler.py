"""Network -> nn.Module: one assembler for every network."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from triscale.errors import SpecError
from triscale.models.blocks import build_block
from triscale.models.layers import ConvNorm, Convolution, DropConnect, MaxPool, Swish, activation
from triscale.models.model import Model
from triscale.spec.card import ModelCard
from triscale.spec.cost import cost
from triscale.spec.files import network_to_dict
from triscale.spec.network import Head, Network, Numerics, Size, Stem, as_size, shrink
from triscale.spec.preprocessing import Preprocessing


class ConvNet(Model):
    """The module of a `Network`: stem, stages, head.

    network: what to build. preprocessing: how its photographs are read (by default ImageNet's, at the network's
    resolution). card: what a person must know of its weights. device: where (by default PyTorch's default device);
    on "meta" nothing is allocated.

    Shapes: (B, network.in_channels, H, W), any H and W -> (B, network.classes); without a head the last feature map.
    Raises: SpecError when preprocessing makes other channels than the network reads.
    """

    def __init__(
        self,
        network: Network,
        preprocessing: Preprocessing | None = None,
        card: ModelCard | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.preprocessing = preprocessing or default_preprocessing(network)
        self.card = card or ModelCard()
        if self.preprocessing.channels != network.in_channels:
            raise SpecError(
                f"{network.name} reads {network.in_channels} channels, but its preprocessing makes "
                f"{self.preprocessing.channels}; give mean and std for {network.in_channels} channels."
            )
        device = torch.get_default_device() if device is None else torch.device(device)
        # Layers initialise themselves as they are made; on "meta" that is free, and the weights are written once.
        with torch.device("meta"):
            self.stem = build_stem(network.stem, network.in_channels, network.numerics)
            self.stages = _build_stages(network)
            self.head = _build_head(network)
        self._taps = {stage: stride for stride, stage in network.reductions().items()}
        self._fixed: Size | None = None
        if device.type != "meta":
            self.to_empty(device=device)
            self.reset_parameters()

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    @property
    def outputs(self) -> int:
        """The network's classes; 0 without a head."""
        return 0 if self.network.head is None else self.network.classes

    def costs(self, size: Size) -> tuple[int, int]:
        """(parameters, multiply-accumulates) for one image of `size` pixels (H, W), by arithmetic."""
        counted = cost(self.network, size)
        return counted.params, counted.macs

    def classifier(self) -> str:
        """Of the head."""
        if self.head is None:
            raise SpecError(f"{self.name} has no classifier; give its network a head.")
        return "head.classifier"

    def stages_in_order(self) -> list[tuple[str, nn.Module]]:
        """Stem, each stage, and the head where there is one."""
        stages = [(f"stages.{number}", stage) for number, stage in enumerate(self.stages)]
        return [("stem", self.stem), *stages, *([] if self.head is None else [("head", self.head)])]

    def description(self) -> dict[str, Any]:
        """The network, from which the layers can be made again."""
        return {"network": network_to_dict(self.network)}

    def reset_parameters(self) -> None:
        """Initialise all weights anew, from PyTorch's random state; see `initialise`."""
        for module in self.modules():
            initialise(module)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        self._check(x)
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x if self.head is None else self.head(x)

    def features(self, x: Tensor) -> dict[int, Tensor]:
        """The last feature map at each stride, e.g. {2: ..., 4: ..., 8: ..., 16: ..., 32: ...}, without the head.

        x: (B, in_channels, H, W).
        Returns: stride -> (B, channels, ceil(H / stride), ceil(W / stride)).
        """
        self._check(x)
        maps: dict[int, Tensor] = {}
        x = self.stem(x)
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number in self._taps:
                maps[self._taps[number]] = x
        return maps

    def fixed(self, size: int | Size | None) -> None:
        """Fold SAME padding into static pads for images of `size` pixels (H, W); None makes it dynamic again.

        The values do not change. Afterwards images of another size are refused, because they would be padded wrongly;
        a symmetric network pads every size alike, and goes on taking any.
        """
        current = None if size is None else as_size(size)
        self._fixed = current if self.network.numerics.padding == "same" else None

        parts = [(self.stem, self.network.stem.stride * (2 if self.network.stem.pool else 1))]
        parts += [(part, stage.stride) for part, stage in zip(self.stages, self.network.stages, strict=True)]
        for part, stride in parts:
            # Within the stem and within a stage, only convolutions that read its input have a stride.
            for module in part.modules():
                if isinstance(module, Convolution):
                    module.fix(current)
            current = None if current is None else shrink(current, stride)

    def set_numerics(self, numerics: Numerics) -> None:
        """Compute as `numerics` say, and write them into `network`; weights stay. Forgets a fixed size."""
        for module in self.modules():
            if isinstance(module, (Convolution, MaxPool)):
                module.set_padding(numerics.padding)
            elif isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = numerics.eps, numerics.momentum
        self.network = replace(self.network, numerics=numerics)
        self._fixed = None

    def regularise(self, dropout: float | None, drop_connect: float | None) -> tuple[str, ...]:
        """Other rates of dropout and drop connect, in modules and `network` alike; None leaves one as it is."""
        network = self.network
        if drop_connect is not None:
            network = replace(network, drop_connect=drop_connect)
        if dropout is not None and network.head is not None:
            network = replace(network, head=replace(network.head, dropout=dropout))
        if network != self.network:
            wanted = ConvNet(network, self.preprocessing, device="meta")
            for own, other in zip(self.modules(), wanted.modules(), strict=True):
                if isinstance(own, DropConnect) and isinstance(other, DropConnect):
                    own.rate = other.rate
                elif isinstance(own, nn.Dropout) and isinstance(other, nn.Dropout):
                    own.p = other.p
            self.network = network
        return ()

    def _check(self, x: Tensor) -> None:
        if self._fixed is not None and tuple(x.shape[-2:]) != self._fixed:
            raise SpecError(
                f"{self.network.name} was fixed to images of {self._fixed[0]}x{self._fixed[1]} pixels, "
                f"got {x.shape[-2]}x{x.shape[-1]}; call fixed(None) to take any size."
            )


class ClassifierHead(nn.Module):
    """[1x1 convolution] -> average over all pixels -> [linear, activation] -> dropout -> classifier.

    Shapes: (B, in_channels, H, W) -> (B, classes).
    """

    def __init__(self, head: Head, in_channels: int, classes: int, numerics: Numerics) -> None:
        super().__init__()
        act, channels = head.activation, head.channels or in_channels
        self.conv = None if head.channels is None else ConvNorm(in_channels, channels, act=act, numerics=numerics)
        self.linear = None if head.linear is None else nn.Linear(channels, head.linear)
        self.act = None if head.linear is None else activation(act)
        self.dropout = nn.Dropout(head.dropout)
        self.classifier = nn.Linear(head.linear or channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        if self.conv is not None:
            x = self.conv(x)
        x = x.mean((2, 3))
        if self.linear is not None:
            x = self.linear(x)
            x = x if self.act is None else self.act(x)
        return self.classifier(self.dropout(x))


def build_stem(stem: Stem, in_channels: int, numerics: Numerics) -> nn.Module:
    """The module of `stem`, reading `in_channels`."""
    conv = ConvNorm(
        in_channels, stem.channels, stem.kernel, stem.stride, act=stem.activation, bias=stem.bias, numerics=numerics
    )
    return nn.Sequential(conv, MaxPool(numerics.padding)) if stem.pool else nn.Sequential(conv)


def _build_stages(network: Network) -> nn.ModuleList:
    stages: list[list[nn.Module]] = [[] for _ in network.stages]
    total = sum(len(stage.blocks) for stage in network.stages)
    for number, placed in enumerate(network.placed_blocks()):
        rate = network.drop_connect * number / total
        stages[placed.stage].append(build_block(placed.block, placed.in_channels, network.numerics, rate))
    return nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)


def _build_head(network: Network) -> ClassifierHead | None:
    if network.head is None:
        return None
    return ClassifierHead(network.head, network.stages[-1].channels, network.classes, network.numerics)


def initialise(module: nn.Module) -> None:
    """Give one layer (not its children) fresh weights.

    Convolutions: normal, std sqrt(2 / (kernel x kernel x out_channels / groups)). Linear layers: uniform in
    +-1 / sqrt(inputs), so that logits begin as large for two classes as for 20,000; the source has outputs for inputs,
    which was made for 1,000 classes and lets a fine-tune of ten spend its first epochs on shrinking them. Biases 0,
    BatchNorm 1, 0 and empty statistics, Swish beta 1.
    Source: tensorflow/tpu efficientnet_model.py.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.in_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.BatchNorm2d, Swish)):
        module.reset_parameters()


def default_preprocessing(network: Network) -> Preprocessing:
    """ImageNet's mean and deviation, at the network's resolution; averaged over colours for other channel counts."""
    return for_channels(Preprocessing(size=network.resolution), network.in_channels)


def for_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """The same preprocessing for images of another number of channels: each has the average mean and deviation."""
    if preprocessing.channels == channels:
        return preprocessing
    mean, std = (sum(each) / len(each) for each in (preprocessing.mean, preprocessing.std))
    return replace(preprocessing, mean=(mean,) * channels, std=(std,) * channels)
