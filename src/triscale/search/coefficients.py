"""STEP 1 and STEP 2 of EfficientNet: find alpha, beta, gamma on a small network, then scale it with them.

Source: EfficientNet, https://arxiv.org/abs/1905.11946, section 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triscale.search.asking import Asker, asked_together
from triscale.search.candidate import Baseline, Candidate
from triscale.search.grid import Coefficients, Proposal
from triscale.search.halving import Rung, Standing, halve
from triscale.search.noise import Estimate, estimate, standard_error, told_apart


@dataclass(frozen=True, slots=True)
class Ranked:
    """A proposal and where it ended."""

    proposal: Proposal
    standing: Standing

    @property
    def estimate(self) -> Estimate | None:
        """Its scores in the last rung that it was trained in; None where all failed."""
        return self.standing.estimate


@dataclass(frozen=True, slots=True)
class CoefficientSearch:
    """What came of STEP 1.

    ranked: every proposal inside of the constraint, the best first. beside: those outside of it, to compare with in the
        first rung. noise: the standard deviation of one score; None where no network was trained twice.
    """

    ranked: tuple[Ranked, ...]
    beside: tuple[Ranked, ...]
    noise: float | None
    rungs: tuple[Rung, ...]

    @property
    def winner(self) -> Ranked:
        """The best one."""
        return self.ranked[0]

    @property
    def coefficients(self) -> Coefficients:
        """alpha, beta and gamma that were found."""
        return self.winner.proposal.coefficients

    @property
    def runner_up(self) -> Ranked | None:
        """The next best one that reached the last rung; None where the winner is alone."""
        return next(iter(self.finalists[1:]), None)

    @property
    def finalists(self) -> tuple[Ranked, ...]:
        """Those that were trained in the last rung, the best first."""
        last = len(self.rungs) - 1
        return tuple(each for each in self.ranked if each.standing.rung == last and each.estimate is not None)

    @property
    def margin(self) -> float | None:
        """By how much the winner's mean score is above the runner-up's."""
        other = self.runner_up
        return None if other is None else _estimate(self.winner).mean - _estimate(other).mean

    @property
    def equals(self) -> tuple[Ranked, ...]:
        """Finalists that cannot be told apart from the winner: within two standard errors of it."""
        own = _estimate(self.winner)
        return tuple(each for each in self.finalists[1:] if not told_apart(own, _estimate(each), self.noise))

    def sentence(self) -> str:
        """What was found, and how sure it is."""
        found = f"alpha, beta, gamma = {self.coefficients}"
        other, margin = self.runner_up, self.margin
        if other is None or margin is None:
            return f"{found}: no other candidate was trained as long"
        if self.noise is None:
            return (
                f"{found}: {margin:+.2%} above the next one; with one seed each nothing is known of the noise, so that "
                f"these two cannot be told apart"
            )
        error = standard_error(_estimate(self.winner), _estimate(other), self.noise)
        said = f"{found}: {margin:+.2%} above the next one, with a standard error of {error:.2%}"
        if self.equals:
            return f"{said}; {len(self.equals)} of {len(self.finalists) - 1} finalists cannot be told apart from it"
        return f"{said}; all other finalists are told apart from it"


def search_coefficients(proposals: Sequence[Proposal], ask: Asker, rungs: Sequence[Rung]) -> CoefficientSearch:
    """STEP 1: train every proposal, and tell which coefficients are best at about twice the cost.

    proposals: of `coefficient_grid`. ask: the score, with its ledger: nothing that is in it is trained again.
    rungs: of successive halving. Those outside of the constraint are trained in the first rung alone, to compare with.
    Raises: SearchError where no proposal has a score, or ten in a row fail.
    """
    inside = [each for each in proposals if each.inside]
    ranking = halve([each.candidate for each in inside], ask, rungs)
    by_candidate = {each.candidate: each for each in inside}
    ranked = tuple(Ranked(by_candidate[each.candidate], each) for each in ranking.standings)
    others = [each for each in proposals if not each.inside]
    scores = asked_together([each.candidate for each in others], ask, rungs[0].steps, rungs[0].seeds)
    beside = tuple(_beside(each, scores[each.candidate]) for each in others)
    return CoefficientSearch(ranked, beside, ranking.noise, tuple(rungs))


def family(baseline: Baseline, coefficients: Coefficients, largest: int) -> list[Candidate]:
    """STEP 2: the baseline at phi = 1, 2, ..., `largest`. Raises: SpecError where that makes what no network may be."""
    return [baseline.at(coefficients.at(phi)) for phi in range(1, largest + 1)]


def _beside(proposal: Proposal, scores: Sequence[float]) -> Ranked:
    """A proposal outside of the constraint, in the first rung alone."""
    return Ranked(proposal, Standing(proposal.candidate, 0, estimate(scores) if scores else None))


def _estimate(ranked: Ranked) -> Estimate:
    assert ranked.estimate is not None  # the winner and finalists have scores
    return ranked.estimate
