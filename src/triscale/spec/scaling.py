"""Compound scaling: depth, width and resolution as pure functions from a network to a network."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from triscale.errors import SpecError
from triscale.spec.block import Block
from triscale.spec.checks import shown, whole
from triscale.spec.network import Head, Network, Stem, scaled_stage
from triscale.spec.rounding import Rounding

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # Tan & Le 2019, section 4, https://arxiv.org/abs/1905.11946
FURTHEST = 1e6  # the largest multiplier: beyond it no channel count is inside a network's bounds


def scale(network: Network, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> Network:
    """A network with three multipliers applied.

    depth: each stage's last block is repeated, or its last blocks dropped, to ceil(depth x length).
    width: channels times this, rounded by the network's own rule; explicit hidden channels too.
    resolution: round(resolution x base) pixels on each side.
    Returns: a new Network whose name tells the multipliers.
    Raises: SpecError for a multiplier that is not a positive number, or that makes what no network may be.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 2.
    """
    if not (0 < depth <= FURTHEST and 0 < width <= FURTHEST and 0 < resolution <= FURTHEST):
        raise SpecError(
            f"scale needs multipliers above 0 and at most {FURTHEST:,.0f}, got depth={shown(depth)}, "
            f"width={shown(width)}, resolution={shown(resolution)}."
        )
    if depth == width == resolution == 1.0:
        return network
    rule, (height, wide) = network.rounding, network.resolution
    return replace(
        network,
        name=f"{network.name}-d{depth:.4g}-w{width:.4g}-r{resolution:.4g}",
        stem=_scaled_stem(network.stem, width, rule),
        stages=tuple([scaled_stage(each, depth, width, rule) for each in network.stages]),
        head=None if network.head is None else _scaled_head(network.head, width, rule),
        resolution=(max(1, round(resolution * height)), max(1, round(resolution * wide))),
    )


def compound(network: Network, phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> Network:
    """A network scaled by one number: depth alpha^phi, width beta^phi, resolution gamma^phi.

    phi may be negative: the same rule then makes a smaller network.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3.
    """
    if not (alpha > 0 and beta > 0 and gamma > 0):
        raise SpecError(f"alpha, beta and gamma must be positive, got {alpha}, {beta} and {gamma}.")
    try:
        scaled = scale(network, alpha**phi, beta**phi, gamma**phi)
    except OverflowError:
        raise SpecError(f"phi={phi:g} makes what no network may be; B7 is about phi 7.") from None
    return scaled if scaled is network else replace(scaled, name=f"{network.name}-phi{phi:.4g}")


def lowres(network: Network, pixels: int) -> Network:
    """The form of a network for small images: early strides become 1 until the last map keeps 4 pixels a side.

    Only strides that are no part of a weight's shape, so published weights still fit.
    pixels: the shorter side of the images that the network will see.
    Returns: the network unchanged where its own strides leave a last map of at least 4 pixels.
    """
    whole("lowres(pixels=...)", pixels)
    total = network.stem.stride * (2 if network.stem.pool else 1) * math.prod(s.stride for s in network.stages)
    changed = network
    if -(-pixels // total) < 4 and changed.stem.stride > 1:
        changed = replace(changed, stem=replace(changed.stem, stride=1))
        total //= network.stem.stride
    for number, each in enumerate(network.stages):
        if -(-pixels // total) >= 4:
            break
        reaching = network.stages[number - 1].channels if number else network.stem.channels
        if each.stride > 1 and _keeps_weights(each.blocks[0], reaching):
            first = replace(each.blocks[0], stride=1)
            stages = list(changed.stages)
            stages[number] = replace(each, blocks=(first, *each.blocks[1:]))
            changed = replace(changed, stages=tuple(stages))
            total //= each.stride
    return changed if changed is network else replace(changed, name=f"{network.name}-lowres")


def _keeps_weights(block: Block, in_channels: int) -> bool:
    """Whether the block has the same tensors without its stride (a branch or a projection would go)."""
    unstrided = replace(block, stride=1)
    return not block.splits() and unstrided.projects_residual(in_channels) == block.projects_residual(in_channels)


def _scaled_stem(stem: Stem, width: float, rule: Rounding) -> Stem:
    return _resized_stem(stem, rule.channels(stem.channels, width)) if stem.scaled else stem


def _scaled_head(head: Head, width: float, rule: Rounding) -> Head:
    def wider(channels: int | None) -> int | None:
        if channels is None or head.scaling == "fixed":
            return channels
        scaled = rule.channels(channels, width)
        return max(channels, scaled) if head.scaling == "grow" else scaled

    return _resized_head(head, wider(head.channels), wider(head.linear))


@lru_cache(maxsize=1 << 12)
def _resized_stem(stem: Stem, channels: int) -> Stem:
    return replace(stem, channels=channels)


@lru_cache(maxsize=1 << 12)
def _resized_head(head: Head, channels: int | None, linear: int | None) -> Head:
    return replace(head, channels=channels, linear=linear)
