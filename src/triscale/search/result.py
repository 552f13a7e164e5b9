"""What a search for coefficients has found, and the same as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from triscale.search.candidate import Candidate
from triscale.search.coefficients import CoefficientSearch, Ranked
from triscale.search.comparison import Comparison
from triscale.search.grid import Proposal
from triscale.search.honesty import Honesty, headline


@dataclass(frozen=True, slots=True)
class CoefficientResult:
    """What came of it.

    base: the baseline itself. proposals: that were compared. step1: the search. family: phi 1, 2, ...
    curves, honesty: None while they were not asked for. trainings, seconds: of everything in the ledgers.
    """

    base: Candidate
    proposals: tuple[Proposal, ...]
    step1: CoefficientSearch
    family: tuple[Candidate, ...]
    curves: Comparison | None
    honesty: Honesty | None
    trainings: int
    seconds: float

    def headline(self) -> str:
        """What a person must read first."""
        return headline(self.honesty)


def told(result: CoefficientResult) -> dict[str, Any]:
    """The result as plain values."""
    step1 = result.step1
    return {
        "coefficients": asdict(step1.coefficients),
        "sentence": step1.sentence(),
        "noise": step1.noise,
        "headline": result.headline(),
        "candidates": [_row(each) for each in (*step1.ranked, *step1.beside)],
        "family": [{"phi": phi, **_costs(each)} for phi, each in enumerate(result.family, start=1)],
        "honesty": None if result.honesty is None else honesty_table(result.honesty),
        "curves": None if result.curves is None else _curves(result.curves),
        "trainings": result.trainings,
        "seconds": result.seconds,
    }


def figures(result: CoefficientResult) -> dict[str, Any]:
    """The few figures that `metrics.json` holds."""
    winner = result.step1.winner
    return {
        **asdict(result.step1.coefficients),
        "counted": winner.proposal.counted,
        "formula": winner.proposal.coefficients.formula,
        "val_top1": None if winner.estimate is None else winner.estimate.mean,
        "noise": result.step1.noise,
        "candidates": len(result.proposals),
        "trainings": result.trainings,
        "seconds": result.seconds,
    }


def _row(ranked: Ranked) -> dict[str, Any]:
    proposal, found = ranked.proposal, ranked.estimate
    return {
        **asdict(proposal.coefficients),
        "formula": proposal.coefficients.formula,
        "counted": proposal.counted,
        "inside": proposal.inside,
        **_costs(proposal.candidate),
        "rung": ranked.standing.rung,
        "score": None if found is None else asdict(found),
        "same_network": [asdict(each) for each in proposal.others],
    }


def _costs(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "key": candidate.key,
        "params": candidate.params,
        "macs": candidate.macs,
        "size": list(candidate.size),
    }


def honesty_table(found: Honesty) -> dict[str, Any]:
    """The comparison as plain values."""
    return {
        "headline": found.headline(),
        "split": found.split,
        "noise": found.noise,
        "steps": found.steps,
        "searched_steps": found.searched,
        "random_steps": found.random_steps,
        "contenders": [
            {
                "way": each.way,
                **_costs(each.candidate),
                "val": None if each.val is None else asdict(each.val),
                "test": None if each.test is None else asdict(each.test),
            }
            for each in found.contenders
        ],
    }


def _curves(found: Comparison) -> dict[str, Any]:
    return {
        "steps": found.steps,
        "seeds": found.seeds,
        "noise": found.noise,
        "baseline": None if found.baseline is None else asdict(found.baseline),
        "points": [
            {
                "way": each.way,
                "target": each.target,
                **_costs(each.candidate),
                "score": None if each.estimate is None else asdict(each.estimate),
            }
            for each in found.points
        ],
    }
