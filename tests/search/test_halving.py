"""Asking, noise and halving."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.search.helpers import BASELINE, Counting, asker, by_width, candidates
from triscale.errors import SearchError, SpecError
from triscale.search.candidate import Multipliers
from triscale.search.halving import Rung, halve, trainings
from triscale.search.noise import Estimate, estimate, pooled_noise, told_apart

RUNGS = (Rung(10, 1, 0.5), Rung(20, 2, 0.5), Rung(40, 3))


def test_equal_networks_have_one_key_and_others_another():
    one, same = BASELINE.at(Multipliers(1.0, 1.0, 1.0)), BASELINE.at(Multipliers(0.9, 1.01, 1.001))
    assert (one, one.key, hash(one)) == (same, same.key, hash(same))
    assert one.name != same.name
    assert len({each.key for each in candidates()}) == 6


def test_an_answer_is_paid_for_once(tmp_path):
    score = Counting(by_width)
    one = candidates(1)[0]
    first = asker(tmp_path, score)(one, 0, 10)
    assert asker(tmp_path, score)(one, 0, 10) == first
    assert (len(score.asked), first.score, first.macs) == (1, by_width(one, 0, 10), one.macs)
    asker(tmp_path, score)(one, 1, 10)
    asker(tmp_path, score)(one, 0, 20)
    assert len(score.asked) == 3


def failing(wrong):
    def score(candidate, seed, steps):
        if candidate.multipliers.width in wrong:
            if candidate.multipliers.width == 1:
                return math.nan
            raise ValueError("no\nsuch luck")
        return by_width(candidate, seed, steps)

    return score


def test_a_score_that_fails_is_written_down_and_the_search_goes_on(tmp_path):
    score = Counting(failing({1, 6}))
    ranking = halve(candidates(), asker(tmp_path, score), RUNGS)
    assert [each.candidate.multipliers.width for each in ranking.standings] == [5, 4, 3, 2, 1, 6]
    assert [each.rung for each in ranking.standings] == [2, 2, 1, 0, 0, 0]
    found = {each.name: each.failure for each in asker(tmp_path, score).ledger.entries() if each.score is None}
    assert sorted(found.values()) == ["ValueError: no such luck", "the score is nan"]
    asked = len(score.asked)
    halve(candidates(), asker(tmp_path, score), RUNGS)
    assert len(score.asked) == asked  # failures are answers too


def test_ten_failures_in_a_row_stop_the_search_and_say_why(tmp_path):
    def score(candidate, seed, steps):
        raise RuntimeError("the disk is gone")

    with pytest.raises(SearchError, match=r"10 scores in a row failed.*RuntimeError: the disk is gone"):
        halve(candidates(12), asker(tmp_path, score), RUNGS)


def test_nothing_with_a_score_is_an_error(tmp_path):
    with pytest.raises(SearchError, match="none of the 3 candidates has a score"):
        halve(candidates(3), asker(tmp_path, lambda *_: math.nan), RUNGS)


def test_halving_trains_the_better_half_longer_and_with_more_seeds(tmp_path):
    score = Counting(by_width)
    entered = []
    ranking = halve(candidates(), asker(tmp_path, score), RUNGS, lambda *each: entered.append(each))
    assert entered == [(0, 6), (1, 3), (2, 2)]
    assert ranking.best.candidate.multipliers.width == 6
    assert len(score.asked) == 6 + 3 * 2 + 2 * 3
    assert trainings(6, RUNGS) == [(6, 10), (6, 20), (6, 40)]
    assert ranking.noise == pytest.approx(1e-4)


def test_equal_candidates_are_trained_once(tmp_path):
    score = Counting(by_width)
    halve([*candidates(3), BASELINE.at(Multipliers(0.9, 1.01, 1.001))], asker(tmp_path, score), RUNGS[:1])
    assert len(score.asked) == 3


@pytest.mark.parametrize("interrupted", [1, 5, 9])
def test_an_interrupted_search_ends_the_same_and_asks_nothing_twice(tmp_path, interrupted):
    whole = halve(candidates(), asker(tmp_path / "whole", by_width), RUNGS)
    score = Counting(by_width)

    def stopping(candidate, seed, steps):
        if len(score.asked) == interrupted:
            raise KeyboardInterrupt
        return score(candidate, seed, steps)

    with pytest.raises(KeyboardInterrupt):
        halve(candidates(), asker(tmp_path / "run", stopping), RUNGS)
    assert halve(candidates(), asker(tmp_path / "run", score), RUNGS) == whole
    assert len(score.asked) == len(set(score.asked)) == 6 + 6 + 6


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 1, "seeds": 0}, {"steps": 1, "keep": 0.0}])
def test_rungs_that_cannot_be_are_refused(wrong):
    with pytest.raises(SpecError, match="a Rung has at least"):
        Rung(**wrong)


@given(st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=5), max_size=8))
def test_pooled_noise_is_that_of_one_score(groups):
    noise = pooled_noise(groups)
    several = [each for each in groups if len(each) > 1]
    assert (noise is None) == (not several)
    if noise is not None:
        shifted = [[score + 1 for score in group] for group in groups]  # where a network stands does not matter
        assert pooled_noise(shifted) == pytest.approx(noise, abs=1e-6)


def test_two_means_are_told_apart_by_two_standard_errors():
    one, other = Estimate(0.80, 2, 0.79, 0.81), Estimate(0.83, 2, 0.82, 0.84)
    assert told_apart(one, other, 0.0149) and not told_apart(one, other, 0.0151)  # 2 x noise x sqrt(1/2 + 1/2) = 0.03
    assert not told_apart(one, other, None)
    assert estimate([0.2, 0.4]) == Estimate(pytest.approx(0.3), 2, 0.2, 0.4)
