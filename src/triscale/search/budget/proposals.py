"""Proposals: tens of thousands of networks inside the limits, most of them where the limits are nearly used up.

A network's cost is arithmetic, so that what may be asked is known before anything is trained: for each depth and width
that differ after rounding the most pixels inside the limits are found, and fewer beside them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triscale.errors import SpecError
from triscale.search.budget.filling import along, impossible
from triscale.search.budget.limited import Limited
from triscale.search.budget.rows import Rows
from triscale.search.candidate import Candidate, Multipliers
from triscale.spec.network import Network
from triscale.spec.rules import COMPOUND, DIRECTIONS, RULES, Direction, Rule
from triscale.spec.scaling import scale

Mode = Literal["phi", "dwr", "compound"]

# Depths and widths, and resolutions of each: of a baseline whose costs are arithmetic on data, of one that is predicted
# for each cost as well, and of a module, which is traced.
QUICK, PREDICTED, TRACED = (6000, 10), (400, 6), (48, 3)
REACH = Multipliers(8.0, 4.0, 4.0)  # by how much a multiplier may differ from the compound rule's at the limit
BLIND = ("params", "size")  # limits that do not see pixels
FINE = 2000  # multipliers between the least and the most, of which those that differ after rounding are kept
TRIES = 4  # at most so many times as many shapes are tried, for many are equal or have no room
EDGE = 0.1  # share of the box by which it is overshot, so that some lie exactly on its edges: ceil(1.01 x 4) is 5
LEAST_COST = 1 / 16  # of the limits, where networks of all costs are wanted
ALONG_PHI, PHIS_BELOW = 1000, 4.0  # networks along phi, and how far below the limit they begin
# Steps whose multiples spread evenly over a square; the powers of the plastic number, Roberts 2018,
# http://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/
SPREAD = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True)
class Box:
    """Multipliers that are searched, from `low` to `high`."""

    low: Multipliers
    high: Multipliers

    def holds(self, multipliers: Multipliers) -> bool:
        """Whether they are in it, up to rounding error."""
        each = zip(self.low, multipliers, self.high, strict=True)
        return all(low * (1 - 1e-9) <= own <= high * (1 + 1e-9) for low, own, high in each)


@dataclass(frozen=True, eq=False)
class Proposals:
    """N different networks, all inside every counted limit.

    multipliers: (N, 3) depth, width, resolution. octaves: (N, 3) log2 of what rounding has left of them.
    values: by budget word, (N,) each; predicted ones are expected values. share: (N,), the largest share of a limit.
    inside: (N,), the probability that the limits which must be measured hold; 1 where there are none.
    anchors: by name ("compound", "depth", "width", "resolution"), the row that fills the limits along that direction.
    costed: how many networks were costed for it. box: where they were sought.
    """

    limited: Limited
    mode: Mode
    box: Box
    multipliers: np.ndarray
    octaves: np.ndarray
    values: dict[str, np.ndarray]
    share: np.ndarray
    inside: np.ndarray
    anchors: dict[str, int]
    costed: int

    def __len__(self) -> int:
        return len(self.multipliers)

    def candidate(self, row: int) -> Candidate:
        """The network of a row."""
        return self.limited.baseline.at(Multipliers(*self.multipliers[row].tolist()))


def propose(
    limited: Limited,
    mode: Mode = "dwr",
    rule: Rule = COMPOUND,
    shapes: int | None = None,
    levels: int | None = None,
    seed: int = 0,
    all_costs: bool = False,
) -> Proposals:
    """Networks of a baseline inside its limits.

    mode: "dwr" varies depth, width and resolution freely; "compound" is what alpha, beta, gamma >= 1 and phi can reach,
        which is all three multipliers at or above 1, or all at or below; "phi" is one family, along the rule.
    rule: of the family, and from which the others start.
    shapes, levels: how many depths and widths, and resolutions of each (of "phi": shapes alone).
    all_costs: networks of all costs below the limits, evenly in octaves, rather than near the limits.
    Raises: BudgetError where nothing is inside.
    """
    top = along(limited, rule)
    if top is None:
        raise impossible(limited, rule)
    if mode == "phi":
        return _along_phi(limited, rule, top, shapes or (ALONG_PHI if limited.quick else TRACED[0]))
    usual = QUICK if limited.quick else PREDICTED if isinstance(limited.own.made, Network) else TRACED
    alone = {each: along(limited, RULES[each]) for each in DIRECTIONS}
    box, found = _box(limited, mode, top, alone), Rows(limited)
    _cover(found, box, (shapes or usual[0], levels or usual[1]), np.random.default_rng(seed), all_costs)
    anchors = {"compound": top} | alone
    return _proposals(found, mode, box, {n: m for n, m in anchors.items() if m is not None and box.holds(m)})


def _box(limited: Limited, mode: Mode, top: Multipliers, alone: Mapping[Direction, Multipliers | None]) -> Box:
    """Where to look. alone: the most of each direction while the others stay at 1."""
    least = limited.smallest_resolution()
    low = [max(own / reach, 1e-3) for own, reach in zip(top, REACH, strict=True)]
    high = [own * reach for own, reach in zip(top, REACH, strict=True)]
    if all(word in BLIND for word in limited.budget.limits):
        high[2] = max(1.0, top.resolution)  # nothing but the price of training would stop it from growing
    if mode == "compound" and min(top) >= 1:
        most = [max(alone[each] or Multipliers()) for each in DIRECTIONS]
        low, high = [1.0] * 3, [min(pair) for pair in zip(high, most, strict=True)]
    elif mode == "compound":
        high = [1.0] * 3
    low[2] = max(low[2], least)
    return Box(Multipliers(*low), Multipliers(*[max(pair) for pair in zip(low, high, strict=True)]))


def _cover(found: Rows, box: Box, wanted: tuple[int, int], random: np.random.Generator, all_costs: bool) -> None:
    """Add so many shapes that have room for pixels, and resolutions of each."""
    (shapes, levels), side = wanted, min(found.limited.own.size)
    pixels = range(math.ceil(box.low.resolution * side - 1e-6), math.floor(box.high.resolution * side + 1e-6) + 1)
    known, without, given = set(), np.empty((0, 2)), 0
    for place in _places(found.limited, box, shapes, random):
        if (without <= place).all(axis=1).any():  # deeper and wider than what has no room at all
            continue
        shape = found.limited.shape(*place.tolist())
        if shape is None or shape.key in known:
            continue
        known.add(shape.key)
        aim = LEAST_COST ** random.random() if all_costs else 1.0
        if found.fill(shape, pixels, levels, aim):
            given += 1
        elif not all_costs:
            without = np.vstack((without[~(without >= place).all(axis=1)], place))
        if given == shapes:
            break


def _places(limited: Limited, box: Box, shapes: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """(depth, width) in the box, in random order: of a network all that differ after rounding, for the best one may be
    alone in using up the limits; of a module, which is slow to make, spread evenly in octaves."""
    base = limited.own.made
    if isinstance(base, Network):
        depths = _distinct(lambda depth: scale(base, depth=depth).stages, box.low.depth, box.high.depth)
        widths = _distinct(lambda width: scale(base, width=width).stages, box.low.width, box.high.width)
        pairs = np.array([(depth, width) for depth in depths for width in widths])
        yield from random.permutation(pairs)
        return
    lows, highs, start = np.log2(box.low[:2]), np.log2(box.high[:2]), random.random(2)
    beyond = EDGE * (highs - lows)
    for number in range(TRIES * shapes):
        place = lows - beyond + (start + number * np.array(SPREAD)) % 1 * (highs - lows + 2 * beyond)
        yield np.exp2(np.clip(place, lows, highs))


def _distinct(made: Callable[[float], Hashable], low: float, high: float) -> list[float]:
    """The smallest of a fine scale of multipliers for each of the things that they make."""
    found: dict[Hashable, float] = {}
    for each in np.geomspace(low, high, FINE).clip(low, high).tolist():
        try:
            found.setdefault(made(each), each)
        except (SpecError, OverflowError):
            continue
    return list(found.values())


def _along_phi(limited: Limited, rule: Rule, top: Multipliers, wanted: int) -> Proposals:
    """One family: phi at even steps up to the limit."""
    found, least = Rows(limited), limited.smallest_resolution()
    highest = max(
        math.log(own) / math.log(base)
        for own, base in zip(top, (rule.alpha, rule.beta, rule.gamma), strict=True)
        if base > 1
    )
    for phi in np.linspace(highest - PHIS_BELOW, highest, wanted):
        depth, width, resolution = rule.multipliers(float(phi))
        found.add(Multipliers(depth, width, max(resolution, least)))
    low = Multipliers(*[min(pair) for pair in zip(rule.multipliers(highest - PHIS_BELOW), top, strict=True)])
    return _proposals(found, "phi", Box(low, top), {"compound": top})


def _proposals(found: Rows, mode: Mode, box: Box, anchors: dict[str, Multipliers]) -> Proposals:
    rows = {name: found.add(each) for name, each in anchors.items()}
    columns = found.columns()
    return Proposals(
        limited=found.limited,
        mode=mode,
        box=box,
        multipliers=columns.multipliers,
        octaves=columns.octaves,
        values=columns.values,
        share=columns.share,
        inside=columns.inside,
        anchors={name: row for name, row in rows.items() if row is not None},
        costed=found.costed,
    )
