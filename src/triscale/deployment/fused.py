"""The operations that a network consists of once it is fused; export and the memory count know these and no others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triscale.errors import SpecError
from triscale.spec.network import Size

Pads = tuple[int, int, int, int]  # top, left, bottom, right

IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "silu": lambda x: F.silu(x, inplace=True),
    "relu": torch.relu_,
    "relu6": lambda x: F.relu6(x, inplace=True),
    "hardswish": lambda x: F.hardswish(x, inplace=True),
    "sigmoid": torch.sigmoid_,
    "hardsigmoid": lambda x: F.hardsigmoid(x, inplace=True),
}


class FusedActivation(nn.Module):
    """An activation that overwrites its input. `slope` is the trained beta of "swish", x * sigmoid(beta * x)."""

    def __init__(self, name: str, slope: float | None = None) -> None:
        super().__init__()
        self.name, self.slope = name, slope

    def forward(self, x: Tensor) -> Tensor:
        """Overwrite and return `x`."""
        if self.name != "swish":
            return IN_PLACE[self.name](x)
        slope = 1.0 if self.slope is None else self.slope
        if slope == 0.0:
            return x.mul_(0.5)
        # silu(beta x) / beta is the same function, and needs no second tensor.
        return F.silu(x.mul_(slope), inplace=True).div_(slope)

    def extra_repr(self) -> str:
        """Its name, and its slope."""
        return self.name if self.slope is None else f"{self.name}, slope={self.slope:g}"


class FusedConv(nn.Module):
    """A convolution with its padding, BatchNorm and activation: one operation, which copies nothing.

    Shapes: (B, in, H, W) -> (B, out, ceil(H / stride), ceil(W / stride)).
    weight: (out, in / groups, k, k). pads: on each side; the odd pixel of SAME padding stands after the image.
    A copy of the image with that pixel would cost a pass over the largest maps. Instead the kernel begins with a row
    and a column of zeros and both sides are padded alike: the same sums.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        pads: Pads,
        groups: int,
        activation: FusedActivation,
    ) -> None:
        super().__init__()
        top, left, bottom, right = pads
        if bottom < top or right < left:
            raise SpecError(f"a convolution cannot be padded more before than after the image, got pads={pads}.")
        if bottom > top or right > left:
            weight = F.pad(weight, (right - left, 0, bottom - top, 0))
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.stride, self.pads, self.groups, self.activation = stride, pads, groups, activation
        self.padding = (bottom, right)

    @property
    def kernel(self) -> Tensor:
        """The weight without the zeros in front, for engines that pad unevenly without a copy."""
        top, left, bottom, right = self.pads
        return self.weight[:, :, bottom - top :, right - left :]

    def written(self, read: Size) -> Size:
        """(H, W) of what it makes of maps of a size."""
        top, left, bottom, right = self.pads
        kernel = self.kernel.shape[2:]
        return (
            (read[0] + top + bottom - kernel[0]) // self.stride[0] + 1,
            (read[1] + left + right - kernel[1]) // self.stride[1] + 1,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return self.activation(F.conv2d(x, self.weight, self.bias, self.stride, self.padding, 1, self.groups))

    def extra_repr(self) -> str:
        """Kernel, stride and pads."""
        return f"{tuple(self.kernel.shape)}, stride={self.stride}, pads={self.pads}, groups={self.groups}"


class GlobalPool(nn.Module):
    """Mean over height and width: (B, C, H, W) -> (B, C, 1, 1)."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return x.mean((2, 3), keepdim=True)


class Gate(nn.Module):
    """Squeeze-excite's product, written over the map: (B, C, H, W), (B, C, 1, 1) -> (B, C, H, W)."""

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return x.mul_(gate)


class FusedMaxPool(nn.Module):
    """ResNet's 3x3 max-pool of stride 2, for inputs of one size.

    Shapes: (B, C, H, W) -> (B, C, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, same: bool, size: Size) -> None:
        super().__init__()
        # SAME padding of an even side is one pixel after it: the window that begins on the last but one pixel.
        self.before = (size[0] % 2, size[1] % 2) if same else (1, 1)
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return F.max_pool2d(x, 3, 2, self.before, ceil_mode=self.same)


class Take(nn.Module):
    """Every second channel from `start` (0 or 1): (B, C, H, W) -> (B, C / 2, H, W)."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return x[:, self.start :: 2].contiguous()


class Fused(nn.Module):
    """A network in its shipping form, for images of one size. `body` frees every tensor after its last use.

    Shapes: (B, in_channels, *size) -> (B, classes), or the maps that were asked for.
    """

    def __init__(self, body: torch.fx.GraphModule, size: Size) -> None:
        super().__init__()
        self.body, self.size = body, size

    def forward(self, x: Tensor) -> Tensor:
        """Logits of images of `size`. Raises: SpecError for another size."""
        if tuple(x.shape[-2:]) != self.size:
            raise SpecError(
                f"this network was fused for images of {self.size[0]} x {self.size[1]} pixels, got "
                f"{x.shape[-2]} x {x.shape[-1]}; resize them, or fuse the model again for that size."
            )
        return self.body(x)
