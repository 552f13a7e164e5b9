"""What a detector does behind its backbone, operation by operation: pyramid, class head, box head.

Sizes are vectors: so many elements for each pixel of every level's map, finest first, and a last number for those that
are there once. `live` is how many elements exist during an operation: what it reads, what it writes, and what is
still needed later (maps that another node or head reads). A convolution with its BatchNorm and activation is one
operation, and so is bringing a map to another size, and combining the inputs of a node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from triscale.spec.block import Activation
from triscale.spec.detector import Heads
from triscale.spec.pyramid import Node, Pyramid

Vector = tuple[int, ...]
ALL = -1  # the place of what is written at all levels at once
KERNEL = 3  # of every convolution that is not 1x1


class MapOperation(NamedTuple):
    """One step of inference. `place` counts levels from the finest; one more is a single pixel, ALL is every level.

    weights: multiply-accumulates for each pixel that it writes; 0 where it is no convolution.
    """

    where: str
    name: str
    place: int
    channels: int
    params: int
    weights: int
    live: Vector


class Values:
    """Maps being read and written in order, so that it is known which of them are alive when."""

    def __init__(self, levels: int) -> None:
        self.levels = levels
        self._sizes: list[tuple[int, int]] = []  # of every map: place and channels
        self._given = 0
        self._steps: list[tuple[str, str, tuple[int, ...], int, int, int]] = []

    def given(self, places: Sequence[int], channels: Sequence[int]) -> list[int]:
        """Maps that are there before the first step; their numbers."""
        self._sizes += zip(places, channels, strict=True)
        self._given = len(self._sizes)
        return list(range(self._given - len(places), self._given))

    def channels(self, value: int) -> int:
        """Of a map."""
        return self._sizes[value][1]

    def place(self, value: int) -> int:
        """Of a map."""
        return self._sizes[value][0]

    def step(
        self, where: str, name: str, reads: Sequence[int], place: int, channels: int, params: int = 0, weights: int = 0
    ) -> int:
        """Add an operation; the number of the map that it writes."""
        self._sizes.append((place, channels))
        self._steps.append((where, name, tuple(reads), len(self._sizes) - 1, params, weights))
        return len(self._sizes) - 1

    def operations(self, wanted: Iterable[int]) -> tuple[MapOperation, ...]:
        """All that was added, in order; the `wanted` maps are still needed when it is over."""
        last = {value: step for step, (_, _, reads, *_) in enumerate(self._steps) for value in reads}
        last |= dict.fromkeys(wanted, len(self._steps))
        alive = [0] * (self.levels + 1)
        for value in range(self._given):
            if value in last:
                self._count(alive, value, 1)
        made = []
        for step, (where, name, reads, written, params, weights) in enumerate(self._steps):
            self._count(alive, written, 1)
            place, channels = self._sizes[written]
            made.append(MapOperation(where, name, place, channels, params, weights, tuple(alive)))
            for value in {*reads, written}:
                if last.get(value, step) <= step:
                    self._count(alive, value, -1)
        return tuple(made)

    def _count(self, alive: list[int], value: int, sign: int) -> None:
        place, channels = self._sizes[value]
        for each in range(self.levels) if place == ALL else (place,):
            alive[each] += sign * channels


class Width(NamedTuple):
    """How maps of a pyramid or a head are convolved: channels, separable or not, activation, bias before BatchNorm."""

    channels: int
    separable: bool
    activation: Activation
    bias: bool

    @property
    def slope(self) -> int:
        """Parameters of the activation."""
        return 1 if self.activation == "swish" else 0


def level_operations(fed: tuple[int, ...], levels: tuple[int, int], width: Width) -> tuple[MapOperation, ...]:
    """Making the levels that the backbone has not, from its coarsest map: [1x1 convolution], then max-pools.

    fed: channels of the backbone's maps. levels: (finest, coarsest).
    """
    count = levels[1] - levels[0] + 1
    values = Values(count)
    maps = values.given(range(len(fed)), fed)
    last = maps[-1]
    for place in range(len(fed), count):
        where = f"pyramid.P{levels[0] + place}"
        if place == len(fed):
            last = _project(values, where, last, width)
        last = values.step(where, "max pool", (last,), place, values.channels(last))
        maps.append(last)
    return values.operations(maps)


def repeat_operations(pyramid: Pyramid, number: int, reads: tuple[int, ...], bias: bool) -> tuple[MapOperation, ...]:
    """One repeat of a pyramid, whose maps begin with the channels that `reads` says, finest level first."""
    width = Width(pyramid.channels, pyramid.separable, pyramid.activation, bias)
    values = Values(len(reads))
    maps = values.given(range(len(reads)), reads)
    for index, node in enumerate(pyramid.nodes):
        maps.append(_node(values, f"pyramid.{number}.{index}", pyramid, node, maps, width))
    wanted = []
    for level, output in zip(pyramid.level_numbers, pyramid.outputs, strict=True):
        wanted.append(_project(values, f"pyramid.{number}.P{level}", maps[output], width))
    return values.operations(wanted)


def head_operations(
    heads: Heads, levels: tuple[int, int], channels: int, outputs: tuple[int, int], bias: bool
) -> tuple[MapOperation, ...]:
    """The class head over all levels, then the box head.

    outputs: numbers that each of them gives at one pixel.
    """
    width = Width(channels, heads.separable, heads.activation, bias)
    count = levels[1] - levels[0] + 1
    values = Values(count)
    maps = values.given(range(count), [channels] * count)
    answers = [
        _head(values, where, heads.repeats, maps, width, numbers)
        for where, numbers in zip(("class_head", "box_head"), outputs, strict=True)
    ]
    return values.operations(answers)


def _node(values: Values, where: str, pyramid: Pyramid, node: Node, maps: list[int], width: Width) -> int:
    place = node.level - pyramid.levels[0]
    reads = [_brought(values, where, maps[each], place, width) for each in node.inputs]
    slope = width.slope if node.convolve else 0
    if node.combine == "attend":
        mean = values.step(where, "average pool", reads[1:], values.levels, width.channels)
        combined = values.step(where, "attend", (*reads, mean), place, width.channels, slope)
    else:
        weights = 0 if pyramid.fusion == "sum" else len(reads)
        combined = values.step(where, "fuse", reads, place, width.channels, weights + slope)
    return _convolution(values, where, "", combined, width) if node.convolve else combined


def _brought(values: Values, where: str, value: int, place: int, width: Width) -> int:
    """An input at a node's width and size."""
    value = _project(values, where, value, width)
    own = values.place(value)
    if own == place:
        return value
    return values.step(where, "max pool" if own < place else "upsample", (value,), place, width.channels)


