"""A worker: takes trials from a study that any number of workers share, and asks their scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from triscale.errors import SearchError
from triscale.search.asking import Asker
from triscale.search.budget.result import answered
from triscale.search.budget.sampler import FAILURE, BudgetSampler, taken
from triscale.search.candidate import Candidate
from triscale.search.ledger import Entry

if TYPE_CHECKING:
    from optuna.study import Study


def work(
    study: Study, sampler: BudgetSampler, ask: Asker, trials: int, steps: int, seeds: int = 1
) -> list[tuple[Candidate, Sequence[Entry]]]:
    """Ask until the study has so many trials that are answered, or that somebody is about to answer.

    study: maximised, on any storage, made or loaded with this sampler.
    Returns: what this worker has asked, for `conclude`.
    Raises: SearchError after ten failures in a row, or where every network was asked.
    """
    import optuna

    asked: list[tuple[Candidate, Sequence[Entry]]] = []
    while sum(taken(each) for each in study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        try:
            candidate = sampler.suggest(trial)
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        except SearchError:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        trial.set_user_attr("key", candidate.key)
        trial.set_user_attr("name", candidate.name)
        entries = [ask(candidate, seed, steps) for seed in range(seeds)]
        asked.append((candidate, entries))
        score = answered(entries)
        if score == score:
            study.tell(trial, score)
        else:
            trial.set_user_attr(FAILURE, next(each.failure for each in entries if each.score is None))
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    return asked
