"""The search as a sampler of Optuna: on any storage, with any number of workers."""

import importlib
import sys
import threading
import time

import numpy as np
import pytest

from tests.search.budget.helpers import BUDGET, small, smooth
from tests.search.helpers import Counting, asker
from triscale.errors import MissingExtraError, SearchError
from triscale.search.budget.result import conclude
from triscale.spec.limits import counted

pytest.importorskip("scipy")
optuna = pytest.importorskip("optuna")
BudgetSampler = importlib.import_module("triscale.search.budget.sampler").BudgetSampler
work = importlib.import_module("triscale.search.budget.worker").work

optuna.logging.set_verbosity(optuna.logging.WARNING)
PROPOSALS = small()


def study(sampler, storage=None, direction="maximize"):
    return optuna.create_study(sampler=sampler, storage=storage, study_name="s", direction=direction)


def params(made):
    return [tuple(trial.params.values()) for trial in made.trials]


def journal(folder):
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    return optuna.storages.JournalStorage(backend)


def test_the_same_seed_and_history_ask_the_same_on_any_storage(tmp_path):
    found = []
    for storage in (None, journal(tmp_path)):
        sampler = BudgetSampler(PROPOSALS)
        made = study(sampler, storage)
        made.optimize(lambda trial, own=sampler: smooth(own.suggest(trial), 0, 1), n_trials=12)
        found.append(params(made))
    assert found[0] == found[1] and len(set(found[0])) == 12


def test_nothing_outside_is_asked_and_the_optimum_is_found(tmp_path):
    sampler, score = BudgetSampler(PROPOSALS), Counting(smooth)
    made = study(sampler)
    found = conclude(PROPOSALS, work(made, sampler, asker(tmp_path, score), trials=15, steps=10))
    assert all(max(BUDGET.used(counted(each.candidate.network)).values()) <= 1 for each in found.scored)
    best = max(smooth(PROPOSALS.candidate(row), 0, 10) for row in range(len(PROPOSALS)))
    assert best - made.best_value < 0.005 and made.best_value == found.winner.score
    assert made.best_trial.user_attrs["key"] == found.winner.candidate.key


def test_a_minimised_study_is_searched_the_other_way_round():
    up, down = BudgetSampler(PROPOSALS), BudgetSampler(PROPOSALS)
    one, other = study(up), study(down, direction="minimize")
    one.optimize(lambda trial: smooth(up.suggest(trial), 0, 1), n_trials=11)
    other.optimize(lambda trial: -smooth(down.suggest(trial), 0, 1), n_trials=11)
    assert params(one) == params(other)


def test_workers_that_ask_before_anything_is_answered_ask_different_networks():
    sampler = BudgetSampler(PROPOSALS)
    made = study(sampler)
    for _ in range(9):
        trial = made.ask()
        made.tell(trial, smooth(sampler.suggest(trial), 0, 1))
    several = [made.ask() for _ in range(3)]  # the later ones work out what the earlier ones are about to ask
    asked = [sampler.suggest(trial) for trial in reversed(several)]
    assert len(set(asked)) == 3


def test_workers_on_one_journal_answer_every_trial_once(tmp_path):
    study(None, journal(tmp_path))
    score = Counting(lambda *question: (time.sleep(0.05), smooth(*question))[1])

    def worker():
        sampler = BudgetSampler(small())
        own = optuna.load_study(study_name="s", storage=journal(tmp_path), sampler=sampler)
        work(own, sampler, asker(tmp_path, score), trials=16, steps=10)

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(score.asked) == len(set(score.asked)) == 16
    states = [trial.state for trial in optuna.load_study(study_name="s", storage=journal(tmp_path)).trials]
    assert states.count(optuna.trial.TrialState.COMPLETE) == 16


def test_a_trial_whose_worker_died_is_asked_again_and_one_whose_score_failed_is_not(tmp_path):
    sampler = BudgetSampler(PROPOSALS)
    made = study(sampler)
    died = made.ask()
    first = sampler.suggest(died)
    made.tell(died, state=optuna.trial.TrialState.FAIL)
    failing = Counting(lambda candidate, seed, steps: 1 / 0 if candidate == first else smooth(candidate, seed, steps))
    work(made, sampler, asker(tmp_path, failing), trials=10, steps=1)
    assert [key for key, _, _ in failing.asked].count(first.key) == 1
    assert made.trials[1].user_attrs["failure"].startswith("ZeroDivisionError")
    assert len(failing.asked) == 10


def test_what_somebody_else_enqueues_is_pruned_where_it_is_outside_or_known(tmp_path):
    sampler, score = BudgetSampler(PROPOSALS), Counting(smooth)
    made = study(sampler)
    space = sampler.space()
    made.enqueue_trial({name: each.high for name, each in space.items()})
    made.enqueue_trial({name: each.low for name, each in space.items()})
    made.enqueue_trial({name: each.low for name, each in space.items()})
    work(made, sampler, asker(tmp_path, score), trials=12, steps=1)
    states = [trial.state.name for trial in made.trials]
    assert states[:3] == ["PRUNED", "COMPLETE", "PRUNED"] and states.count("COMPLETE") == 12
    assert len(score.asked) == len(set(score.asked)) == 12


def test_parameters_of_ones_own_are_drawn_at_random():
    sampler = BudgetSampler(PROPOSALS)
    made = study(sampler)
    made.optimize(lambda trial: smooth(sampler.suggest(trial), 0, 1) + trial.suggest_float("own", 0, 1), n_trials=3)
    assert len({trial.params["own"] for trial in made.trials}) == 3


def test_a_space_that_is_used_up_and_several_objectives_are_refused(tmp_path):
    few = small(mode="phi", shapes=3)
    sampler = BudgetSampler(few)
    with pytest.raises(SearchError, match=r"all \d networks were asked"):
        work(study(sampler), sampler, asker(tmp_path, smooth), trials=50, steps=1)
    several = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])
    with pytest.raises(SearchError, match="a budget search has one objective"):
        sampler.suggest(several.ask())


def test_cheap_networks_are_asked_too_where_a_cost_is_held_against_the_score(tmp_path):
    every = small(all_costs=True)
    sampler = BudgetSampler(every, pareto="macs")
    asked = work(study(sampler), sampler, asker(tmp_path, smooth), trials=16, steps=1)
    assert min(candidate.macs for candidate, _ in asked) < 2e6


def test_a_hundred_trials_are_looked_at_in_half_a_second():
    sampler = BudgetSampler(PROPOSALS)
    made = study(sampler)
    random = np.random.default_rng(0)
    for row in random.choice(len(PROPOSALS), 100, replace=False):
        values = dict(zip(sampler.space(), PROPOSALS.multipliers[row].tolist(), strict=True))
        score = smooth(PROPOSALS.candidate(row), 0, 1) + 0.01 * random.standard_normal()
        made.add_trial(optuna.trial.create_trial(params=values, distributions=sampler.space(), value=score))
    began = time.process_time()
    sampler.suggest(made.ask())
    assert time.process_time() - began < 0.5


def test_without_optuna_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "triscale.search.budget.sampler")
    with pytest.raises(MissingExtraError, match=r"needs optuna.*pip install 'triscale\[search\]'"):
        importlib.import_module("triscale.search.budget.sampler")
