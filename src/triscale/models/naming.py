"""What other libraries call the tensors of a network: maps made by walking the network, one row for each layer.

"triscale" is our own naming, "timm" timm's (its tf_ and native models alike), "efficientnet_pytorch" lukemelas' and
that of efficientnet_lite_pytorch, "torchvision" torchvision's EfficientNets.
Source: keys of timm 1.0.31, efficientnet_pytorch 0.7.1, efficientnet_lite_pytorch 0.1.0 and torchvision 0.28.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from triscale.errors import WeightsError
from triscale.spec.block import Block
from triscale.spec.network import Network

Naming = Literal["triscale", "timm", "efficientnet_pytorch", "torchvision"]
NAMINGS: tuple[Naming, ...] = get_args(Naming)


class Part(NamedTuple):
    """One step of a block: our attribute, timm's convolution, efficientnet_pytorch's convolution and BatchNorm."""

    ours: str
    timm: str
    lukemelas: str | None = None
    lukemelas_norm: str | None = None


SQUEEZE = Part("squeeze", "se", "_se")

MBCONV = (
    Part("expand", "conv_pw", "_expand_conv", "_bn0"),
    Part("depthwise", "conv_dw", "_depthwise_conv", "_bn1"),
    SQUEEZE,
    Part("project", "conv_pwl", "_project_conv", "_bn2"),
)
MBCONV_WITHOUT_EXPANSION = (*MBCONV[1:3], Part("project", "conv_pw", "_project_conv", "_bn2"))
FUSED = (Part("expand", "conv_exp"), SQUEEZE, Part("project", "conv_pwl"))
FUSED_WITHOUT_EXPANSION = (Part("expand", "conv"),)
SEPARABLE = (Part("depthwise", "conv_dw"), SQUEEZE, Part("pointwise", "conv_pw"))


def layer_names(network: Network, naming: Naming) -> dict[str, str]:
    """Our name of each layer with weights -> its name in another naming, e.g. "stem.0.conv" -> "conv_stem".

    Raises: WeightsError when that library has no such network, so that its names are not known.
    """
    walks = {"timm": _timm, "efficientnet_pytorch": _lukemelas, "torchvision": _torchvision}
    if naming not in walks:
        raise WeightsError(f"{naming!r} is no known naming; expected one of {', '.join(NAMINGS)}.")
    return dict(walks[naming](network))


def knows(naming: Naming, network: Network) -> bool:
    """Whether `naming` has names for every layer of `network`."""
    if naming == "triscale":
        return True
    try:
        layer_names(network, naming)
    except WeightsError:
        return False
    return True


def _parts(block: Block, naming: Naming) -> tuple[Part, ...]:
    parts: tuple[Part, ...] | None = None
    if block.kind == "mbconv":
        parts = MBCONV if block.expands() else MBCONV_WITHOUT_EXPANSION
    elif block.kind == "fused" and naming != "efficientnet_pytorch":
        parts = FUSED if block.expands() else FUSED_WITHOUT_EXPANSION
    elif block.kind == "separable" and naming == "timm":
        parts = SEPARABLE
    if parts is None:
        raise WeightsError(f"{naming} has no names for {block.kind} blocks; use naming 'triscale'.")
    return tuple(part for part in parts if part is not SQUEEZE or block.squeeze is not None)


def _blocks(network: Network) -> Iterator[tuple[str, int, int, int, Block]]:
    """(our prefix, stage, index in the stage, index in all, block)."""
    for number, placed in enumerate(network.placed_blocks()):
        yield f"stages.{placed.stage}.{placed.index}", placed.stage, placed.index, number, placed.block


def _timm(network: Network) -> Iterator[tuple[str, str]]:
    yield from (("stem.0.conv", "conv_stem"), ("stem.0.norm", "bn1"))
    for ours, stage, index, _, block in _blocks(network):
        theirs, norms = f"blocks.{stage}.{index}", 0
        for part in _parts(block, "timm"):
            if part is SQUEEZE:
                yield f"{ours}.squeeze.reduce", f"{theirs}.se.conv_reduce"
                yield f"{ours}.squeeze.expand", f"{theirs}.se.conv_expand"
            else:
                norms += 1
                yield f"{ours}.{part.ours}.conv", f"{theirs}.{part.timm}"
                yield f"{ours}.{part.ours}.norm", f"{theirs}.bn{norms}"
    head = network.head
    if head is not None and head.linear is not None:
        # MobileNetV3: timm counts the last convolution as a stage, and calls the pooled linear layer conv_head.
        last = f"blocks.{len(network.stages)}.0"
        yield from (("head.conv.conv", f"{last}.conv"), ("head.conv.norm", f"{last}.bn1"), ("head.linear", "conv_head"))
    elif head is not None and head.channels is not None:
        yield from (("head.conv.conv", "conv_head"), ("head.conv.norm", "bn2"))
    if head is not None:
        yield "head.classifier", "classifier"


def _lukemelas(network: Network) -> Iterator[tuple[str, str]]:
    naming: Naming = "efficientnet_pytorch"
    yield from (("stem.0.conv", "_conv_stem"), ("stem.0.norm", "_bn0"))
    for ours, _, _, number, block in _blocks(network):
        for part in _parts(block, naming):
            if part is SQUEEZE:
                yield f"{ours}.squeeze.reduce", f"_blocks.{number}._se_reduce"
                yield f"{ours}.squeeze.expand", f"_blocks.{number}._se_expand"
            else:
                yield f"{ours}.{part.ours}.conv", f"_blocks.{number}.{part.lukemelas}"
                yield f"{ours}.{part.ours}.norm", f"_blocks.{number}.{part.lukemelas_norm}"
    _require_plain_head(network, naming)
    yield from (("head.conv.conv", "_conv_head"), ("head.conv.norm", "_bn1"), ("head.classifier", "_fc"))


def _torchvision(network: Network) -> Iterator[tuple[str, str]]:
    yield from (("stem.0.conv", "features.0.0"), ("stem.0.norm", "features.0.1"))
    for ours, stage, index, _, block in _blocks(network):
        theirs = f"features.{stage + 1}.{index}.block"
        for number, part in enumerate(_parts(block, "torchvision")):
            if part is SQUEEZE:
                yield f"{ours}.squeeze.reduce", f"{theirs}.{number}.fc1"
                yield f"{ours}.squeeze.expand", f"{theirs}.{number}.fc2"
            else:
                yield f"{ours}.{part.ours}.conv", f"{theirs}.{number}.0"
                yield f"{ours}.{part.ours}.norm", f"{theirs}.{number}.1"
    _require_plain_head(network, "torchvision")
    last = f"features.{len(network.stages) + 1}"
    yield from (("head.conv.conv", f"{last}.0"), ("head.conv.norm", f"{last}.1"), ("head.classifier", "classifier.1"))


def _require_plain_head(network: Network, naming: Naming) -> None:
    head = network.head
    if head is None or head.channels is None or head.linear is not None or network.stem.pool:
        raise WeightsError(f"{naming} has no names for this network's stem or head; use naming 'triscale'.")
