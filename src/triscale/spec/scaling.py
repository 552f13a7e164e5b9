"""Compound scaling: depth, width and resolution as pure functions from a network to a network."""

from __future__ import annotations

import math
from dataclasses import replace

from triscale.errors import SpecError
from triscale.spec.network import Head, Network, Stem, scaled_stage
from triscale.spec.rounding import Rounding

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # Tan & Le 2019, section 4, https://arxiv.org/abs/1905.11946


def scale(network: Network, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> Network:
    """A network with three multipliers applied.

    depth: each stage's last block is repeated, or its last blocks dropped, to ceil(depth x length).
    width: channels times this, rounded by the network's own rule; explicit hidden channels too.
    resolution: round(resolution x base) pixels on each side.
    Returns: a new Network whose name tells the multipliers.
    Raises: SpecError for a multiplier that is not a positive number.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 2.
    """
    for name, value in (("depth", depth), ("width", width), ("resolution", resolution)):
        if not (math.isfinite(value) and value > 0):
            raise SpecError(f"scale({name}=...) must be a positive number, got {value!r}.")
    if depth == width == resolution == 1.0:
        return network
    rule = network.rounding
    return replace(
        network,
        name=f"{network.name}-d{depth:.4g}-w{width:.4g}-r{resolution:.4g}",
        stem=_scaled_stem(network.stem, width, rule),
        stages=tuple(scaled_stage(each, depth, width, rule) for each in network.stages),
        head=None if network.head is None else _scaled_head(network.head, width, rule),
        resolution=tuple(max(1, round(resolution * side)) for side in network.resolution),
    )


def compound(network: Network, phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> Network:
    """A network scaled by one number: depth alpha^phi, width beta^phi, resolution gamma^phi.

    phi may be negative: the same rule then makes a smaller network.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3.
    """
    if min(alpha, beta, gamma) <= 0:
        raise SpecError(f"alpha, beta and gamma must be positive, got {alpha}, {beta} and {gamma}.")
    scaled = scale(network, alpha**phi, beta**phi, gamma**phi)
    return scaled if scaled is network else replace(scaled, name=f"{network.name}-phi{phi:.4g}")


def lowres(network: Network, pixels: int) -> Network:
    """The form of a network for small images: early strides become 1, so that the last map keeps about 7 x 7 pixels.

    A stride is no part of a weight's shape, so published weights still fit.
    pixels: the shorter side of the images that the network will see.
    Returns: the network unchanged where its own strides leave a last map of at least 4 pixels.
    """
    total = network.stem.stride * (2 if network.stem.pool else 1) * math.prod(s.stride for s in network.stages)
    changed = network
    if -(-pixels // total) < 4 and changed.stem.stride > 1:
        changed = replace(changed, stem=replace(changed.stem, stride=1))
        total //= network.stem.stride
    for number, each in enumerate(network.stages):
        if -(-pixels // total) >= 4:
            break
        if each.stride > 1:
            first = replace(each.blocks[0], stride=1)
            stages = list(changed.stages)
            stages[number] = replace(each, blocks=(first, *each.blocks[1:]))
            changed = replace(changed, stages=tuple(stages))
            total //= each.stride
    return changed if changed is network else replace(changed, name=f"{network.name}-lowres")


def _scaled_stem(stem: Stem, width: float, rule: Rounding) -> Stem:
    return replace(stem, channels=rule.channels(stem.channels, width)) if stem.scaled else stem


def _scaled_head(head: Head, width: float, rule: Rounding) -> Head:
    def wider(channels: int | None) -> int | None:
        if channels is None or head.scaling == "fixed":
            return channels
        scaled = rule.channels(channels, width)
        return max(channels, scaled) if head.scaling == "grow" else scaled

    return replace(head, channels=wider(head.channels), linear=wider(head.linear))
