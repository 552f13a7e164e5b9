"""Searching inside a budget, from the first proposal to the result."""

import math
import statistics

import numpy as np
import pytest

from tests.search.budget.helpers import BUDGET, LIMITED, small, smooth
from tests.search.helpers import BASELINE, Counting, asker
from triscale.errors import BudgetError, SearchError, SpecError
from triscale.search.budget.choosing import NOTHING, History, choose
from triscale.search.budget.limited import Predicted
from triscale.search.budget.pareto import affordable, non_dominated
from triscale.search.budget.search import Measures, Plan, search_budget
from triscale.spec.limits import counted, parse

pytest.importorskip("scipy")


def plan(**changes):
    return Plan(**{"trials": 12, "steps": 10, "shapes": 60, "levels": 4, **changes})


@pytest.mark.parametrize("mode", ["dwr", "compound", "phi"])
def test_nothing_outside_is_scored_and_the_winner_is_better_than_the_rest(tmp_path, mode):
    score = Counting(smooth)
    found = search_budget(BASELINE, BUDGET, asker(tmp_path, score), plan(mode=mode))
    assert len(score.asked) == len(set(score.asked)) == len(found.scored) == 12
    for each in found.scored:
        own = counted(each.candidate.network)
        assert each.values == own and each.used == BUDGET.used(own) and max(each.used.values()) <= 1
        assert (each.inside, each.score) == (1.0, each.entries[0].score)
    assert found.winner.score > statistics.median(each.score for each in found.scored)
    best = max(smooth(found.proposals.candidate(row), 0, 10) for row in range(len(found.proposals)))
    assert best - smooth(found.winner.candidate, 0, 10) < 0.005
    assert found.entries == tuple(each.entries[0] for each in found.scored)


def test_a_killed_search_goes_on_and_asks_nothing_twice(tmp_path):
    whole = search_budget(BASELINE, BUDGET, asker(tmp_path / "whole", smooth), plan())
    score = Counting(smooth)
    for interrupted in (3, 9, 99):

        def stopping(candidate, seed, steps, after=interrupted):
            if len(score.asked) == after:
                raise KeyboardInterrupt
            return score(candidate, seed, steps)

        try:
            found = search_budget(BASELINE, BUDGET, asker(tmp_path / "run", stopping), plan())
        except KeyboardInterrupt:
            assert interrupted < 99
    assert [e.candidate for e in found.scored] == [e.candidate for e in whole.scored]
    assert len(score.asked) == len(set(score.asked)) == 12


def test_several_seeds_are_averaged_and_tell_the_noise(tmp_path):
    found = search_budget(BASELINE, BUDGET, asker(tmp_path, smooth), plan(trials=6, seeds=3))
    one = found.scored[0]
    assert [entry.seed for entry in one.entries] == [0, 1, 2]
    assert one.score == pytest.approx(smooth(one.candidate, 1, 10))
    assert found.noise == pytest.approx(1e-3)  # smooth adds seed / 1000


def test_a_failed_score_is_no_winner_and_the_search_moves_on(tmp_path):
    def score(candidate, seed, steps):
        return math.nan if candidate.multipliers.width > 1.2 else smooth(candidate, seed, steps)

    found = search_budget(BASELINE, BUDGET, asker(tmp_path, score), plan())
    failed = [each for each in found.scored if each.score is None]
    assert failed and len(failed) < 6 and found.winner not in failed
    assert all(each.entries[0].failure == "the score is nan" for each in failed)


def test_scores_that_all_fail_are_an_error(tmp_path):
    with pytest.raises(SearchError, match="none of the 4 networks that were asked has a score"):
        search_budget(BASELINE, BUDGET, asker(tmp_path, lambda *_: math.nan), plan(trials=4))


def test_a_small_space_is_asked_to_its_end(tmp_path):
    found = search_budget(BASELINE, BUDGET, asker(tmp_path, smooth), plan(mode="phi", shapes=5, trials=50))
    assert len(found.scored) == len({each.candidate for each in found.scored}) == len(found.proposals)


