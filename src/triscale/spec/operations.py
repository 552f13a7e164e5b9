"""What a block does, operation by operation: the one description that costs, tables and pictures are read from.

Sizes are terms (a, b, c): a x pixels read by the block + b x pixels it writes + c. `live` is how many elements exist
during an operation: its input, its output, and what is still needed later (the residual, a branch). A convolution with
its BatchNorm and activation is one operation; a squeeze-excite gate multiplies in place; a residual sum writes a new
tensor.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from triscale.spec.block import Activation, Block
from triscale.spec.network import Head, Stem

Terms = tuple[int, int, int]
Place = Literal["read", "written", "one"]


class Operation(NamedTuple):
    """One step of inference. `channels` at `place` is its output; `kernel` 0 means that it is no convolution."""

    name: str
    channels: int
    place: Place
    params: int
    macs: Terms
    activations: Terms
    live: Terms
    kernel: int = 0


def at(place: Place, elements: int) -> Terms:
    """`elements` per pixel of `place` as terms."""
    return (
        elements if place == "read" else 0,
        elements if place == "written" else 0,
        elements if place == "one" else 0,
    )


def plus(*terms: Terms) -> Terms:
    """Sum of terms."""
    return sum(t[0] for t in terms), sum(t[1] for t in terms), sum(t[2] for t in terms)


NOTHING: Terms = (0, 0, 0)


def _slope(activation: Activation) -> int:
    return 1 if activation == "swish" else 0


def _conv(
    name: str,
    in_channels: int,
    out_channels: int,
    source: Place,
    target: Place,
    *,
    kernel: int = 1,
    groups: int = 1,
    activation: Activation = "identity",
    bias: bool = False,
    kept: Terms = NOTHING,
) -> Operation:
    """A convolution with BatchNorm (or with a bias and none); `kept` is what must survive it."""
    weights = kernel * kernel * (in_channels // groups) * out_channels
    return Operation(
        name,
        out_channels,
        target,
        weights + (out_channels if bias else 2 * out_channels) + _slope(activation),
        at(target, weights),
        at(target, out_channels),
        plus(at(source, in_channels), at(target, out_channels), kept),
        kernel,
    )


def _squeeze(block: Block, in_channels: int, channels: int, kept: Terms) -> tuple[Operation, ...]:
    """Pool, two convolutions on one pixel, and the gate, over `channels` of the written size."""
    if block.squeeze is None:
        return ()
    small = block.squeeze_channels(in_channels)
    inner = block.squeeze.activation or block.activation
    held = plus(at("written", channels), kept)
    return (
        Operation("squeeze pool", channels, "one", 0, NOTHING, NOTHING, plus(held, at("one", channels))),
        _conv("squeeze reduce", channels, small, "one", "one", activation=inner, bias=True, kept=held),
        _conv("squeeze expand", small, channels, "one", "one", bias=True, kept=held, activation=block.squeeze.gate),
        Operation("gate", channels, "written", 0, NOTHING, NOTHING, plus(held, at("one", channels))),
    )


def _add(channels: int, activation: Activation = "identity", kept: Terms = NOTHING) -> Operation:
    live = plus(at("written", 3 * channels), kept)
    return Operation("add", channels, "written", _slope(activation), NOTHING, NOTHING, live)


@lru_cache(maxsize=1 << 16)
def block_operations(block: Block, in_channels: int, held: bool = False) -> tuple[Operation, ...]:
    """The operations of `block` reading `in_channels`, in the order in which they run.

    held: whether what it reads is needed again afterwards, as a detector's maps are; of blocks with a stride only.
    """
    return {
        "mbconv": _mbconv,
        "fused": _fused,
        "separable": _separable,
        "bottleneck": _residual,
        "basic": _residual,
        "shuffle": _shuffle_unit,
        "xception": _shuffle_unit,
    }[block.kind](block, in_channels, held)


def _mbconv(block: Block, in_channels: int, held: bool) -> tuple[Operation, ...]:
    hidden, act = block.hidden_channels(in_channels), block.activation
    residual = block.has_residual(in_channels)
    kept = at("read", in_channels) if residual or held else NOTHING
    steps: list[Operation] = []
    if block.expands():
        steps.append(_conv("expand", in_channels, hidden, "read", "read", activation=act))
    steps.append(
        _conv(
            "depthwise", hidden, hidden, "read", "written", kernel=block.kernel, groups=hidden, activation=act,
            kept=kept if block.expands() else NOTHING,  # without an expansion the residual is its very input
        )
    )  # fmt: skip
    steps += _squeeze(block, in_channels, hidden, kept)
    steps.append(_conv("project", hidden, block.channels, "written", "written", kept=kept))
    return (*steps, _add(block.channels)) if residual else tuple(steps)


def _fused(block: Block, in_channels: int, held: bool) -> tuple[Operation, ...]:
    hidden, act, kernel = block.hidden_channels(in_channels), block.activation, block.kernel
    residual = block.has_residual(in_channels)
    kept = at("read", in_channels) if residual or held else NOTHING
    if not block.expands():
        steps = [_conv("fused", in_channels, block.channels, "read", "written", kernel=kernel, activation=act)]
    else:
        steps = [_conv("fused expand", in_channels, hidden, "read", "written", kernel=kernel, activation=act)]
        steps += _squeeze(block, in_channels, hidden, kept)
        steps.append(_conv("project", hidden, block.channels, "written", "written", kept=kept))
    return (*steps, _add(block.channels)) if residual else tuple(steps)


def _separable(block: Block, in_channels: int, held: bool) -> tuple[Operation, ...]:
    act, kept = block.activation, at("read", in_channels) if held else NOTHING
    depthwise = _conv(
        "depthwise",
        in_channels,
        in_channels,
        "read",
        "written",
        kernel=block.kernel,
        groups=in_channels,
        activation=act,
    )
    pointwise = _conv("pointwise", in_channels, block.channels, "written", "written", activation=act, kept=kept)
    return depthwise, *_squeeze(block, in_channels, in_channels, kept), pointwise


def _residual(block: Block, in_channels: int, held: bool) -> tuple[Operation, ...]:
    """ResNet's bottleneck and basic blocks; the shortcut runs behind the main branch."""
    hidden, out, act = block.hidden_channels(in_channels), block.channels, block.activation
    kept = at("read", in_channels) if block.skip or held else NOTHING
    if block.kind == "bottleneck":
        steps = [
            _conv("reduce", in_channels, hidden, "read", "read", activation=act),
            _conv("convolve", hidden, hidden, "read", "written", kernel=block.kernel, activation=act, kept=kept),
            _conv("restore", hidden, out, "written", "written", kept=kept),
        ]
    else:
        steps = [
            _conv("first", in_channels, hidden, "read", "written", kernel=block.kernel, activation=act),
            _conv("second", hidden, out, "written", "written", kernel=block.kernel, kept=kept),
        ]
    steps += _squeeze(block, in_channels, out, kept)
    if block.projects_residual(in_channels):
        steps.append(_conv("shortcut", in_channels, out, "read", "written", kept=at("written", out)))
    if block.skip:
        return *steps, _add(out, act, at("read", in_channels) if held else NOTHING)
    steps[-1] = steps[-1]._replace(params=steps[-1].params + _slope(act))
    return tuple(steps)


