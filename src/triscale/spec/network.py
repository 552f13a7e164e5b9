"""Network: stem, stages and head as frozen data. Everything else in triscale is a function of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from triscale.errors import SpecError
from triscale.spec.block import Activation, Block, odd_kernel
from triscale.spec.checks import LARGEST, LARGEST_KERNEL, MOST_BLOCKS, positive, shown, whole
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
        positive("Numerics.eps", self.eps, 1.0)
        positive("Numerics.momentum", self.momentum, 1.0)


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
        whole("Stem.channels", self.channels)
        whole("Stem.stride", self.stride, LARGEST_KERNEL)
        odd_kernel("Stem.kernel", self.kernel)


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
        if self.channels is not None:
            whole("Head.channels", self.channels)
        if self.linear is not None:
            whole("Head.linear", self.linear)
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
    _runs: tuple[tuple[Block, int], ...] = field(init=False, repr=False)
    _hash: int = field(init=False, repr=False)
    _splits: bool = field(init=False, repr=False)
    _explicit: tuple[int | None, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks:
            raise SpecError("Stage.blocks is empty; a stage needs at least one block.")
        runs = _runs(self.blocks)
        for number, (block, _) in enumerate(runs[1:], start=1):
            if block.stride != 1 or block.channels != self.channels:
                raise SpecError(self._misfit(block, sum(times for _, times in runs[:number])))
        if self.stride != 1 and runs[0][1] > 1:
            raise SpecError(self._misfit(self.blocks[1], 1))
        # Searches scale and look up stages tens of thousands of times a second: what that needs is worked out once.
        object.__setattr__(self, "_runs", runs)
        object.__setattr__(self, "_hash", hash((runs, self.deepen)))
        object.__setattr__(self, "_explicit", _explicit_widths(runs))
        object.__setattr__(self, "_splits", any(block.splits() for block, _ in runs))

    def _misfit(self, block: Block, index: int) -> str:
        if block.stride != 1:
            return f"only the first block of a Stage may have a stride; block {index} has stride={block.stride}."
        return (
            f"all blocks of a Stage share an output width; block 0 has {self.channels} channels, "
            f"block {index} has {block.channels}."
        )

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return (
            isinstance(other, Stage)
            and self._hash == other._hash
            and (self._runs, self.deepen) == (other._runs, other.deepen)
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

    def require_input(self, in_channels: int) -> None:
        """Raise SpecError where a block cannot take the channels that reach it."""
        for block in self.blocks:
            block.require_input(in_channels)
            in_channels = block.channels


def _runs(blocks: tuple[Block, ...]) -> tuple[tuple[Block, int], ...]:
    """Equal blocks that stand together, and how many: a stage of a hundred blocks rarely has more than two runs."""
    runs: list[tuple[Block, int]] = []
    last, times = blocks[0], 0
    for block in blocks:
        if block is last or block == last:
            times += 1
        else:
            runs.append((last, times))
            last, times = block, 1
    return (*runs, (last, times))


def _explicit_widths(runs: tuple[tuple[Block, int], ...]) -> tuple[int | None, ...]:
    """Hidden and squeeze channels of every run that has any of its own; empty where none has."""
    widths = tuple(c for b, _ in runs for c in (b.hidden, b.squeeze.channels if b.squeeze else None))
    return widths if any(c is not None for c in widths) else ()


def stage(block: Block, repeats: int = 1, *, deepen: bool = True) -> Stage:
    """A uniform stage in one line: `block`, then `repeats - 1` copies of it at stride 1."""
    whole("stage(repeats=...)", repeats, MOST_BLOCKS)
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
        whole("Network.classes", self.classes)
        whole("Network.in_channels", self.in_channels)
        if not 0 <= self.drop_connect < 1:
            raise SpecError(f"Network.drop_connect must be in 0..1, got {self.drop_connect}.")
        blocks, channels = 0, self.stem.channels
        for each in self.stages:
            if each._splits:
                each.require_input(channels)
            blocks += len(each.blocks)
            channels = each.blocks[0].channels
        if blocks > MOST_BLOCKS:
            raise SpecError(f"Network {self.name!r} has {blocks:,} blocks; {MOST_BLOCKS:,} are the most.")

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
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    if type(height) is int and type(width) is int and 0 < height <= LARGEST and 0 < width <= LARGEST:
        return height, width
    raise SpecError(
        f"a size is a number of pixels in 1..{LARGEST:,} or a pair (height, width) of them, got {shown(size)}."
    )


def shrink(size: Size, stride: int) -> Size:
    """Output size of a strided layer: both paddings of an odd kernel give ceil(n / stride)."""
    return -(-size[0] // stride), -(-size[1] // stride)


def scaled_stage(each: Stage, depth: float, width: float, rounding: Rounding) -> Stage:
    """A stage with its widths scaled and its last block repeated, or its last blocks dropped.

    Different multipliers often round to the same stage; it is then the same object, so that searches stay fast.
    """
    length = round_repeats(len(each.blocks), depth) if each.deepen else len(each.blocks)
    if length > MOST_BLOCKS:
        raise SpecError(f"depth={depth:.4g} makes a stage of {length:,} blocks, more than {MOST_BLOCKS:,}.")
    inner = each._explicit
    if inner:
        inner = tuple(None if c is None else rounding.channels(c, width) for c in inner)
    return _resized_stage(each, length, rounding.channels(each.blocks[0].channels, width), inner)


@lru_cache(maxsize=1 << 16)
def _resized_stage(each: Stage, length: int, channels: int, inner: tuple[int | None, ...]) -> Stage:
    blocks: list[Block] = []
    for number, (block, times) in enumerate(each._runs):
        hidden, squeezed = inner[2 * number : 2 * number + 2] or (None, None)
        squeeze = block.squeeze
        if squeeze is not None and squeezed is not None:
            squeeze = replace(squeeze, channels=squeezed)
        blocks += [replace(block, channels=channels, hidden=hidden, squeeze=squeeze)] * times
    extra = blocks[-1] if blocks[-1].stride == 1 else replace(blocks[-1], stride=1)
    return Stage((*blocks[:length], *[extra] * (length - len(blocks))), each.deepen)
