"""efficientnet_pytorch's names, which efficientnet_lite_pytorch shares: blocks are counted through all stages.

Source: keys of efficientnet_pytorch 0.7.1 and efficientnet_lite_pytorch 0.1.0.
"""

from __future__ import annotations

from triscale.errors import WeightsError
from triscale.models.naming.walk import SQUEEZE, Pairs, blocks_of, convolution, squeeze
from triscale.spec.network import Network

LIBRARY = "efficientnet_pytorch"
PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def names(network: Network) -> Pairs:
    """(our layer, its) for every layer. Raises: WeightsError for a network that it has no names for."""
    yield from convolution("stem.0", "_conv_stem", "_bn0")
    for placed in blocks_of(network):
        if placed.block.kind != "mbconv":
            raise WeightsError(f"{LIBRARY} has no names for {placed.block.kind} blocks; use naming 'triscale'.")
        theirs = f"_blocks.{placed.number}"
        for part in placed.parts():
            if part == SQUEEZE:
                yield from squeeze(f"{placed.ours}.squeeze", f"{theirs}._se_reduce", f"{theirs}._se_expand")
            else:
                yield from convolution(f"{placed.ours}.{part}", *(f"{theirs}.{each}" for each in PARTS[part]))
    head = network.head
    if network.stem.pool or (head is not None and (head.channels is None or head.linear is not None)):
        raise WeightsError(f"{LIBRARY} has no names for this network's stem or head; use naming 'triscale'.")
    if head is not None:
        yield from convolution("head.conv", "_conv_head", "_bn1")
        yield "head.classifier", "_fc"
