"""What a search is held against."""

import pytest

from tests.search.helpers import BASELINE, Counting, asker, by_width, candidates
from triscale.search.honesty import (
    BASELINE as UNSCALED,
)
from triscale.search.honesty import (
    RANDOM,
    RULE,
    WINNER,
    compare_honestly,
    drawn_at_random,
    published_rivals,
)

ALL = candidates(6)


def compared(folder, score, winner, rivals, drawn=(), tested=None, seeds=2):
    final = None if tested is None else asker(folder / "test", tested)
    return compare_honestly(winner, rivals, drawn, asker(folder, score), final, 10, seeds, 100)


def test_a_winner_that_is_better_by_more_than_the_noise_has_won(tmp_path):
    found = compared(tmp_path, by_width, ALL[4], {RULE: ALL[1], "depth only": ALL[2]})
    assert found.headline().startswith("The search won: ")
    assert [each.way for each in found.rivals] == ["depth only", RULE]
    assert found.split == "val"


def test_a_draw_is_no_win(tmp_path):
    def noisy(candidate, seed, steps):
        return by_width(candidate, 0, steps) + 0.2 * seed

    found = compared(tmp_path, noisy, ALL[4], {RULE: ALL[3]})
    assert found.headline().startswith("The search did not win: ")
    assert "cannot be told apart" in found.headline()
    once = compared(tmp_path / "once", by_width, ALL[4], {RULE: ALL[3]}, seeds=1)
    assert once.noise is None and "did not win" in once.headline()


def test_a_better_rival_is_named(tmp_path):
    found = compared(tmp_path, by_width, ALL[0], {RULE: ALL[1], "width only": ALL[3]})
    assert "The search did not win: width only is" in found.headline()


def test_the_baseline_is_shown_and_is_no_rival(tmp_path):
    found = compared(tmp_path, by_width, ALL[1], {RULE: ALL[0], UNSCALED: ALL[5]})
    assert [each.way for each in found.contenders] == [WINNER, RULE, UNSCALED]
    assert found.headline().startswith("The search won")


def test_test_images_judge_where_there_are_any(tmp_path):
    def on_test(candidate, seed, steps):
        return -by_width(candidate, seed, steps)

    found = compared(tmp_path, by_width, ALL[4], {RULE: ALL[1]}, tested=on_test)
    assert found.split == "test" and "did not win" in found.headline()


def test_the_best_that_was_drawn_at_random_is_a_rival_after_one_training_each(tmp_path):
    score = Counting(by_width)
    found = compared(tmp_path, score, ALL[4], {}, drawn=[ALL[0], ALL[3], ALL[2]])
    assert [each.way for each in found.contenders] == [WINNER, RANDOM]
    assert found.contenders[1].candidate == ALL[3]
    assert (found.tried, found.random_steps, len(score.asked)) == (3, 30, 3 + 2 + 1)


def test_a_random_search_takes_as_many_steps_as_the_search():
    assert len(set(drawn_at_random(6, 10, 35, 0))) == 3
    assert sorted(drawn_at_random(6, 10, 1000, 0)) == list(range(6))
    assert len(drawn_at_random(6, 10, 1, 0)) == 1
    assert drawn_at_random(99, 10, 35, 0) == drawn_at_random(99, 10, 35, 0) != drawn_at_random(99, 10, 35, 1)


def test_rivals_are_at_the_winners_cost_but_for_the_baseline():
    own = ALL[0].macs
    found = published_rivals(BASELINE, 3 * own)
    assert list(found) == ["depth only", "width only", "resolution only", RULE, UNSCALED]
    assert found[UNSCALED].macs == own
    assert found["resolution only"].macs == pytest.approx(3 * own, rel=0.02)
    assert 2 * own < found[RULE].macs < 4 * own  # three numbers that round at once: a small network jumps


def test_a_winner_that_cannot_be_trained_at_the_end_has_not_won(tmp_path):
    def failing(candidate, seed, steps):
        if candidate == ALL[4]:
            raise ValueError("no")
        return by_width(candidate, seed, steps)

    assert "could not be trained" in compared(tmp_path, failing, ALL[4], {RULE: ALL[1]}).headline()
    assert "no rival has a score" in compared(tmp_path / "alone", by_width, ALL[4], {}).headline()
