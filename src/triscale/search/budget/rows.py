"""Rows: networks that were costed, each once, and of which those inside the limits are kept."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from triscale.search.budget.filling import fill
from triscale.search.budget.limited import Limited, Shape, Spent
from triscale.search.candidate import Multipliers
from triscale.spec.limits import COUNTED
from triscale.spec.many_sizes import costs
from triscale.spec.network import Network

GRID = 32  # resolutions at which a shape is costed first
SIDES = 24  # and of a module, at all
LOWEST = 0.5  # the fewest pixels of a side, of those that would fill the limits


class Columns(NamedTuple):
    """N rows: multipliers (N, 3), octaves (N, 3), values by budget word, share and inside, (N,) each."""

    multipliers: np.ndarray
    octaves: np.ndarray
    values: dict[str, np.ndarray]
    share: np.ndarray
    inside: np.ndarray


class _Block(NamedTuple):
    """Resolutions of one shape: pixels of the shorter side, values, and share, (n,) each; inside is that of all."""

    shape: Shape
    pixels: np.ndarray
    values: dict[str, np.ndarray]
    share: np.ndarray
    inside: float


class Rows:
    """Networks inside the limits of a baseline. costed: how many were costed, inside or not."""

    def __init__(self, limited: Limited) -> None:
        self.limited, self.costed = limited, 0
        self._side = min(limited.own.size)
        self._known: dict[Hashable, int] = {}
        self._blocks: list[_Block] = []

    def add(self, multipliers: Multipliers) -> int | None:
        """The row of some multipliers; None where they are outside."""
        shape = self.limited.shape(multipliers.depth, multipliers.width)
        if shape is None:
            return None
        pixels = max(1, round(multipliers.resolution * self._side))  # as `scale` rounds
        return self._keep(shape, [(pixels, self._made(shape, pixels))])

    def fill(self, shape: Shape, pixels: range, levels: int, aim: float) -> bool:
        """Add the largest resolution of a shape that uses at most `aim` of each limit, and some below it.

        pixels: of the shorter side, among which it is sought. Returns: whether there is one.
        """
        sides: Sequence[int] = pixels
        if shape.network is None:  # a module is traced once for each size, which takes seconds
            sides = np.unique(np.rint(np.geomspace(pixels[0], pixels[-1], SIDES)).astype(int)).tolist()
        else:
            top = self._counted(shape, shape.network, pixels, levels if self.limited.quick else 0, aim)
            if self.limited.quick or top is None:
                return top is not None
            sides = range(pixels.start, top + 1)
        filled = fill(lambda each: self._made(shape, each), sides, aim)
        if filled is not None:
            below = _below([each for each in sides if LOWEST * filled.pixels <= each < filled.pixels], levels - 1)
            self._keep(shape, [*((each, self._made(shape, each)) for each in below), filled])
        return filled is not None

    def _counted(self, shape: Shape, network: Network, pixels: range, levels: int, aim: float) -> int | None:
        """The most of `pixels` by arithmetic alone, and its row and others below it where `levels` are wanted."""
        grid = np.unique(np.rint(np.geomspace(pixels[0], pixels[-1], GRID)).astype(int))
        values, share = self._table(network, grid)
        inside = int(np.searchsorted(share, aim, side="right"))
        if inside == 0:
            return None
        fine = np.arange(grid[inside - 1], grid[inside] if inside < len(grid) else grid[-1] + 1)
        fine_values, fine_share = self._table(network, fine)
        most = int(np.searchsorted(fine_share, aim, side="right"))
        if levels:
            coarse = (grid < fine[0]) & (grid >= LOWEST * fine[most - 1])
            near = np.unique(most - 1 - np.linspace(0, most - 1, levels).astype(int))
            keep = [
                (fine, fine_values, fine_share, near),
                (grid, values, share, np.flatnonzero(coarse)[-(levels // 2) :]),
            ]
            for sides, costed, shares, at in keep:
                picked = {word: each[at] for word, each in costed.items()}
                block = _Block(shape, sides[at], picked, shares[at], 1.0)
                self._append(block, [(shape.key, each) for each in sides[at].tolist()])
        return int(fine[most - 1])

    def columns(self) -> Columns:
        """All rows, in the order in which they came."""
        sides = [each.pixels / self._side for each in self._blocks]
        pairs = list(zip(self._blocks, sides, strict=True))
        return Columns(
            np.concatenate([_beside(each.shape.multipliers[:2], side) for each, side in pairs]),
            np.concatenate([_beside(each.shape.octaves, np.log2(side)) for each, side in pairs]),
            {word: np.concatenate([each.values[word] for each in self._blocks]) for word in self._blocks[0].values},
            np.concatenate([each.share for each in self._blocks]),
            np.concatenate([np.full(len(each.pixels), each.inside) for each in self._blocks]),
        )

    def _table(self, network: Network, pixels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """(values by budget word, the largest share of a counted limit) at each of `pixels`."""
        self.costed += len(pixels)
        sides = [np.maximum(1, np.rint(pixels / self._side * each).astype(int)) for each in self.limited.own.size]
        values = dict(zip(COUNTED, costs(network, *sides), strict=True))
        shares = [values[word] / limit for word, limit in self.limited.counted_limits.items()]
        return values, np.max(shares, axis=0) if shares else np.zeros(len(pixels))

    def _made(self, shape: Shape, pixels: int) -> Spent | None:
        self.costed += 1
        candidate = self.limited.at(shape.multipliers._replace(resolution=pixels / self._side))
        return None if candidate is None else self.limited.spent(candidate)

    def _keep(self, shape: Shape, made: Iterable[tuple[int, Spent | None]]) -> int | None:
        """Add those that are inside; the row of the last one."""
        row = None
        for pixels, each in made:
            row = None
            if each is not None and each.share <= 1:
                key = (shape.key, pixels) if self.limited.quick else each.made
                if key not in self._known:
                    values = {word: np.array([value]) for word, value in each.values.items()}
                    self._append(_Block(shape, np.array([pixels]), values, np.array([each.share]), each.inside), [key])
                row = self._known[key]
        return row

    def _append(self, block: _Block, keys: list[Hashable]) -> None:
        self._blocks.append(block)
        for key in keys:
            self._known[key] = len(self._known)


def _below(sides: Sequence[int], levels: int) -> list[int]:
    """At most so many of `sides`, denser towards the last."""
    places = {int(len(sides) * (1 - ((step + 1) / (levels + 1)) ** 2)) for step in range(levels)} if sides else ()
    return [sides[place] for place in sorted(places)]


def _beside(two: Sequence[float], third: np.ndarray) -> np.ndarray:
    """(N, 3): the same two numbers in each row, and the third."""
    return np.column_stack((np.broadcast_to(two, (len(third), 2)), third))
