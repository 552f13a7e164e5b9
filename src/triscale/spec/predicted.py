"""Searching by what is predicted, deciding by what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Point = TypeVar("Point")

AIM, SATISFIED = 0.95, 0.9  # of a limit: share aimed at, share to stop at
ROUNDS = 6  # most measurements
STEP_BACK = 0.97  # what is aimed at the next time, where a correction alone changes nothing


def predict_then_measure(
    largest: Callable[[float], Point | None],
    predicted: Callable[[Point], float],
    measured: Callable[[Point], float],
) -> Point | None:
    """The best point that was measured inside a limit, found with few measurements.

    A prediction that is off by a factor is off by nearly the same one nearby: each measurement corrects the next
    search.

    largest: the largest point whose predicted share of the limit is at most this; None where there is none.
    predicted, measured: share of the limit that a point uses.
    Returns: None where nothing was measured inside; the limit may then still be reachable.
    """
    best: tuple[float, Point] | None = None
    tried: list[Point] = []
    wanted, factor = AIM, 1.0
    for _ in range(ROUNDS):
        point = largest(wanted / factor)
        if point is None:
            break
        if point in tried:
            if best is not None and wanted < AIM:
                break
            wanted *= STEP_BACK
            continue
        tried.append(point)
        used = measured(point)
        if used <= 1 and (best is None or used > best[0]):
            best = used, point
        if SATISFIED <= used <= 1:
            break
        factor = used / predicted(point)
    return None if best is None else best[1]
