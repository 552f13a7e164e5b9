"""Pyramid: how the maps of a backbone become maps of equal width that a detector's heads read, as an edge list."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from triscale.errors import SpecError
from triscale.spec.block import Activation
from triscale.spec.checks import one_of, shown, whole

Fusion = Literal["fast", "softmax", "sum"]
Combine = Literal["fuse", "attend"]

FINEST, COARSEST = 1, 12  # levels; level 12 is one pixel of 4,096
MOST_NODES = 256  # of one repeat
MOST_REPEATS = 64


@dataclass(frozen=True, slots=True)
class Node:
    """One map that a pyramid makes.

    level: its stride is 2^level. inputs: which maps are brought to its size and combined; 0, 1, ... are the maps that
        the repeat begins with, from the finest level to the coarsest, then come the nodes in order.
    combine: "fuse" sums them as the pyramid's `fusion` says; "attend" is NAS-FPN's global pooling, of two inputs:
        second + sigmoid(mean over pixels of second) x first.
    convolve: whether activation, convolution and BatchNorm follow.
    """

    level: int
    inputs: tuple[int, ...]
    combine: Combine = "fuse"
    convolve: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        whole("Node.level", self.level, COARSEST)
        if not self.inputs or any(type(each) is not int or each < 0 for each in self.inputs):
            raise SpecError(f"Node.inputs must be numbers of earlier maps, at least one, got {shown(self.inputs)}.")
        if len(set(self.inputs)) < len(self.inputs):
            raise SpecError(f"Node.inputs names a map twice: {shown(self.inputs)}.")
        one_of("Node.combine", self.combine, Combine)
        if self.combine == "attend" and len(self.inputs) != 2:
            raise SpecError(f'a Node that attends has two inputs, got {len(self.inputs)}; "fuse" takes any number.')


@dataclass(frozen=True, slots=True)
class Pyramid:
    """Maps at `levels`, combined by `nodes`, `repeats` times over.

    kind: what people call it; two pyramids that differ only in it are equal.
    nodes: of one repeat; each repeat has the same edges and weights of its own. The last node of a level is what leaves
        the repeat there; a level without a node passes as it came, brought to `channels` where it has others.
    levels: (finest, coarsest): (3, 7) is P3 to P7. Levels that the backbone has not are made from its coarsest.
    channels: of every map. fusion: weights of a node's inputs: "fast" relu(w) / (sum + 1e-4), "softmax", or a plain
        "sum" without any. separable: nodes convolve depthwise and pointwise instead of fully. activation: before it.
    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 3 and figure 2.
    """

    kind: str = field(default="", compare=False)
    nodes: tuple[Node, ...] = ()
    levels: tuple[int, int] = (3, 7)
    channels: int = 64
    repeats: int = 3
    fusion: Fusion = "fast"
    separable: bool = True
    activation: Activation = "silu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "levels", tuple(self.levels))
        if (
            len(self.levels) != 2
            or not all(type(each) is int for each in self.levels)
            or not FINEST <= self.levels[0] <= self.levels[1] <= COARSEST
        ):
            raise SpecError(
                f"Pyramid.levels are (finest, coarsest), in {FINEST}..{COARSEST}, got {shown(self.levels)}."
            )
        whole("Pyramid.channels", self.channels)
        whole("Pyramid.repeats", self.repeats, MOST_REPEATS)
        one_of("Pyramid.fusion", self.fusion, Fusion)
        one_of("Pyramid.activation", self.activation, Activation)
        if len(self.nodes) > MOST_NODES:
            raise SpecError(f"Pyramid.nodes has {len(self.nodes)} nodes; {MOST_NODES} are the most.")
        for number, node in enumerate(self.nodes):
            if not self.levels[0] <= node.level <= self.levels[1]:
                raise SpecError(f"Pyramid.nodes[{number}] is at level {node.level}, outside of {self.levels}.")
            known = len(self.level_numbers) + number
            if max(node.inputs) >= known:
                raise SpecError(
                    f"Pyramid.nodes[{number}] reads map {max(node.inputs)}, but only 0..{known - 1} come before it."
                )

    @property
    def level_numbers(self) -> tuple[int, ...]:
        """Every level, from the finest to the coarsest."""
        return tuple(range(self.levels[0], self.levels[1] + 1))

    @property
    def outputs(self) -> tuple[int, ...]:
        """For each level, the number of the map that leaves a repeat there."""
        last = {level: number for number, level in enumerate(self.level_numbers)}
        for number, node in enumerate(self.nodes, start=len(self.level_numbers)):
            last[node.level] = number
        return tuple(last[level] for level in self.level_numbers)
