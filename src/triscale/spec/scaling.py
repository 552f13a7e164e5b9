"""Compound scaling: depth, width and resolution as pure functions from a network (or detector) to another."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import cast

from triscale.errors import SpecError
from triscale.spec.block import Block
from triscale.spec.checks import shown, whole
from triscale.spec.detector import Detector
from triscale.spec.network import Head, Network, Size, Stem, scaled_stage
from triscale.spec.rounding import Rounding, round_repeats
from triscale.spec.subject import Subject

ALPHA, BETA, GAMMA = 1.2, 1.1, 1.15  # Tan & Le 2019, section 4, https://arxiv.org/abs/1905.11946
# EfficientDet, https://arxiv.org/abs/1911.09070, equations 1 to 3: channels x 1.35^phi, repeats + phi, head layers +
# phi / 3, resolution + 128 phi of 512
PYRAMID_WIDTH, HEAD_STEP, RESOLUTION_STEP = 1.35, 3, 0.25
FURTHEST = 1e6  # the largest multiplier: beyond it no channel count is inside a network's bounds


def scale(subject: Subject, depth: float = 1.0, width: float = 1.0, resolution: float = 1.0) -> Subject:
    """A network or a detector with three multipliers applied.

    depth: each stage's last block is repeated, or its last blocks dropped, to ceil(depth x length). Of a detector also
        the pyramid's repeats and the heads' layers, both to ceil(depth x repeats).
    width: channels times this, rounded by the network's own rule; explicit hidden channels too. Of a detector also the
        channels of pyramid and heads, rounded by its backbone's rule.
    resolution: round(resolution x base) pixels on each side.
    Returns: the same kind, whose name tells the multipliers.
    Raises: SpecError for a multiplier that is not a positive number, or that makes what no network may be.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 2.
    """
    if not (0 < depth <= FURTHEST and 0 < width <= FURTHEST and 0 < resolution <= FURTHEST):
        raise SpecError(
            f"scale needs multipliers above 0 and at most {FURTHEST:,.0f}, got depth={shown(depth)}, "
            f"width={shown(width)}, resolution={shown(resolution)}."
        )
    if depth == width == resolution == 1.0:
        return subject
    if isinstance(subject, Detector):
        made = _scaled_detector(subject, depth, width, resolution)
    else:
        made = _scaled_network(subject, depth, width, resolution)
    return replace(cast("Subject", made), name=f"{subject.name}-d{depth:.4g}-w{width:.4g}-r{resolution:.4g}")


def compound(subject: Subject, phi: float, alpha: float = ALPHA, beta: float = BETA, gamma: float = GAMMA) -> Subject:
    """A network scaled by one number: depth alpha^phi, width beta^phi, resolution gamma^phi. A detector: by its rule.

    EfficientDet's rule: the backbone's depth alpha^phi and width beta^phi; the pyramid's width 1.35^phi, phi repeats
    more; a third of phi layers more in the heads (of both only complete steps, and never below one); a quarter of the
    resolution more per step. Channels are rounded to the nearest that the backbone's rule allows.
    phi: may be negative: the same rule then makes a smaller one. The paper's resolution would reach zero at phi -4, so
        a step down divides it by 1.25.
    gamma: of networks; a detector has none.
    Raises: SpecError for coefficients that are not positive, or a phi that makes what none may be.
    Sources: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3; EfficientDet, https://arxiv.org/abs/1911.09070,
        equations 1 to 3.
    """
    if not (alpha > 0 and beta > 0 and gamma > 0):
        raise SpecError(f"alpha, beta and gamma must be positive, got {alpha}, {beta} and {gamma}.")
    try:
        if isinstance(subject, Detector):
            require_no_gamma(gamma)
            scaled = detector_steps(subject, phi, phi, (alpha**phi, beta**phi, resolution_factor(phi)))
        else:
            scaled = scale(subject, alpha**phi, beta**phi, gamma**phi)
    except OverflowError:
        largest = "D7" if isinstance(subject, Detector) else "B7"
        raise SpecError(f"phi={phi:g} makes what no network may be; {largest} is about phi 7.") from None
    if phi == 0 or scaled is subject:
        return subject
    return replace(cast("Subject", scaled), name=f"{subject.name}-phi{phi:.4g}")


def require_no_gamma(gamma: float) -> None:
    """Raise SpecError where a gamma of its own is given to EfficientDet's rule."""
    if gamma != GAMMA:
        raise SpecError(
            f"EfficientDet's rule adds a quarter of the resolution per step and has no gamma, got {gamma:g}."
        )


def detector_steps(detector: Detector, depth: float, width: float, multipliers: tuple[float, float, float]) -> Detector:
    """EfficientDet's rule with a phi of its own for depth and for width; see `compound`.

    multipliers: of the backbone's depth and width, and of the resolution.
    Returns: a Detector under the same name.
    """
    pyramid, heads, rule = detector.pyramid, detector.heads, detector.backbone.rounding
    return replace(
        detector,
        backbone=_scaled_network(detector.backbone, *multipliers),
        pyramid=replace(
            pyramid,
            channels=rule.channels(pyramid.channels, PYRAMID_WIDTH**width),
            repeats=max(1, pyramid.repeats + whole_steps(depth)),
        ),
        heads=replace(heads, repeats=max(1, heads.repeats + whole_steps(depth / HEAD_STEP))),
    )


def whole_steps(phi: float) -> int:
    """Steps of phi that are complete, up or down; what is complete up to rounding error is."""
    return math.trunc(phi + math.copysign(1e-9, phi))


def resolution_factor(phi: float) -> float:
    """By how much EfficientDet's rule multiplies the resolution: 512, 640, 768, ... of 512 at phi 0, 1, 2, ..."""
    return 1 + RESOLUTION_STEP * phi if phi > 0 else (1 + RESOLUTION_STEP) ** phi


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


def _scaled_network(network: Network, depth: float, width: float, resolution: float) -> Network:
    rule = network.rounding
    return replace(
        network,
        stem=_scaled_stem(network.stem, width, rule),
        stages=tuple([scaled_stage(each, depth, width, rule) for each in network.stages]),
        head=None if network.head is None else _scaled_head(network.head, width, rule),
        resolution=_scaled_size(network.resolution, resolution),
    )


def _scaled_detector(detector: Detector, depth: float, width: float, resolution: float) -> Detector:
    pyramid, heads = detector.pyramid, detector.heads
    channels = detector.backbone.rounding.channels(pyramid.channels, width)
    return replace(
        detector,
        backbone=_scaled_network(detector.backbone, depth, width, resolution),
        pyramid=replace(pyramid, channels=channels, repeats=round_repeats(pyramid.repeats, depth)),
        heads=replace(heads, repeats=round_repeats(heads.repeats, depth)),
    )


def _scaled_size(size: Size, factor: float) -> Size:
    return max(1, round(factor * size[0])), max(1, round(factor * size[1]))


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
