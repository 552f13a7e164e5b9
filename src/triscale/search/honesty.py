"""Is what a search has found any better than what costs nothing to find? Told always, whatever the answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triscale.search.asking import Ask, Asker, asked_together, entries_together, scores_of
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.comparison import all_at_cost
from triscale.search.grid import PUBLISHED
from triscale.search.noise import Estimate, estimate, pooled_noise, standard_error, told_apart

WINNER, RULE, RANDOM, BASELINE = "the search", "the published rule", "random search", "the baseline"


@dataclass(frozen=True, slots=True)
class Contender:
    """One network that is compared at the end.

    way: how it was come by. val, test: its scores on validation and test images; None where all failed, or there are no
    test images. All are trained with equal steps and seeds.
    """

    way: str
    candidate: Candidate
    val: Estimate | None
    test: Estimate | None


@dataclass(frozen=True, slots=True)
class Honesty:
    """The search beside its rivals at about the same cost.

    contenders: the search's own first. noise: of one score, on the split that is judged by. steps: of each training.
    searched: training steps that the search took; tried, random_steps: candidates and steps of the random search.
    """

    contenders: tuple[Contender, ...]
    noise: float | None
    steps: int
    searched: int
    tried: int
    random_steps: int

    @property
    def split(self) -> str:
        """What is judged by: test images where there are any."""
        return "val" if self.contenders[0].test is None else "test"

    def score(self, contender: Contender) -> Estimate | None:
        """Of a contender, on that split."""
        return contender.val if self.split == "val" else contender.test

    @property
    def rivals(self) -> tuple[Contender, ...]:
        """All but the search's own that have a score, the best first; the baseline costs less and is none."""
        own = [each for each in self.contenders[1:] if self.score(each) is not None and each.way != BASELINE]
        return tuple(sorted(own, key=lambda each: -_mean(self.score(each))))

    def headline(self) -> str:
        """Whether the search won, in one line; a draw is no win."""
        own, rivals = self.score(self.contenders[0]), self.rivals
        if own is None:
            return "The search did not win: its network could not be trained at the end."
        if not rivals:
            return "Not compared: no rival has a score."
        best = rivals[0]
        other = self.score(best)
        assert other is not None  # as `rivals` saw
        ahead = own.mean - other.mean
        if not told_apart(own, other, self.noise):
            error = "unknown" if self.noise is None else f"{standard_error(own, other, self.noise):.2%}"
            return (
                f"The search did not win: {own.mean:.2%} against {other.mean:.2%} of {best.way} cannot be told apart "
                f"(standard error of the difference {error})."
            )
        if ahead > 0:
            return f"The search won: {own.mean:.2%}, {ahead:.2%} above {best.way}, the best of its rivals."
        return f"The search did not win: {best.way} is {-ahead:.2%} better, {other.mean:.2%} against {own.mean:.2%}."


def headline(found: Honesty | None) -> str:
    """What a person must read first of a search; None is one that was not held against anything."""
    return "Not compared yet: run the same command with --honesty now." if found is None else found.headline()


def compare_honestly(
    winner: Candidate,
    rivals: Mapping[str, Candidate],
    drawn: Sequence[Candidate],
    ask: Asker,
    final: Asker | None,
    steps: int,
    seeds: int,
    searched: int,
) -> Honesty:
    """Train the winner and its rivals with equal steps and seeds, and judge them.

    rivals: by how they were come by. drawn: at random, as many as `drawn_at_random` says; the best of them after one
    training each is a rival too. ask: of validation images. final: of test images, which are read here for the first
    time; None where there are none. steps, seeds: of each. searched: training steps that the search took.
    """
    told = ask.all([Ask(each, 0, steps) for each in drawn])
    scored = [(each.score, -number) for number, each in enumerate(told) if each.score is not None]
    found = {RANDOM: drawn[-max(scored)[1]]} if scored else {}
    last = {BASELINE: rivals[BASELINE]} if BASELINE in rivals else {}
    first = {way: each for way, each in rivals.items() if way != BASELINE}
    named = {WINNER: winner, **first, **found, **last}
    val, test = _judged(named.values(), ask, final, steps, seeds)
    contenders = [Contender(way, each, _told(val[each]), _told(test.get(each, ()))) for way, each in named.items()]
    noise = pooled_noise((val if contenders[0].test is None else test).values())
    return Honesty(tuple(contenders), noise, steps, searched, len(drawn), len(drawn) * steps)


def _judged(
    candidates: Collection[Candidate], ask: Asker, final: Asker | None, steps: int, seeds: int
) -> tuple[dict[Candidate, list[float]], dict[Candidate, list[float]]]:
    """(scores of each on validation images; on test images), the latter empty without `final`.

    One training is judged on both, where the score can; a score of one's own is asked twice.
    """
    if final is None:
        return asked_together(candidates, ask, steps, seeds), {}
    found = entries_together(candidates, final, steps, seeds)
    test = {each: scores_of(entries) for each, entries in found.items()}
    if any(one.beside is None and one.score is not None for entries in found.values() for one in entries):
        return asked_together(candidates, ask, steps, seeds), test
    return {each: [e.beside for e in entries if e.beside is not None] for each, entries in found.items()}, test


def published_rivals(baseline: Baseline, macs: float) -> dict[str, Candidate]:
    """The published rule, and depth, width and resolution alone, at a cost; and the baseline, which costs less."""
    found = {}
    for way, each in all_at_cost(baseline, PUBLISHED, macs).items():
        found[RULE if way == "compound" else f"{way} only"] = each
    return found | {BASELINE: baseline.at(Multipliers())}


def drawn_at_random(candidates: int, steps: int, searched: int, seed: int) -> list[int]:
    """Numbers of as many candidates as a random search trains, for so many steps each, in the steps of the search."""
    count = max(1, searched // steps)
    return np.random.default_rng(seed).permutation(candidates)[:count].tolist()


def _told(scores: Sequence[float]) -> Estimate | None:
    return estimate(scores) if scores else None


def _mean(found: Estimate | None) -> float:
    return -1.0 if found is None else found.mean
