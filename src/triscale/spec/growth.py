"""Whether a network can be grown from a trained one so that it computes the same function, told from data alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triscale.errors import SpecError
from triscale.spec.block import Activation, Block
from triscale.spec.network import Head, Network, PlacedBlock

# Activations that leave zero as it is; and the outputs that those which are no line leave as they are.
KEEPS_ZERO: tuple[Activation, ...] = ("silu", "swish", "relu", "relu6", "hardswish", "identity")
KEEPS_OUTPUTS_OF: dict[Activation, tuple[Activation, ...]] = {
    "relu": ("relu", "relu6", "sigmoid", "hardsigmoid"),
    "relu6": ("relu6", "sigmoid", "hardsigmoid"),
}
RULE = "every stage must be at least as wide and deep, with the same operators, kernels, strides, activations and skips"


def require_growable(source: Network, target: Network) -> None:
    """Raise SpecError unless `target` can be grown from `source`, naming the first stage that prevents it and why.

    Resolution, dropout, drop connect and numerics may differ: the first three are no part of the function, and a grown
    network takes over the numerics of its source.
    """
    found = growth_refusal(source, target)
    if found is not None:
        raise SpecError(f"{target.name} cannot be grown from {source.name}: {found}; {RULE}.")


def growth_refusal(source: Network, target: Network) -> str | None:
    """What prevents `target` from computing what `source` does, with the first place where; None where it can.

    Depth is added at the end of a stage, as blocks that pass on what they read until they are trained.
    """
    return next(_differences(source, target), None)


def same_operator(source: PlacedBlock, target: PlacedBlock) -> bool:
    """Whether the weights of one block can become those of the other by repeating channels."""
    return next(_block_differences(source, target), None) is None


def _differences(source: Network, target: Network) -> Iterator[str]:
    if source.in_channels != target.in_channels:
        yield f"it reads {target.in_channels} channels instead of {source.in_channels}"
    stem, other = source.stem, target.stem
    yield from _unequal(
        "the stem",
        (
            ("kernel", stem.kernel, other.kernel),
            ("stride", stem.stride, other.stride),
            ("activation", stem.activation, other.activation),
            ("max-pool", stem.pool, other.pool),
            ("bias", stem.bias, other.bias),
        ),
    )
    yield from _narrower("the stem", (("channels", stem.channels, other.channels),))
    yield from _unequal("the network", (("stages", len(source.stages), len(target.stages)),))
    yield from _stage_differences(source, target)
    yield from _head_differences(source.head, target.head)
    if source.head is not None and source.classes != target.classes:
        right = f"replace(network, classes={source.classes})"
        yield f"it has {target.classes} classes instead of {source.classes} ({right})"


def _stage_differences(source: Network, target: Network) -> Iterator[str]:
    ours, theirs = _by_stage(source), _by_stage(target)
    for number, (blocks, others) in enumerate(zip(ours, theirs, strict=True)):
        yield from _narrower(f"stage {number}", (("blocks", len(blocks), len(others)),))
        for block, other in zip(blocks, others, strict=False):
            yield from _block_differences(block, other)
        for before, added in zip(others[len(blocks) - 1 :], others[len(blocks) :], strict=False):
            reason = _why_not_passing(before.block, added)
            if reason is not None:
                yield f"stage {number} has {len(others)} blocks instead of {len(blocks)}, and {reason}"


def _by_stage(network: Network) -> list[list[PlacedBlock]]:
    blocks: list[list[PlacedBlock]] = [[] for _ in network.stages]
    for placed in network.placed_blocks():
        blocks[placed.stage].append(placed)
    return blocks


def _block_differences(source: PlacedBlock, target: PlacedBlock) -> Iterator[str]:
    (stage, index, ours, inputs), (_, _, theirs, other_inputs) = source, target
    where = f"stage {stage}, block {index}"
    squeeze, other = ours.squeeze, theirs.squeeze
    yield from _unequal(
        where,
        (
            ("kind", ours.kind, theirs.kind),
            ("kernel", ours.kernel, theirs.kernel),
            ("stride", ours.stride, theirs.stride),
            ("activation", ours.activation, theirs.activation),
            ("an expansion", ours.expands(), theirs.expands()),
            ("a residual", ours.has_residual(inputs), theirs.has_residual(other_inputs)),
            ("a projected residual", ours.projects_residual(inputs), theirs.projects_residual(other_inputs)),
            ("squeeze-excite", squeeze is not None, other is not None),
        ),
    )
    if squeeze is not None and other is not None:
        inner, other_inner = squeeze.activation or ours.activation, other.activation or theirs.activation
        yield from _unequal(where, (("gate", squeeze.gate, other.gate), ("squeeze activation", inner, other_inner)))
    widths = (
        ("channels", ours.channels, theirs.channels),
        ("hidden channels", ours.hidden_channels(inputs), theirs.hidden_channels(other_inputs)),
        ("squeeze channels", ours.squeeze_channels(inputs), theirs.squeeze_channels(other_inputs)),
    )
    yield from _narrower(where, widths)
    if ours.splits():
        # Half of the channels pass by, so that the place of a channel decides what is done to it.
        yield from _unequal(where, (("input channels", inputs, other_inputs), *widths))


def _head_differences(source: Head | None, target: Head | None) -> Iterator[str]:
    yield from _unequal("the network", (("a head", source is not None, target is not None),))
    if source is None or target is None:
        return
    yield from _unequal(
        "the head",
        (
            ("a convolution", source.channels is not None, target.channels is not None),
            ("a linear layer", source.linear is not None, target.linear is not None),
        ),
    )
    if source.channels is not None or source.linear is not None:
        yield from _unequal("the head", (("activation", source.activation, target.activation),))
    yield from _narrower(
        "the head",
        (
            ("channels", source.channels or 0, target.channels or 0),
            ("linear channels", source.linear or 0, target.linear or 0),
        ),
    )


def _why_not_passing(before: Block, added: PlacedBlock) -> str | None:
    """Why an added block cannot pass on what it reads while its last BatchNorm is zero; None where it can."""
    block = added.block
    if not block.has_residual(added.in_channels):
        return "a block without a residual cannot be added: it would not pass on what it reads"
    if block.kind == "fused" and not block.expands() and block.activation not in KEEPS_ZERO:
        return f"{block.activation} of a new block that adds nothing is not zero"
    if block.kind in ("bottleneck", "basic") and block.activation != "identity":
        # It comes after the sum, so it must leave alone what the block before gave.
        ends_with = before.activation if before.kind in ("bottleneck", "basic", "separable") else None
        if ends_with not in KEEPS_OUTPUTS_OF.get(block.activation, ()):
            return f"{block.activation} after the sum of an added block would change what it reads"
    return None


def _unequal(where: str, pairs: Sequence[tuple[str, object, object]]) -> Iterator[str]:
    for what, ours, theirs in pairs:
        if ours != theirs:
            if isinstance(theirs, bool):
                yield f"{where} has {what}" if theirs else f"{where} lacks {what}"
            else:
                yield f"{where} has {what} {theirs} instead of {ours}"


def _narrower(where: str, pairs: Sequence[tuple[str, int, int]]) -> Iterator[str]:
    for what, ours, theirs in pairs:
        if theirs < ours:
            yield f"{where} has only {theirs} {what} of {ours}"
