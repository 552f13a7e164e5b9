"""Network: stem, stages and head as frozen data. Everything else in triscale is a function of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from triscale.errors import SpecError
from triscale.spec.block import Activation, Block
from triscale.spec.rounding import Rounding, round_repeats

Size = tuple[int, int]
Padding = Literal["same", "symmetric"]
HeadScaling = Literal["full", "fixed", "grow"]


@dataclass(frozen=True, slots=True)
class Numerics:
    """What makes the same weights give the same answers.

    padding: "same" pads as TensorFlow does, the odd pixel after; "symmetric" the same number on both sides.
    eps, momentum: of every BatchNorm, in PyTorch's sense (momentum = 1 - TensorFlow's).
    Source: facts on the owners' libraries in tests/golden.
    """

    padding: Padding = "symmetric"
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        if self.padding not in ("same", "symmetric"):
            raise SpecError(f'Numerics.padding must be "same" or "symmetric", got {self.padding!r}.')
        if self.eps <= 0 or not 0 < self.momentum <= 1:
            raise SpecError(f"Numerics needs eps > 0 and momentum in 0..1, got {self}.")


SYMMETRIC = Numerics()
V1_ROUNDING = Rounding()


@dataclass(frozen=True, slots=True)
class Stem:
    """The first convolution (with BatchNorm and activation), and ResNet's 3x3 stride-2 max-pool where `pool` is set.

    bias: a bias before the BatchNorm, which DetNAS' released networks keep.
    """

    channels: int = 32
    kernel: int = 3
    stride: int = 2
    activation: Activation = "silu"
    pool: bool = False
    bias: bool = False
    scaled: bool = True

    def __post_init__(self) -> None:
        if self.channels < 1 or self.stride < 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise SpecError(f"Stem needs channels and stride >= 1 and an odd kernel, got {self}.")


@dataclass(frozen=True, slots=True)
class Head:
    """What stands behind the last stage: [1x1 convolution] -> average pool -> [linear] -> dropout -> classifier.

    channels: of the 1x1 convolution (with BatchNorm and activation); None where there is none (ResNet).
    linear: width of MobileNetV3's linear layer behind the pool (with bias and activation, no BatchNorm).
    scaling: "full" scales both with width, "fixed" neither (Lite), "grow" never below their base (MobileNetV2).
    """

    channels: int | None = 1280
    activation: Activation = "silu"
    linear: int | None = None
    dropout: float = 0.2
    scaling: HeadScaling = "full"

    def __post_init__(self) -> None:
        if any(c is not None and c < 1 for c in (self.channels, self.linear)):
            raise SpecError(f"Head.channels and linear must be at least 1, got {self.channels} and {self.linear}.")
        if not 0 <= self.dropout < 1:
            raise SpecError(f"Head.dropout must be in 0..1, got {self.dropout}.")
        if self.scaling not in ("full", "fixed", "grow"):
            raise SpecError(f'Head.scaling must be "full", "fixed" or "grow", got {self.scaling!r}.')


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Blocks that share an output width and a resolution: only the first may have a stride.

    deepen: False where depth scaling leaves the stage alone (first and last stage of EfficientNet-Lite).
    """

    blocks: tuple[Block, ...]
    deepen: bool = True
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks:
            raise SpecError("Stage.blocks is empty; a stage needs at least one block.")
        for index, block in enumerate(self.blocks[1:], start=1):
            if block.stride != 1:
                raise SpecError(
                    f"only the first block of a Stage may have a stride; block {index} has stride={block.stride}."
                )
            if block.channels != self.channels:
                raise SpecError(
                    f"all blocks of a Stage share an output width; block 0 has {self.channels} channels, "
                    f"block {index} has {block.channels}."
                )
        # Searches look stages up in caches tens of thousands of times a second: hash once.
        object.__setattr__(self, "_hash", hash((self.blocks, self.deepen)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Stage)
            and self._hash == other._hash
            and (self.blocks, self.deepen)
            == (
                other.blocks,
                other.deepen,
            )
        )

    def __reduce__(self) -> tuple[type[Stage], tuple[tuple[Block, ...], bool]]:
        # Hashes of strings differ between processes, so a pickled stage is made anew.
        return Stage, (self.blocks, self.deepen)

    @property
    def channels(self) -> int:
        """Output channels."""
        return self.blocks[0].channels

    @property
    def stride(self) -> int:
        """By how much the stage shrinks its input."""
        return self.blocks[0].stride


def stage(block: Block, repeats: int = 1, *, deepen: bool = True) -> Stage:
    """A uniform stage in one line: `block`, then `repeats - 1` copies of it at stride 1."""
    if repeats < 1:
        raise SpecError(f"stage(repeats=...) must be at least 1, got {repeats}.")
    return Stage((block, *[replace(block, stride=1)] * (repeats - 1)), deepen)


