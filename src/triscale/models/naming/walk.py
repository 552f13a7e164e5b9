"""What the namings of all libraries are made from: the layers of a network in order, by our names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from triscale.errors import WeightsError
from triscale.spec.block import Block
from triscale.spec.network import Network

Pairs = Iterator[tuple[str, str]]  # (our layer, theirs)
SQUEEZE = "squeeze"

MBCONV = ("expand", "depthwise", SQUEEZE, "project")
PARTS = {
    "mbconv": MBCONV,
    "fused": ("expand", SQUEEZE, "project"),
    "separable": ("depthwise", SQUEEZE, "pointwise"),
    "bottleneck": ("reduce", "convolve", "restore"),
    "basic": ("first", "second"),
}


class Placed(NamedTuple):
    """A block with our prefix of its layers, its stage, its index there and in all, and the channels that reach it."""

    ours: str
    stage: int
    index: int
    number: int
    block: Block
    in_channels: int

    def parts(self) -> tuple[str, ...]:
        """Our attributes of its convolutions in order, "squeeze" where squeeze-excite stands."""
        block, has = self.block, PARTS[self.block.kind]
        if block.kind in ("mbconv", "fused") and not block.expands():
            has = ("expand",) if block.kind == "fused" else MBCONV[1:]
        return tuple(part for part in has if part != SQUEEZE or block.squeeze is not None)


def blocks_of(network: Network) -> Iterator[Placed]:
    """Every block in order."""
    for number, (stage, index, block, in_channels) in enumerate(network.placed_blocks()):
        yield Placed(f"stages.{stage}.{index}", stage, index, number, block, in_channels)


def convolution(ours: str, conv: str, norm: str) -> Pairs:
    """The two pairs of a convolution with its BatchNorm."""
    yield from ((f"{ours}.conv", conv), (f"{ours}.norm", norm))


def squeeze(ours: str, reduce: str, expand: str) -> Pairs:
    """The two pairs of a squeeze-excite."""
    yield from ((f"{ours}.reduce", reduce), (f"{ours}.expand", expand))


def is_resnet(network: Network) -> bool:
    """Whether it is put together as ResNets are: a stem with a pool, blocks with a sum, no convolution in the head."""
    blocks = [block for stage in network.stages for block in stage.blocks]
    summed = all(block.kind in ("basic", "bottleneck") and block.skip for block in blocks)
    return summed and network.stem.pool and (network.head is None or _plain(network.head.channels, network.head.linear))


def _plain(channels: int | None, linear: int | None) -> bool:
    return channels is None and linear is None


def refused(library: str, network: Network) -> WeightsError:
    """What is raised for a network that a library does not have."""
    return WeightsError(f"{library} has no names for {network.name}, which is none of its networks; use 'triscale'.")


def require_no_bias(library: str, network: Network) -> None:
    """Raise WeightsError for a stem that another library would not have."""
    if network.stem.bias:
        raise refused(library, network)
