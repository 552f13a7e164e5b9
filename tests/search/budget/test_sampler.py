"""The search as a sampler of Optuna: on any storage, with any number of workers."""

import importlib
import sys
import time

import numpy as np
import pytest

from tests.search.budget.helpers import small, smooth
from triscale.errors import MissingExtraError, SearchError

pytest.importorskip("scipy")
optuna = pytest.importorskip("optuna")
BudgetSampler = importlib.import_module("triscale.search.budget.sampler").BudgetSampler

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


def test_parameters_of_ones_own_are_drawn_at_random():
    sampler = BudgetSampler(PROPOSALS)
    made = study(sampler)
    made.optimize(lambda trial: smooth(sampler.suggest(trial), 0, 1) + trial.suggest_float("own", 0, 1), n_trials=3)
    assert len({trial.params["own"] for trial in made.trials}) == 3


def test_a_space_that_is_used_up_and_several_objectives_are_refused():
    sampler = BudgetSampler(small(mode="phi", shapes=3))
    made = study(sampler)
    with pytest.raises(SearchError, match=r"all \d networks were asked"):
        made.optimize(lambda trial: smooth(sampler.suggest(trial), 0, 1), n_trials=50)
    several = optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])
    with pytest.raises(SearchError, match="a budget search has one objective"):
        sampler.suggest(several.ask())


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
