"""What `fit` chooses from: networks with weights at hand, candidates, and how their sizes differ in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from triscale.spec.network import Network
from triscale.spec.scaling import lowres


@dataclass(frozen=True, slots=True)
class Known:
    """A network with published weights: their name, the network at its own size, its ImageNet accuracy in 0..1."""

    name: str
    network: Network
    top1: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that was looked at.

    weights: name of the published weights it starts from; None starts from nothing.
    top1: published ImageNet accuracy of those weights in 0..1, at their own size; None for a grown network.
    kept: share of the size at which they were trained; None without weights.
    values: what it costs, by budget word (counts, bytes, seconds). inside: within every limit.
    scaled: what was changed, in words. reason: why it was chosen, or not.
    grown: whether the network is larger than that of the weights, and grown from it; see `growth_source`.
    """

    network: Network
    weights: str | None
    top1: float | None
    kept: float | None
    values: Mapping[str, float]
    inside: bool
    scaled: str
    reason: str = ""
    grown: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen candidate, what else was looked at (best first), and what a person should know."""

    chosen: Candidate
    rejected: tuple[Candidate, ...]
    notes: tuple[str, ...]


def with_a_map_left(network: Network) -> Network:
    """Published weights keep their strides, unless the last map would be a single pixel."""
    side = min(network.resolution)
    return replace(lowres(network, side), name=network.name) if side < 2 * max(network.reductions()) else network


def what_changed(baseline: Network, made: Network) -> str:
    """Depth, width and resolution of two networks of one family, in words."""
    changes = []
    for name, unit, before, after in (
        ("depth", "blocks", *(sum(len(s.blocks) for s in net.stages) for net in (baseline, made))),
        ("width", "channels at the end", *(net.stages[-1].channels for net in (baseline, made))),
        ("resolution", "px", *(min(net.resolution) for net in (baseline, made))),
    ):
        changes.append(f"{name} {before} → {after} {unit}" if before != after else f"{name} as published")
    return ", ".join(changes)


def early_strides(before: Network, after: Network) -> str:
    """What became of the strides, in words; empty where they are the same."""
    strides = [net.stem.stride * _product(net) for net in (before, after)]
    return (
        "" if strides[0] == strides[1] else f"; low-resolution form: early strides 1 (1/{strides[1]} of the image left)"
    )


def _product(network: Network) -> int:
    total = 1
    for each in network.stages:
        total *= each.stride
    return total
