"""torchvision's names: five ways of numbering layers, one for each of its files; a network's parts tell which.

Source: keys and BatchNorms of torchvision 0.28.0.
"""

from __future__ import annotations

from typing import Literal

from triscale.models.naming.timm import resnet
from triscale.models.naming.walk import SQUEEZE, Pairs, blocks_of, convolution, is_resnet, refused, squeeze
from triscale.spec.network import Network, Numerics
from triscale.spec.owners import TORCHVISION, TORCHVISION_MNASNET, TORCHVISION_MOBILE, TORCHVISION_V2

Layout = Literal["efficientnet", "mobilenet_v2", "mobilenet_v3", "mnasnet", "resnet"]
B5_BLOCKS = 39  # from B5 up torchvision's EfficientNets have Google's eps and momentum


def names(network: Network) -> Pairs:
    """(our layer, torchvision's) for every layer. Raises: WeightsError for a network that it has no names for."""
    walks = {
        "efficientnet": _efficientnet,
        "mobilenet_v2": _mobilenet_v2,
        "mobilenet_v3": _mobilenet_v3,
        "mnasnet": _mnasnet,
        "resnet": lambda own: resnet(own, "torchvision"),
    }
    layout = _layout(network)
    if layout is None:
        raise refused("torchvision", network)
    yield from walks[layout](network)


def numerics(network: Network) -> Numerics:
    """What torchvision's weights of that network were trained to be computed with."""
    layout, blocks = _layout(network), [block for stage in network.stages for block in stage.blocks]
    if layout == "mobilenet_v3":
        return TORCHVISION_MOBILE
    if layout == "mnasnet":
        return TORCHVISION_MNASNET
    if layout == "efficientnet" and any(block.kind == "fused" for block in blocks):
        return TORCHVISION_V2
    return TORCHVISION_MOBILE if layout == "efficientnet" and len(blocks) >= B5_BLOCKS else TORCHVISION


def version(network: Network) -> int | None:
    """What a state dict must say of its version beside the tensors, so that torchvision takes it; None for nothing.

    MnasNet's layers had other widths before version 2.
    """
    return 2 if _layout(network) == "mnasnet" else None


def _layout(network: Network) -> Layout | None:
    """Which of torchvision's files a network could be from; None for one that it has no file for."""
    if is_resnet(network):
        return "resnet"
    head, blocks = network.head, [block for stage in network.stages for block in stage.blocks]
    kinds, acts = {block.kind for block in blocks}, {block.activation for block in blocks}
    if network.stem.pool or network.stem.bias or (head is not None and head.channels is None):
        return None
    if kinds <= {"mbconv", "fused"} and acts <= {"silu", "swish"} and (head is None or head.linear is None):
        return "efficientnet"
    if kinds != {"mbconv"}:
        return None
    if network.stem.activation == "hardswish" and (head is None or head.linear is not None):
        return "mobilenet_v3"
    if (head is not None and head.linear is not None) or any(block.squeeze is not None for block in blocks):
        return None
    if acts == {"relu6"} and all(block.kernel == 3 for block in blocks):
        return "mobilenet_v2"
    first, others = network.stages[0].blocks, [block for stage in network.stages[1:] for block in stage.blocks]
    separable = len(first) == 1 and not first[0].expands() and all(block.expands() for block in others)
    return "mnasnet" if acts == {"relu"} and separable else None


def _efficientnet(network: Network) -> Pairs:
    yield from convolution("stem.0", "features.0.0", "features.0.1")
    for placed in blocks_of(network):
        yield from _numbered(placed.ours, placed.parts(), f"features.{placed.stage + 1}.{placed.index}.block")
    yield from _last(network, f"features.{len(network.stages) + 1}")


def _mobilenet_v3(network: Network) -> Pairs:
    yield from convolution("stem.0", "features.0.0", "features.0.1")
    count = 0
    for placed in blocks_of(network):
        count = placed.number + 1
        yield from _numbered(placed.ours, placed.parts(), f"features.{count}.block")
    if network.head is not None:
        yield from convolution("head.conv", f"features.{count + 1}.0", f"features.{count + 1}.1")
        yield from (("head.linear", "classifier.0"), ("head.classifier", "classifier.3"))


def _numbered(ours: str, parts: tuple[str, ...], theirs: str) -> Pairs:
    """A block whose parts are numbered, squeeze-excite too."""
    for number, part in enumerate(parts):
        if part == SQUEEZE:
            yield from squeeze(f"{ours}.squeeze", f"{theirs}.{number}.fc1", f"{theirs}.{number}.fc2")
        else:
            yield from convolution(f"{ours}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1")


def _mobilenet_v2(network: Network) -> Pairs:
    yield from convolution("stem.0", "features.0.0", "features.0.1")
    count = 0
    for placed in blocks_of(network):
        count = placed.number + 1
        theirs, (*first, _) = f"features.{count}.conv", placed.parts()
        for number, part in enumerate(first):
            yield from convolution(f"{placed.ours}.{part}", f"{theirs}.{number}.0", f"{theirs}.{number}.1")
        # The projection has no activation, so that torchvision puts its two layers into the row itself.
        yield from convolution(f"{placed.ours}.project", f"{theirs}.{len(first)}", f"{theirs}.{len(first) + 1}")
    yield from _last(network, f"features.{count + 1}")


def _mnasnet(network: Network) -> Pairs:
    """Activations are counted too: convolution, BatchNorm and activation are three numbers."""
    yield from convolution("stem.0", "layers.0", "layers.1")
    for placed in blocks_of(network):
        theirs, start = (f"layers.{7 + placed.stage}.{placed.index}.layers", 0) if placed.stage else ("layers", 3)
        for number, part in enumerate(placed.parts()):
            place = start + 3 * number
            yield from convolution(f"{placed.ours}.{part}", f"{theirs}.{place}", f"{theirs}.{place + 1}")
    last = 7 + len(network.stages)
    if network.head is not None:
        yield from convolution("head.conv", f"layers.{last}", f"layers.{last + 1}")
        yield "head.classifier", "classifier.1"


def _last(network: Network, theirs: str) -> Pairs:
    if network.head is not None:
        yield from convolution("head.conv", f"{theirs}.0", f"{theirs}.1")
        yield "head.classifier", "classifier.1"
