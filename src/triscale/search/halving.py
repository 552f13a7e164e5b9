"""Successive halving: all candidates are trained a little, the better ones longer and with more seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from triscale.errors import SearchError, SpecError
from triscale.search.asking import Asker, asked_together
from triscale.search.candidate import Candidate
from triscale.search.noise import Estimate, estimate, pooled_noise


@dataclass(frozen=True, slots=True)
class Rung:
    """One round: every candidate that is left is trained for so many steps with so many seeds (0, 1, ...).

    keep: share of them that goes on to the next rung, at least one; ties go on in the order in which they came.
    """

    steps: int
    seeds: int = 1
    keep: float = 1 / 3

    def __post_init__(self) -> None:
        if self.steps < 1 or self.seeds < 1 or not 0 < self.keep <= 1:
            raise SpecError(f"a Rung has at least 1 step and 1 seed, and keeps a share in 0..1; got {self}.")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate ended.

    rung: the number of the last rung that it was trained in, from 0. estimate: its scores there; None where all failed.
    """

    candidate: Candidate
    rung: int
    estimate: Estimate | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """All candidates, the best first: by the rung that they reached, then by their mean score in it.

    noise: of one score, in the last rung where a network has several seeds; None where none has. rungs: as they were.
    """

    standings: tuple[Standing, ...]
    noise: float | None
    rungs: tuple[Rung, ...]

    @property
    def best(self) -> Standing:
        """The winner."""
        return self.standings[0]


def halve(
    candidates: Sequence[Candidate],
    ask: Asker,
    rungs: Sequence[Rung],
    entered: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Rank candidates; equal ones are trained once.

    entered: called with (number of the rung, candidates in it) when one begins.
    Raises: SearchError where no candidate has a score.
    Source: successive halving, Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943, algorithm 1.
    """
    left, ended, noise = list(dict.fromkeys(candidates)), [], None
    if not left or not rungs:
        raise SpecError("halving needs at least one candidate and one rung.")
    for number, rung in enumerate(rungs):
        if entered is not None:
            entered(number, len(left))
        scores = asked_together(left, ask, rung.steps, rung.seeds)
        found = pooled_noise(scores.values())
        noise = noise if found is None else found
        told = [Standing(each, number, estimate(found) if found else None) for each, found in scores.items()]
        told.sort(key=_worth, reverse=True)  # stable: ties stay in order
        kept = len(told) if number + 1 == len(rungs) else max(1, math.ceil(rung.keep * len(told)))
        going = [each for each in told[:kept] if each.estimate is not None]
        if not going:
            raise SearchError(f"none of the {len(left)} candidates has a score; see {ask.ledger.path} for the reasons.")
        ended = [*(each for each in told if each not in going), *ended] if number + 1 < len(rungs) else [*told, *ended]
        left = [each.candidate for each in going]
    return Ranking(tuple(ended), noise, tuple(rungs))


def trainings(candidates: int, rungs: Sequence[Rung]) -> list[tuple[int, int]]:
    """(trainings, steps of each) of every rung for so many candidates: what a search will cost."""
    found = []
    for rung in rungs:
        found.append((candidates * rung.seeds, rung.steps))
        candidates = max(1, math.ceil(rung.keep * candidates))
    return found


def _worth(standing: Standing) -> float:
    return -math.inf if standing.estimate is None else standing.estimate.mean