class PlacedBlock(NamedTuple):
    """A block with what its neighbours decide: where it stands and how many channels reach it."""

    stage: int
    index: int
    block: Block
    in_channels: int


@dataclass(frozen=True, slots=True)
class Network:
    """A convolutional classifier (or backbone, with `head=None`) as data.

    name: for people and files; two networks that differ only in name are equal.
    resolution: (H, W) in pixels at which it is evaluated; golden counts are at it.
    classes: outputs of the classifier; without a head it means nothing.
    in_channels: of the images.
    drop_connect: probability of dropping the last block's residual in training; grows linearly from 0 over the blocks.
    rounding: how widths round when scaled.
    """

    name: str = field(compare=False)
    stem: Stem
    stages: tuple[Stage, ...]
    head: Head | None
    resolution: Size = (224, 224)
    classes: int = 1000
    in_channels: int = 3
    numerics: Numerics = SYMMETRIC
    drop_connect: float = 0.2
    rounding: Rounding = V1_ROUNDING

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        object.__setattr__(self, "resolution", as_size(self.resolution))
        if not self.stages:
            raise SpecError(f"Network {self.name!r} has no stages; it needs at least one.")
        for name in ("classes", "in_channels"):
            if getattr(self, name) < 1:
                raise SpecError(f"Network.{name} must be at least 1, got {getattr(self, name)}.")
        if not 0 <= self.drop_connect < 1:
            raise SpecError(f"Network.drop_connect must be in 0..1, got {self.drop_connect}.")

    def __str__(self) -> str:
        blocks = sum(len(each.blocks) for each in self.stages)
        height, width = self.resolution
        return f"{self.name}: {len(self.stages)} stages, {blocks} blocks, {height} x {width} px, {self.classes} classes"

    def placed_blocks(self) -> Iterator[PlacedBlock]:
        """Every block in order, with its stage, its index in the stage, and its input channels."""
        channels = self.stem.channels
        for number, each in enumerate(self.stages):
            for index, block in enumerate(each.blocks):
                yield PlacedBlock(number, index, block, channels)
                channels = block.channels

    @property
    def feature_channels(self) -> int:
        """Channels that reach the classifier (or leave the last stage, without a head)."""
        if self.head is None:
            return self.stages[-1].channels
        return self.head.linear or self.head.channels or self.stages[-1].channels

    def reductions(self) -> dict[int, int]:
        """Stride -> the last stage at that stride; where feature maps are taken from."""
        stride = self.stem.stride * (2 if self.stem.pool else 1)
        last: dict[int, int] = {}
        for number, each in enumerate(self.stages):
            stride *= each.stride
            last[stride] = number
        return last


def as_size(size: int | tuple[int, int] | list[int]) -> Size:
    """(H, W) from one number for a square, or from a pair; SpecError for anything else."""
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or any(not isinstance(n, int) or isinstance(n, bool) or n < 1 for n in pair):
        raise SpecError(f"a size is a positive number of pixels or a pair (height, width), got {size!r}.")
    return pair


def shrink(size: Size, stride: int) -> Size:
    """Output size of a strided layer: both paddings of an odd kernel give ceil(n / stride)."""
    return -(-size[0] // stride), -(-size[1] // stride)


def scaled_stage(each: Stage, depth: float, width: float, rounding: Rounding) -> Stage:
    """A stage with its widths scaled and its last block repeated, or its last blocks dropped.

    Different multipliers often round to the same stage; it is then the same object, so that searches stay fast.
    """
    length = round_repeats(len(each.blocks), depth) if each.deepen else len(each.blocks)
    explicit = _explicit_widths(each)
    inner = tuple(None if c is None else rounding.channels(c, width) for c in explicit)
    return _resized_stage(each, length, rounding.channels(each.channels, width), inner)


@lru_cache(maxsize=1 << 14)
def _explicit_widths(each: Stage) -> tuple[int | None, ...]:
    """Hidden and squeeze channels of every block that has any of its own; empty for a stage that has none."""
    widths = tuple(c for b in each.blocks for c in (b.hidden, b.squeeze.channels if b.squeeze else None))
    return widths if any(c is not None for c in widths) else ()


@lru_cache(maxsize=1 << 16)
def _resized_stage(each: Stage, length: int, channels: int, inner: tuple[int | None, ...]) -> Stage:
    blocks = []
    for index, block in enumerate(each.blocks):
        hidden, squeezed = inner[2 * index : 2 * index + 2] or (None, None)
        squeeze = block.squeeze
        if squeeze is not None and squeezed is not None:
            squeeze = replace(squeeze, channels=squeezed)
        blocks.append(replace(block, channels=channels, hidden=hidden, squeeze=squeeze))
    extra = replace(blocks[-1], stride=1)
    return Stage((*blocks[:length], *[extra] * (length - len(blocks))), each.deepen)
