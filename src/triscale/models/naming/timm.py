"""timm's names, of its EfficientNets, MobileNets and MnasNets, and of its ResNets. Source: keys of timm 1.0.31."""

from __future__ import annotations

from triscale.errors import WeightsError
from triscale.models.naming.walk import SQUEEZE, Pairs, Placed, blocks_of, convolution, is_resnet, refused, squeeze
from triscale.spec.network import Network

# Its convolutions of a block in order, by kind and by whether the block expands
CONVOLUTIONS = {
    ("mbconv", True): ("conv_pw", "conv_dw", "conv_pwl"),
    ("mbconv", False): ("conv_dw", "conv_pw"),
    ("fused", True): ("conv_exp", "conv_pwl"),
    ("fused", False): ("conv",),
    ("separable", True): ("conv_dw", "conv_pw"),
    ("separable", False): ("conv_dw", "conv_pw"),
}


def names(network: Network) -> Pairs:
    """(our layer, timm's) for every layer. Raises: WeightsError for a network that timm has no names for."""
    if is_resnet(network):
        yield from resnet(network, "timm")
        return
    yield from convolution("stem.0", "conv_stem", "bn1")
    for placed in blocks_of(network):
        yield from _block(placed)
    if network.stem.pool:
        raise refused("timm", network)
    yield from _head(network)


def _block(placed: Placed) -> Pairs:
    kind = (placed.block.kind, placed.block.expands())
    if kind not in CONVOLUTIONS:
        raise WeightsError(f"timm has no names for {placed.block.kind} blocks; use naming 'triscale'.")
    theirs, convolutions, norms = f"blocks.{placed.stage}.{placed.index}", iter(CONVOLUTIONS[kind]), 0
    for part in placed.parts():
        if part == SQUEEZE:
            yield from squeeze(f"{placed.ours}.squeeze", f"{theirs}.se.conv_reduce", f"{theirs}.se.conv_expand")
        else:
            norms += 1
            yield from convolution(f"{placed.ours}.{part}", f"{theirs}.{next(convolutions)}", f"{theirs}.bn{norms}")


def _head(network: Network) -> Pairs:
    head = network.head
    if head is None:
        return
    if head.linear is not None and head.channels is not None:
        # MobileNetV3: timm counts the last convolution as a stage, and calls the pooled linear layer conv_head.
        last = f"blocks.{len(network.stages)}.0"
        yield from convolution("head.conv", f"{last}.conv", f"{last}.bn1")
        yield "head.linear", "conv_head"
    elif head.linear is not None:
        raise refused("timm", network)
    elif head.channels is not None:
        yield from convolution("head.conv", "conv_head", "bn2")
    yield "head.classifier", "classifier"


def resnet(network: Network, library: str) -> Pairs:
    """The names that timm and torchvision share; only timm's have squeeze-excite."""
    yield from convolution("stem.0", "conv1", "bn1")
    for placed in blocks_of(network):
        ours, theirs = placed.ours, f"layer{placed.stage + 1}.{placed.index}"
        for number, part in enumerate(placed.parts(), start=1):
            yield from convolution(f"{ours}.{part}", f"{theirs}.conv{number}", f"{theirs}.bn{number}")
        if placed.block.squeeze is not None:
            if library != "timm":
                raise refused(library, network)
            yield from squeeze(f"{ours}.sum.squeeze", f"{theirs}.se.fc1", f"{theirs}.se.fc2")
        if placed.block.projects_residual(placed.in_channels):
            yield from convolution(f"{ours}.sum.shortcut", f"{theirs}.downsample.0", f"{theirs}.downsample.1")
    if network.head is not None:
        yield "head.classifier", "fc"
