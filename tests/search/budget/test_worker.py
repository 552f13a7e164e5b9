"""Workers of a search inside a budget: on any storage, any number, and some of them die."""

import importlib
import time

import pytest

from tests.search.budget.helpers import BUDGET, small, smooth
from tests.search.helpers import Counting, asker
from tests.search.shared.helpers import shared, together
from triscale.errors import SearchError
from triscale.search.budget.result import conclude
from triscale.search.budget.search import Plan
from triscale.spec.limits import counted

pytest.importorskip("scipy")
pytest.importorskip("optuna")
BudgetSampler = importlib.import_module("triscale.search.budget.sampler").BudgetSampler
work = importlib.import_module("triscale.search.budget.worker").work

PROPOSALS = small()


def worker(folder, score, plan, proposals=PROPOSALS, name="w", others=None):
    """A worker with its own connection to the storage in this folder."""
    sampler = BudgetSampler(proposals, plan.first, plan.pareto)
    study = shared(folder / "search.journal", sampler=sampler)
    return work(study, sampler, asker(folder / name, score), plan, others, pause=0.02)


def states(folder):
    return [trial.state.name for trial in shared(folder / "search.journal").trials()]


def test_nothing_outside_is_asked_and_the_optimum_is_found(tmp_path):
    score = Counting(smooth)
    found = conclude(PROPOSALS, worker(tmp_path, score, Plan(15, 10)))
    assert all(max(BUDGET.used(counted(each.candidate.network)).values()) <= 1 for each in found.scored)
    best = max(smooth(PROPOSALS.candidate(row), 0, 10) for row in range(len(PROPOSALS)))
    trials = shared(tmp_path / "search.journal").study
    assert best - trials.best_value < 0.005 and trials.best_value == found.winner.score
    assert trials.best_trial.user_attrs["key"] == found.winner.candidate.key


def test_workers_on_one_journal_answer_every_trial_once_and_come_to_the_same(tmp_path):
    score = Counting(lambda *question: (time.sleep(0.05), smooth(*question))[1])
    heard = [[], [], []]
    found = together(
        3, lambda number: worker(tmp_path, score, Plan(16, 10), name=f"w{number}", others=heard[number].append)
    )
    assert len(score.asked) == len(set(score.asked)) == 16
    assert states(tmp_path).count("COMPLETE") == 16
    assert found[0] == found[1] == found[2] and len(found[0]) == 16
    assert sum(map(len, heard)) == 2 * 16, "each hears what the two others have answered"


def test_several_seeds_are_one_trial(tmp_path):
    score = Counting(smooth)
    asked = worker(tmp_path, score, Plan(9, 10, seeds=2))
    assert len(asked) == 9 and all([each.seed for each in entries] == [0, 1] for _, entries in asked)
    assert len(score.asked) == 18


def test_a_trial_whose_worker_died_is_asked_again_and_one_whose_score_failed_is_not(tmp_path):
    sampler = BudgetSampler(PROPOSALS)
    first = sampler.suggest(shared(tmp_path / "search.journal", sampler=sampler).ask())  # and nothing more is heard
    failing = Counting(lambda candidate, seed, steps: 1 / 0 if candidate == first else smooth(candidate, seed, steps))
    asked = worker(tmp_path, failing, Plan(10, 1))
    assert [key for key, _, _ in failing.asked].count(first.key) == 1
    trials = shared(tmp_path / "search.journal").trials()
    (failed,) = [each for each in trials if "failure" in each.user_attrs]
    assert failed.user_attrs["failure"].startswith("ZeroDivisionError") and trials[0].state.name == "FAIL"
    assert len(failing.asked) == len(asked) == 10


def test_what_somebody_else_enqueues_is_pruned_where_it_is_outside_or_known(tmp_path):
    score, space = Counting(smooth), BudgetSampler(PROPOSALS).space()
    made = shared(tmp_path / "search.journal").study
    made.enqueue_trial({name: each.high for name, each in space.items()})
    made.enqueue_trial({name: each.low for name, each in space.items()})
    made.enqueue_trial({name: each.low for name, each in space.items()})
    worker(tmp_path, score, Plan(12, 1))
    assert states(tmp_path)[:3] == ["PRUNED", "COMPLETE", "PRUNED"] and states(tmp_path).count("COMPLETE") == 12
    assert len(score.asked) == len(set(score.asked)) == 12


def test_a_space_that_is_used_up_ends_the_search_with_what_there_is(tmp_path):
    few = small(mode="phi", shapes=3)
    found = together(2, lambda number: worker(tmp_path, smooth, Plan(50, 1, mode="phi"), few, f"w{number}"))
    assert [len(each) for each in found] == [len(few)] * 2


def test_ten_failures_in_a_row_stop_a_worker_and_its_trial_is_free(tmp_path):
    with pytest.raises(SearchError, match="10 scores in a row failed"):
        worker(tmp_path, lambda *question: 1 / 0, Plan(20, 1))


def test_cheap_networks_are_asked_too_where_a_cost_is_held_against_the_score(tmp_path):
    asked = worker(tmp_path, smooth, Plan(16, 1, pareto="macs"), small(all_costs=True))
    assert min(candidate.macs for candidate, _ in asked) < 2e6
