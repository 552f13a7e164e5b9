"""Block: all that there is to say about one layer of a network, and Squeeze, its squeeze-excite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from triscale.errors import SpecError
from triscale.spec.checks import LARGEST_KERNEL, one_of, positive, whole
from triscale.spec.rounding import Rounding

Kind = Literal["mbconv", "fused", "separable", "bottleneck", "basic", "shuffle", "xception"]
Activation = Literal["silu", "swish", "relu", "relu6", "hardswish", "sigmoid", "hardsigmoid", "identity"]
Relative = Literal["input", "output", "hidden"]


@dataclass(frozen=True, slots=True)
class Squeeze:
    """Squeeze-excite: global average -> 1x1 down -> activation -> 1x1 up -> gate -> multiply.

    ratio: squeezed channels as a share of `of`: the block's "input", "hidden" or "output" channels.
    divisor: 1 truncates (EfficientNet: 40 -> 10); 8 rounds to multiples of 8 (MobileNetV3).
    channels: explicit number instead of the ratio; it then scales with width.
    activation: between the two convolutions; None means the block's own.
    Source: https://arxiv.org/abs/1709.01507; truncation as in tensorflow/tpu efficientnet_model.py.
    """

    ratio: float = 0.25
    of: Relative = "input"
    divisor: int = 1
    channels: int | None = None
    gate: Activation = "sigmoid"
    activation: Activation | None = None

    def __post_init__(self) -> None:
        positive("Squeeze.ratio", self.ratio)
        whole("Squeeze.divisor", self.divisor)
        if self.channels is not None:
            whole("Squeeze.channels", self.channels)
        one_of("Squeeze.of", self.of, Relative)
        one_of("Squeeze.gate", self.gate, Activation)
        if self.activation is not None:
            one_of("Squeeze.activation", self.activation, Activation)

    def width(self, in_channels: int, hidden: int, out_channels: int) -> int:
        """Squeezed channels of a block with these input, hidden and output channels."""
        if self.channels is not None:
            return self.channels
        exact = self.ratio * {"input": in_channels, "hidden": hidden, "output": out_channels}[self.of]
        return max(1, int(exact)) if self.divisor == 1 else Rounding(self.divisor, self.divisor).nearest(exact)


@dataclass(frozen=True, slots=True)
class Block:
    """One block. Its input channels come from the block before it, so they are not written here.

    kind: "mbconv" 1x1 expand, depthwise kernel x kernel, [squeeze], 1x1 project; no expansion at 1 x its input.
          "fused" kernel x kernel expand, [squeeze], 1x1 project; at 1 x its input one convolution with its activation.
          "separable" depthwise and 1x1, both with an activation, no residual (MobileNetV1).
          "bottleneck" 1x1, kernel x kernel, 1x1; "basic" two kernel x kernel (ResNet); [squeeze] on the output,
          activation after the sum.
          "shuffle", "xception" the two units of ShuffleNetV2 as DetNAS searches them; half the channels pass by.
    channels: output channels.
    kernel: odd. stride: 1 or more; a residual exists only at stride 1 and equal channels (ResNets project theirs).
    expand: hidden channels as a multiple of the block's input (or of its output, see `relative_to`).
    hidden: explicit hidden channels instead; then the expansion is always there, and scales with width.
    Raises: SpecError when a value cannot be built.
    """

    kind: Kind
    channels: int
    kernel: int = 3
    stride: int = 1
    expand: float = 1.0
    hidden: int | None = None
    relative_to: Relative = "input"
    squeeze: Squeeze | None = None
    activation: Activation = "silu"  # "swish" is SiLU with a trainable slope: one scalar parameter each
    skip: bool = True

    def __post_init__(self) -> None:
        one_of("Block.kind", self.kind, Kind)
        one_of("Block.activation", self.activation, Activation)
        whole("Block.channels", self.channels)
        odd_kernel("Block.kernel", self.kernel)
        whole("Block.stride", self.stride, LARGEST_KERNEL)
        positive("Block.expand", self.expand)
        if self.hidden is not None:
            whole("Block.hidden", self.hidden)
        if self.relative_to not in ("input", "output"):
            raise SpecError(f'Block.relative_to must be "input" or "output", got {self.relative_to!r}.')
        if self.squeeze is not None and not self.takes_squeeze():
            raise SpecError(
                f"a {self.kind} block with expand={self.expand} has no place for squeeze-excite; "
                f"set squeeze=None, or expand above 1."
            )

    def splits(self) -> bool:
        """Whether half of the channels pass by (ShuffleNetV2's units), which not every width allows."""
        return self.kind in ("shuffle", "xception")

    def require_input(self, in_channels: int) -> None:
        """Raise SpecError where a unit that splits its channels cannot take these."""
        if self.splits() and self.stride == 1 and (in_channels % 2 or in_channels != self.channels):
            raise SpecError(
                f"a {self.kind} block at stride 1 passes half of its channels by, so it needs an even number and as "
                f"many out as in; got {in_channels} in and {self.channels} out."
            )
        if self.splits() and self.stride > 1 and in_channels >= self.channels:
            raise SpecError(
                f"a {self.kind} block with a stride keeps its {in_channels} input channels beside what it makes, so it "
                f"needs more than that out; got {self.channels}."
            )

    def takes_squeeze(self) -> bool:
        """Whether this kind has a place for squeeze-excite (a fused block of one convolution has none)."""
        return self.kind not in ("shuffle", "xception") and not (self.kind == "fused" and not self.expands())

    def expands(self) -> bool:
        """Whether an expansion convolution stands before the depthwise (or fused) one."""
        return self.hidden is not None or self.expand != 1.0 or self.relative_to == "output"

    def hidden_channels(self, in_channels: int) -> int:
        """Channels inside the block: explicit, or `expand` times its input (or output), rounded to the nearest."""
        if self.hidden is not None:
            return self.hidden
        return max(1, round(self.expand * (in_channels if self.relative_to == "input" else self.channels)))

    def squeeze_channels(self, in_channels: int) -> int:
        """Squeezed channels, 0 without squeeze-excite."""
        if self.squeeze is None:
            return 0
        return self.squeeze.width(in_channels, self.hidden_channels(in_channels), self.channels)

    def projects_residual(self, in_channels: int) -> bool:
        """Whether the input is added through a 1x1 convolution because its shape differs (ResNets only)."""
        return self.kind in ("bottleneck", "basic") and self.skip and not self.has_residual(in_channels)

    def has_residual(self, in_channels: int) -> bool:
        """Whether the block's input is added to its output as it is."""
        summed = self.kind in ("mbconv", "fused", "bottleneck", "basic")
        return summed and self.skip and self.stride == 1 and in_channels == self.channels


def odd_kernel(name: str, value: int) -> None:
    """Raise SpecError unless `value` can be the side of a convolution whose padding is symmetric."""
    whole(name, value, LARGEST_KERNEL)
    if value % 2 == 0:
        raise SpecError(
            f"{name} must be odd so that padding is symmetric, got kernel={value}; try {value - 1} or {value + 1}."
        )