def test_the_first_are_the_compound_rule_and_one_direction_each(tmp_path):
    found = search_budget(BASELINE, BUDGET, asker(tmp_path, smooth), plan(trials=5))
    proposals = found.proposals
    anchors = [proposals.candidate(row) for row in proposals.anchors.values()]
    full = [each for each in anchors if max(BUDGET.used(counted(each.network)).values()) > 0.91]
    assert [each.candidate for each in found.scored][: len(full)] == full


def test_the_history_decides_alone():
    proposals = small()
    rows = [0, 40, 80, 120, 160, 200, 240, 280]
    scores = np.array([smooth(proposals.candidate(row), 0, 1) for row in rows])
    known = History(proposals.octaves[rows], scores, NOTHING.running)
    chosen = choose(proposals, known)
    assert choose(proposals, known) == chosen not in rows
    waiting = History(known.octaves, known.scores, proposals.octaves[[chosen]])
    assert choose(proposals, waiting) not in (*rows, chosen)
    barred = np.arange(len(proposals)) == chosen
    assert choose(proposals, known, barred=barred) != chosen
    within = np.arange(len(proposals)) < 10
    assert choose(proposals, known, within=within) < 10


def by_macs(candidate):
    return Predicted(candidate.macs * 1e-9, 2e-4)


def test_a_network_that_measures_above_its_limit_is_never_scored(tmp_path):
    def slow(candidate):
        return candidate.macs * 1.1e-9  # a tenth more than predicted

    budget, score = parse("latency<=4ms, params<=60K"), Counting(smooth)
    measures = Measures({"latency": by_macs}, {"latency": slow})
    found = search_budget(BASELINE, budget, asker(tmp_path, score), plan(shapes=20, trials=6), measures)
    assert len(score.asked) == 6 and all(slow(each.candidate) <= 4e-3 for each in found.scored)
    assert all(0.5 <= each.inside <= 1 for each in found.scored)
    with pytest.raises(BudgetError, match=r"none of .* networks was inside when measured"):
        never = Measures({"latency": by_macs}, {"latency": lambda _: math.inf})
        search_budget(BASELINE, budget, asker(tmp_path / "never", score), plan(shapes=4, levels=2), never)


def test_score_against_cost_reaches_cheap_and_dear_networks(tmp_path):
    found = search_budget(BASELINE, BUDGET, asker(tmp_path, smooth), plan(trials=24, pareto="macs", shapes=200))
    macs = [each.values["macs"] for each in found.front]
    scores = [each.mean for each in found.front]
    assert macs == sorted(macs) and scores == sorted(scores) and len(found.front) >= 5
    assert macs[0] < 1.5e6 and macs[-1] > 5e6
    with pytest.raises(BudgetError, match="costs to hold a score against are params, macs"):
        search_budget(BASELINE, BUDGET, asker(tmp_path, smooth), plan(pareto="latency"))


def test_the_front_is_what_nothing_beats():
    scores, costs = np.array([0.5, 0.7, 0.6, 0.7, math.nan, 0.8]), np.array([1, 3, 2, 4, 0, 3])
    assert non_dominated(scores, costs) == [0, 2, 5]
    assert non_dominated(np.array([0.5, 0.5]), np.array([1, 1])) == [0]


def test_caps_are_spread_over_all_costs():
    proposals = small(all_costs=True)
    macs = proposals.values["macs"]
    caps = np.log([macs[affordable(proposals, "macs", number)].max() for number in range(40)])
    part = (caps - np.log(macs.min())) / (np.log(macs.max()) - np.log(macs.min()))
    assert all(((low <= part) & (part <= low + 0.25)).sum() >= 5 for low in (0, 0.25, 0.5, 0.75))


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"steps": 0}, {"mode": "wdr"}])
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(SpecError):
        plan(**wrong)


def test_networks_keep_their_place_after_rounding():
    proposals = small()
    assert LIMITED.octaves(proposals.candidate(7)) == pytest.approx(tuple(proposals.octaves[7]))
