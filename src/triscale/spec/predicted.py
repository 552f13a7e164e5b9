"""Searching by what is predicted, deciding by what is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

Point = TypeVar("Point")

AIM, SATISFIED = 0.97, 0.94  # of a limit: share aimed at, share to stop at
ROUNDS = 7  # most measurements
NARROW = 1.01  # between a prediction that was inside and one that was not, below which nothing more is tried
FURTHER = 2.0  # by how much the search moves at most where it knows one side only


def predict_then_measure(
    largest: Callable[[float], Point | None],
    predicted: Callable[[Point], float],
    measured: Callable[[Point], float],
) -> Point | None:
    """The best point that was measured inside a limit, found with few measurements.

    A prediction that is off by a factor is off by nearly the same one nearby, so each measurement corrects the next
    search. Measurements are noisy: what was inside is never left for less, nor what was outside for more.

    largest: the largest point whose predicted share of the limit is at most this; None where there is none.
    predicted, measured: share of the limit that a point uses.
    Returns: None where nothing was measured inside; the limit may then still be reachable.
    """
    best: tuple[float, Point] | None = None
    inside, outside = 0.0, math.inf
    wanted = AIM
    for _ in range(ROUNDS):
        point = largest(wanted)
        if point is None:
            break
        share = predicted(point)
        if share <= inside:  # there is nothing between what was tried
            break
        used = measured(point)
        if used <= 1:
            inside = share
            if best is None or used > best[0]:
                best = used, point
        else:
            outside = share
        if SATISFIED <= used <= 1 or outside < NARROW * inside:
            break
        wanted = _between(AIM * share / used, inside, outside)
    return None if best is None else best[1]


def _between(wanted: float, inside: float, outside: float) -> float:
    """`wanted`, or the middle of the bracket where it lies outside of that; unknown ends are FURTHER away."""
    low = inside if inside > 0 else min(wanted, outside / FURTHER)
    high = outside if outside < math.inf else max(wanted, inside * FURTHER)
    return wanted if inside < wanted < outside else math.sqrt(low * high)
