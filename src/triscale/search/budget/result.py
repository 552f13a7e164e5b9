"""What a search inside a budget found."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triscale.errors import SearchError
from triscale.search.budget.choosing import NOTHING, History, fitted
from triscale.search.budget.pareto import non_dominated
from triscale.search.budget.process import Process
from triscale.search.budget.proposals import Mode, Proposals
from triscale.search.candidate import Candidate
from triscale.search.ledger import Entry
from triscale.search.noise import pooled_noise


@dataclass(frozen=True)
class Scored:
    """A network that was asked.

    entries: the answers, one for each seed. score: their mean; None where one failed.
    mean, deviation: what the process says of its score without noise, once all were asked.
    values: its costs by budget word. used: the share of each limit. inside: the probability that all limits hold.
    """

    candidate: Candidate
    entries: tuple[Entry, ...]
    score: float | None
    mean: float
    deviation: float
    values: Mapping[str, float]
    used: Mapping[str, float]
    inside: float


@dataclass(frozen=True)
class BudgetResult:
    """The outcome of a search.

    winner: of all that were asked and have a score, the one whose score without noise is expected to be highest.
    scored: all that were asked, in that order. front: by expected score and `pareto`'s cost, those that nothing beats,
    the cheapest first; empty without `pareto`. noise: the standard deviation of one score: from networks with several
    seeds where there are such, else what the process makes of it. process: the posterior itself, for pictures.
    """

    winner: Scored
    scored: tuple[Scored, ...]
    front: tuple[Scored, ...]
    pareto: str | None
    noise: float
    mode: Mode
    proposals: Proposals
    process: Process

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every answer, in the order in which it was asked."""
        return tuple(entry for each in self.scored for entry in each.entries)


def answered(entries: Sequence[Entry]) -> float:
    """The mean score of one network's answers; NaN where one of them failed."""
    scores = [entry.score for entry in entries if entry.score is not None]
    return statistics.fmean(scores) if scores and len(scores) == len(entries) else math.nan


def history(proposals: Proposals, asked: Sequence[tuple[Candidate, Sequence[Entry]]]) -> History:
    """What `choose` goes by."""
    if not asked:
        return NOTHING
    octaves = np.array([proposals.limited.octaves(candidate) for candidate, _ in asked])
    return History(octaves, np.array([answered(entries) for _, entries in asked]), NOTHING.running)


def conclude(
    proposals: Proposals, asked: Sequence[tuple[Candidate, Sequence[Entry]]], pareto: str | None = None
) -> BudgetResult:
    """What was found, from all candidates that were asked, with their answers.

    Raises: SearchError where none has a score.
    """
    known = history(proposals, asked)
    if not np.isfinite(known.scores).any():
        raise SearchError(f"none of the {len(asked)} networks that were asked has a score; the ledger has the reasons.")
    process = fitted(known)
    means, deviations = process.predict(known.octaves)
    told = [
        _scored(proposals, candidate, entries, float(mean), float(deviation))
        for (candidate, entries), mean, deviation in zip(asked, means, deviations, strict=True)
    ]
    able = [each for each in told if each.score is not None]
    front: list[int] = []
    if pareto is not None:
        front = non_dominated(np.array([e.mean for e in able]), np.array([e.values[pareto] for e in able]))
    seeds = pooled_noise([entry.score for entry in each.entries if entry.score is not None] for each in able)
    one = max(len(each.entries) for each in able)  # the process saw means of so many
    return BudgetResult(
        winner=max(able, key=lambda each: each.mean),
        scored=tuple(told),
        front=tuple(able[place] for place in front),
        pareto=pareto,
        noise=seeds if seeds is not None else process.deviation_of_noise * math.sqrt(one),
        mode=proposals.mode,
        proposals=proposals,
        process=process,
    )


def _scored(
    proposals: Proposals, candidate: Candidate, entries: Sequence[Entry], mean: float, deviation: float
) -> Scored:
    spent, score = proposals.limited.spent(candidate), answered(entries)
    used = proposals.limited.budget.used(spent.values)
    found = None if math.isnan(score) else score
    return Scored(candidate, tuple(entries), found, mean, deviation, spent.values, used, spent.inside)