def _project(values: Values, where: str, value: int, width: Width) -> int:
    read, channels = values.channels(value), width.channels
    if read == channels:
        return value
    params = read * channels + 2 * channels + (channels if width.bias else 0)
    return values.step(where, "project", (value,), values.place(value), channels, params, read * channels)


def _convolution(values: Values, where: str, name: str, value: int, width: Width, first: bool = True) -> int:
    """A convolution with BatchNorm; parameters that levels share are told where they are `first` used."""
    place, channels = values.place(value), width.channels
    weights = channels * channels * (1 if width.separable else KERNEL * KERNEL)
    shared = weights + (channels if width.bias else 0)
    params = 2 * channels + (shared if first else 0)
    if not width.separable:
        return values.step(where, f"{name}convolution", (value,), place, channels, params, weights)
    value = _depthwise(values, where, name, value, channels, first)
    return values.step(where, f"{name}pointwise", (value,), place, channels, params, weights)


def _depthwise(values: Values, where: str, name: str, value: int, channels: int, first: bool) -> int:
    weights = KERNEL * KERNEL * channels
    return values.step(
        where, f"{name}depthwise", (value,), values.place(value), channels, weights if first else 0, weights
    )


def _head(values: Values, where: str, repeats: int, maps: list[int], width: Width, outputs: int) -> int:
    """One head: level by level, then the answers of all levels at once, as one long row of pixels."""
    seen = []
    for place, value in enumerate(maps):
        first = place == 0
        for layer in range(repeats):
            value = _convolution(values, where, f"{layer} ", value, width, first)
        if width.separable:
            value = _depthwise(values, where, "", value, width.channels, first)
        else:
            weights = KERNEL * KERNEL * width.channels * outputs
            params = weights + outputs if first else 0
            value = values.step(where, "answer", (value,), place, outputs, params, weights)
        seen.append(value)
    row = values.step(where, "concat", seen, ALL, values.channels(seen[0]), repeats * width.slope)
    if not width.separable:
        return row
    weights = width.channels * outputs
    return values.step(where, "answer", (row,), ALL, outputs, weights + outputs, weights)
