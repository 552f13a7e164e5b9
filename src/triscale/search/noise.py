"""The noise of scores: how far two trainings of one network are apart, and whether two networks can be told apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STANDARD_ERRORS = 2.0  # by which two means must differ


@dataclass(frozen=True, slots=True)
class Estimate:
    """The scores of one network at one number of steps.

    mean, seeds: of how many trainings. lowest, highest: of them.
    """

    mean: float
    seeds: int
    lowest: float
    highest: float


def estimate(scores: Sequence[float]) -> Estimate:
    """Of at least one score."""
    return Estimate(statistics.fmean(scores), len(scores), min(scores), max(scores))


def pooled_noise(groups: Iterable[Sequence[float]]) -> float | None:
    """The standard deviation of one score, from the seeds of all networks together.

    groups: the scores of each network at one number of steps. None where no network has two.
    """
    squares, freedom = 0.0, 0
    for scores in groups:
        if len(scores) > 1:
            mean = statistics.fmean(scores)
            squares += sum((each - mean) ** 2 for each in scores)
            freedom += len(scores) - 1
    return math.sqrt(squares / freedom) if freedom else None


def standard_error(one: Estimate, other: Estimate, noise: float) -> float:
    """Of the difference of two means."""
    return noise * math.sqrt(1 / one.seeds + 1 / other.seeds)


def told_apart(one: Estimate, other: Estimate, noise: float | None) -> bool:
    """Whether the means differ by more than two standard errors; never where the noise is not known."""
    return noise is not None and abs(one.mean - other.mean) > STANDARD_ERRORS * standard_error(one, other, noise)
