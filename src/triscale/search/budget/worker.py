"""A worker: takes trials from a study that any number of workers share, and asks their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from triscale.errors import SearchError
from triscale.search.asking import Asker, seeds_of
from triscale.search.budget.result import answered
from triscale.search.budget.sampler import BudgetSampler, taken
from triscale.search.budget.search import Asked, Plan
from triscale.search.ledger import Entry
from triscale.search.shared.asker import PAUSE
from triscale.search.shared.listener import Listener
from triscale.search.shared.study import SharedStudy, answers, multipliers

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


def work(
    study: SharedStudy,
    sampler: BudgetSampler,
    ask: Asker,
    plan: Plan,
    others: Callable[[Entry], None] | None = None,
    pause: float = PAUSE,
) -> Asked:
    """Ask until the study has `plan.trials` trials that are answered, by this worker or others.

    study: made with this sampler. ask: answers here; its ledger is this worker's own, and hears of the others' answers.
    A worker that dies leaves its trial to the others. others: told each answer of another worker that is new here.
    Returns: what was asked, in the order of the trials, for `conclude`; fewer where there are no more networks.
    Raises: SearchError after ten failures in a row, or where the storage stays away.
    """
    listen, trials, used_up = Listener(ask.ledger, others), study.trials(), False
    while not _is_done(trials, plan.trials, used_up):
        if study.free_dead():
            used_up = False
        elif used_up or sum(map(taken, trials)) >= plan.trials:  # the others are about to answer the last ones
            time.sleep(pause)
        else:
            used_up = not _one(study, sampler, ask, plan)
        trials = study.trials()
        listen(trials)
    listen(trials)
    baseline = sampler.proposals.limited.baseline
    return [(baseline.at(multipliers(each)), answers(each)) for each in trials if answers(each)]


def _is_done(trials: Sequence[FrozenTrial], wanted: int, used_up: bool) -> bool:
    running = any(each.state.name == "RUNNING" for each in trials)
    return not running and (used_up or sum(map(taken, trials)) >= wanted)


def _one(study: SharedStudy, sampler: BudgetSampler, ask: Asker, plan: Plan) -> bool:
    """Ask one network. Returns: whether there was any left."""
    import optuna

    trial = study.ask()
    try:
        candidate = study.patiently(lambda: sampler.suggest(trial))
    except optuna.TrialPruned:
        study.give_way(trial.number)
        return True
    except SearchError:  # every network was asked
        study.fail(trial.number)
        return False
    if sum(taken(each) for each in study.trials()[: trial.number]) >= plan.trials:  # others have begun the last ones
        study.give_way(trial.number)
        return True
    study.describe(trial.number, candidate)
    with study.held(trial.number):
        entries = ask.all(seeds_of(candidate, plan.seeds, plan.steps))
    study.answer(trial.number, entries, answered(entries))
    return True