def _shuffle_unit(block: Block, in_channels: int, held: bool) -> tuple[Operation, ...]:
    """ShuffleNetV2's units; a projection branch at a stride, half of the channels passing by without one."""
    act, kernel, out = block.activation, block.kernel, block.channels
    middle = block.hidden_channels(in_channels)
    after = at("read", in_channels) if held else NOTHING
    if block.stride == 1:
        source = in_channels // 2
        steps = [Operation("shuffle", in_channels, "read", 0, NOTHING, NOTHING, at("read", 2 * in_channels))]
        beside = at("read", source)
        made = out - source
    else:
        source, made = in_channels, out - in_channels
        x = at("read", in_channels)
        steps = [
            _conv("branch depthwise", source, source, "read", "written", kernel=kernel, groups=source),
            _conv("branch pointwise", source, source, "written", "written", activation=act, kept=x),
        ]
        beside = at("written", in_channels)
    later = plus(beside, after)
    if block.kind == "shuffle":
        steps += [
            _conv("expand", source, middle, "read", "read", activation=act, kept=beside),
            _conv("depthwise", middle, middle, "read", "written", kernel=kernel, groups=middle, kept=later),
            _conv("project", middle, made, "written", "written", activation=act, kept=later),
        ]
    else:
        place: Place = "read"
        for number, (a, b) in enumerate([(source, middle), (middle, middle), (middle, made)], start=1):
            steps += [
                _conv(
                    f"depthwise {number}",
                    a,
                    a,
                    place,
                    "written",
                    kernel=kernel,
                    groups=a,
                    kept=beside if number == 1 else later,
                ),
                _conv(f"pointwise {number}", a, b, "written", "written", activation=act, kept=later),
            ]
            place = "written"
    return *steps, Operation("concat", out, "written", 0, NOTHING, NOTHING, plus(at("written", 2 * out), after))


def stem_operations(stem: Stem, in_channels: int) -> tuple[Operation, ...]:
    """The first convolution, and the max-pool where there is one (its "read" is the convolution's output)."""
    channels = stem.channels
    first = _conv(
        "convolution", in_channels, channels, "read", "written", kernel=stem.kernel, activation=stem.activation
    )
    if stem.bias:
        first = first._replace(params=first.params + channels)
    if not stem.pool:
        return (first,)
    pool = Operation(
        "max pool", channels, "written", 0, NOTHING, NOTHING, plus(at("read", channels), at("written", channels))
    )
    return first, pool


def head_operations(head: Head, in_channels: int, classes: int) -> tuple[Operation, ...]:
    """[1x1 convolution], average pool, [linear], classifier."""
    steps: list[Operation] = []
    channels = in_channels
    if head.channels is not None:
        steps.append(_conv("convolution", channels, head.channels, "written", "written", activation=head.activation))
        channels = head.channels
    pooled = plus(at("written", channels), at("one", channels))
    steps.append(Operation("average pool", channels, "one", 0, NOTHING, NOTHING, pooled))
    if head.linear is not None:
        steps.append(_linear("linear", channels, head.linear, _slope(head.activation)))
        channels = head.linear
    return *steps, _linear("classifier", channels, classes, 0)


def _linear(name: str, inputs: int, outputs: int, slope: int) -> Operation:
    weights = inputs * outputs
    return Operation(
        name, outputs, "one", weights + outputs + slope, at("one", weights), NOTHING, at("one", inputs + outputs)
    )
