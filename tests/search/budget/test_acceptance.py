"""Whether the search finds a known optimum, and what its peers find in as many scores."""

import warnings

import numpy as np
import pytest

from tests.search.budget.peers import by_optuna, by_random, penalised
from tests.search.budget.synthetic import FIRST, OTHERS, blocks_and_channels
from tests.search.helpers import Counting, asker
from triscale.search.budget.limited import Limited
from triscale.search.budget.proposals import propose
from triscale.search.budget.search import Plan, search_budget
from triscale.spec.scaling import scale

pytest.importorskip("scipy")

TRIALS, ALLOWED = 40, 0.03


def test_the_optimum_is_deep_and_narrow_and_at_the_limit():
    best = FIRST.truth().network
    (blocks, channels), (own_blocks, own_channels) = blocks_and_channels(best), blocks_and_channels(FIRST.base)
    assert blocks > 2 * own_blocks and channels < 0.6 * own_channels
    assert FIRST.inside(best)
    side = FIRST.base.resolution[0]
    pixels = best.resolution[0] / side
    assert not any(FIRST.inside(scale(best, resolution=(pixels + extra / side) / pixels)) for extra in range(1, 33))


def searched(problem, folder, dice):
    """(the winner, networks over the budget that were scored)"""
    score = Counting(problem.noisy(dice))
    found = search_budget(problem.baseline, problem.budget, asker(folder, score), Plan(TRIALS, 1, seed=dice))
    assert len(score.asked) == len(set(score.asked)) == TRIALS
    return found.winner.candidate.network, sum(not problem.inside(e.candidate.network) for e in found.scored)


def test_the_optimum_is_found(tmp_path):
    for dice in range(2):
        winner, over = searched(FIRST, tmp_path / str(dice), dice)
        assert over == 0
        assert FIRST.regret(winner) <= ALLOWED


SHORT = pytest.mark.xfail(reason="width is not what the process goes by: 8 of 10 on 2026-11-29", strict=False)
PROBLEMS = [pytest.param(each, id=each.name, marks=[SHORT] if each.geometric else []) for each in (FIRST, *OTHERS)]


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_beside_its_peers(problem, tmp_path):
    import optuna

    warnings.simplefilter("ignore")  # the peers' own
    proposals = propose(Limited(problem.baseline, problem.budget))
    regret, outside = {}, {}

    def note(name, network, over):
        regret.setdefault(name, []).append(problem.regret(network))
        outside.setdefault(name, []).append(over)
        print(f"seed {dice}, {name}: regret {regret[name][-1]:.1%}, {over} over the budget", flush=True)

    for dice in range(10):
        score = problem.noisy(dice)
        network, over = searched(problem, tmp_path / str(dice), dice)
        note("ours", network, over)
        chosen, over = by_random(proposals, score, TRIALS, dice)
        note("random, feasible", chosen.network, over)
        for name, sampler, told in (
            ("TPE, penalised", optuna.samplers.TPESampler(seed=dice), penalised),
            ("TPE, pruned", optuna.samplers.TPESampler(seed=dice), None),
            ("GPSampler, penalised", optuna.samplers.GPSampler(seed=dice), penalised),
        ):
            turns = 100 if "GP" in name else 1000
            chosen, over = by_optuna(sampler, proposals, score, TRIALS, told, turns)
            note(name, chosen.network, over)
    print(f"\n{problem.name}: {problem.base.name} inside {problem.budget}")
    for name, each in regret.items():
        within = sum(one <= ALLOWED for one in each)
        print(
            f"{name:22} regret median {np.median(each):6.1%}, worst {max(each):6.1%}, <= 3 %: {within} of {len(each)}; "
            f"over the budget: {sum(outside[name]) / len(each):.1f} a run"
        )
    assert outside["ours"] == [0] * 10
    assert sum(one <= ALLOWED for one in regret["ours"]) >= 9
    assert problem.true_score(problem.truth().network) == problem.truth().optimum
