"""The grid of coefficients, the search over it, and the family that they make."""

import math
from dataclasses import replace

import pytest

from tests.golden import golden
from tests.search.helpers import BASELINE, Counting, asker
from triscale.errors import SearchError, SpecError
from triscale.search.candidate import NetworkBaseline
from triscale.search.coefficients import family, search_coefficients
from triscale.search.grid import PUBLISHED, Coefficients, coefficient_grid, farthest
from triscale.search.halving import Rung
from triscale.spec.families import network
from triscale.spec.network import as_size

SCALING = golden("scaling")
B0 = NetworkBaseline(network("efficientnet_b0"))
RUNGS = (Rung(10, 1, 0.5), Rung(20, 2, 0.25), Rung(40, 3))


@pytest.fixture(scope="module")
def grid():
    return coefficient_grid(B0)


def test_the_published_coefficients_are_always_in_the_table_with_both_numbers(grid):
    last = grid[-1]
    assert last.coefficients == PUBLISHED
    assert last.coefficients.formula == pytest.approx(1.92027, abs=1e-5)
    assert last.candidate.macs == SCALING["pure_rule_models"]["1"]["macs"]
    assert last.counted == pytest.approx(2.5728, abs=1e-4) and not last.inside
    by_formula = coefficient_grid(B0, "formula")
    assert by_formula[-1].coefficients == PUBLISHED and by_formula[-1].inside


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "resnet18"])
def test_at_least_twenty_networks_that_differ_cost_twice_as_much(name):
    base = network(name)
    found = [each for each in coefficient_grid(NetworkBaseline(base)) if each.inside]
    assert len({each.candidate for each in found}) == len(found) >= 20
    own = NetworkBaseline(base).at(Coefficients(1, 1, 1).at(0)).macs
    for each in found:
        assert 1.9 * own <= each.candidate.macs <= 2.1 * own
        assert min(each.coefficients.alpha, each.coefficients.beta, each.coefficients.gamma) >= 1
        for other in each.others:  # trained once
            assert NetworkBaseline(base).at(other.at(1)) == each.candidate


def test_the_formula_is_held_instead_where_that_is_asked_for():
    found = coefficient_grid(B0, "formula", growth=3.0, tolerance=0.1)
    assert all(abs(each.coefficients.formula / 3 - 1) <= 0.1 for each in found[:-1])
    assert max(each.counted for each in found) > 3.3  # which rounding makes of it


def test_too_many_are_thinned_to_those_far_from_each_other():
    found = coefficient_grid(B0, "formula", most=10)
    assert len(found) == 10 and found[-1].coefficients == PUBLISHED
    some = coefficient_grid(B0, "formula")[:-1]
    alphas = [each.coefficients.alpha for each in farthest(some, 8)]
    assert max(alphas) - min(alphas) >= 0.8
    assert farthest(some, len(some) + 5) == some


def test_numbers_that_cannot_be_are_refused():
    for wrong in ({"growth": 1.0}, {"tolerance": 0.0}, {"most": 0}, {"fewest": 0}):
        with pytest.raises(SpecError, match="a grid needs"):
            coefficient_grid(B0, **wrong)
    coarse = NetworkBaseline(replace(network("efficientnet_lite0"), resolution=as_size(4)))
    with pytest.raises(SearchError, match="raise the tolerance"):
        coefficient_grid(coarse, tolerance=1e-6)


def peaked(best):
    """A score that is highest at some coefficients, with a little noise of the seed and less of it after more steps."""

    def score(candidate, seed, steps):
        depth, width, resolution = candidate.multipliers
        away = (
            math.log(depth / best.alpha) ** 2
            + 4 * math.log(width / best.beta) ** 2
            + 4 * math.log(resolution / best.gamma) ** 2
        )
        return 0.9 - away / 4 + math.sin(7 * seed + 100 * depth) * 0.02 / steps

    return score


@pytest.mark.parametrize("number", [0, 5, 11, 17])
def test_the_best_of_a_known_score_is_found(grid, tmp_path, number):
    best = grid[number].coefficients
    found = search_coefficients(grid, asker(tmp_path, peaked(best)), RUNGS)
    assert found.coefficients == best
    assert found.sentence().startswith(f"alpha, beta, gamma = {best}: +")
    assert {each.proposal for each in found.ranked} | {each.proposal for each in found.beside} == set(grid)
    assert found.margin > 0 and found.winner not in found.equals


def test_three_interruptions_ask_nothing_twice_and_end_the_same(grid, tmp_path):
    score = Counting(peaked(grid[3].coefficients))
    whole = search_coefficients(grid, asker(tmp_path / "whole", score.function), RUNGS)
    for stop in (5, 17, 30):

        def stopping(candidate, seed, steps, stop=stop):
            if len(score.asked) == stop:
                raise KeyboardInterrupt
            return score(candidate, seed, steps)

        with pytest.raises(KeyboardInterrupt):
            search_coefficients(grid, asker(tmp_path / "run", stopping), RUNGS)
    again = search_coefficients(grid, asker(tmp_path / "run", score), RUNGS)
    assert again == whole
    assert len(score.asked) == len(set(score.asked)) == len(asker(tmp_path / "run", score).ledger)


def test_what_cannot_be_told_apart_is_said(grid, tmp_path):
    def noisy(candidate, seed, steps):
        return 0.5 + 0.05 * math.sin(1000 * seed + 1e-3 * candidate.macs)

    found = search_coefficients(grid, asker(tmp_path, noisy), RUNGS)
    assert len(found.equals) == len(found.finalists) - 1 > 0
    assert "cannot be told apart from it" in found.sentence()
    once = search_coefficients(grid, asker(tmp_path, noisy), RUNGS[:1])
    assert once.noise is None and "nothing is known of the noise" in once.sentence()


def test_the_family_is_the_baseline_at_phi_1_to_n():
    made = family(B0, PUBLISHED, 3)
    rule = SCALING["pure_rule_models"]
    assert [(each.params, each.macs, each.size[0]) for each in made] == [
        (rule[phi]["params"], rule[phi]["macs"], rule[phi]["resolution"]) for phi in "123"
    ]


def test_a_baseline_of_ones_own_goes_the_same_way(tmp_path):
    small = coefficient_grid(BASELINE, tolerance=0.1)
    found = search_coefficients(small, asker(tmp_path, peaked(small[0].coefficients)), RUNGS[:2])
    assert found.coefficients == small[0].coefficients
