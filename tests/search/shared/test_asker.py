"""Workers that share a storage: each thing is asked once, whoever dies, and everybody hears everything."""

import time

import pytest

from tests.search.helpers import Counting, asker, by_width, candidates
from tests.search.shared.helpers import SUBJECT, shared, shared_asker, together
from triscale.errors import SearchError
from triscale.search.asking import Ask, asked_together
from triscale.search.coefficients import search_coefficients
from triscale.search.grid import coefficient_grid
from triscale.search.halving import Rung, halve
from triscale.search.shared.pulse import Watch, beating

pytest.importorskip("optuna")
pytest_plugins = ("tests.postgres",)


@pytest.fixture(params=["journal", "postgres"])
def where(request, tmp_path):
    """A storage of each kind, with nothing in it for these tests."""
    if request.param == "journal":
        return str(tmp_path / "search.journal")
    return request.getfixturevalue("postgres").database()


def slow(function, seconds=0.03):
    return Counting(lambda *question: (time.sleep(seconds), function(*question))[1])


def test_workers_share_what_is_asked_and_all_of_them_hear_every_answer(tmp_path, where):
    score, rungs = slow(by_width), (Rung(10, 1, 1 / 2), Rung(20, 2))
    found = together(3, lambda number: halve(candidates(6), shared_asker(tmp_path, where, score, f"w{number}"), rungs))
    alone = halve(candidates(6), asker(tmp_path, by_width), rungs)
    assert found == [alone] * 3
    assert len(score.asked) == len(set(score.asked)) == 6 + 3 * 2


def test_what_a_dead_worker_held_is_asked_by_another(tmp_path, where):
    asks = [Ask(each, 0, 10) for each in candidates(2)]
    dead = shared(where)
    assert dead.claim(asks[0].candidate, asks[0].question) == 0
    score, began = Counting(by_width), time.monotonic()
    found = shared_asker(tmp_path, where, score).all(asks)
    assert [each.score for each in found] == [by_width(*ask) for ask in asks]
    assert sorted(key for key, _, _ in score.asked) == sorted(ask.candidate.key for ask in asks)
    assert time.monotonic() - began > 0.6, "it was given time to show that it is alive"
    assert not dead.answer(0, found[:1], 0.5), "an answer that comes after that does not count"
    assert [trial.state.name for trial in dead.trials()].count("COMPLETE") == 2


def test_a_slow_worker_is_not_taken_for_dead(tmp_path, where):
    score, asks = slow(by_width, 1.5), [Ask(candidates(1)[0], 0, 10)]
    together(2, lambda number: shared_asker(tmp_path, where, score, f"w{number}").all(asks))
    assert len(score.asked) == 1


def test_of_two_claims_the_first_one_holds(where):
    one, other = shared(where), shared(where)
    candidate, question = candidates(1)[0], Ask(candidates(1)[0], 0, 10).question
    assert (one.claim(candidate, question), other.claim(candidate, question)) == (0, None)
    assert [trial.state.name for trial in one.trials()] == ["RUNNING", "PRUNED"]


def test_a_search_that_was_begun_alone_is_joined_with_all_its_answers(tmp_path):
    where = tmp_path / "search.journal"
    asks = [Ask(each, 0, 10) for each in candidates(4)]
    first = asker(tmp_path / "w0", by_width)
    first.ledger.subject.update(SUBJECT)
    first.all(asks[:3])
    score = Counting(by_width)
    shared_asker(tmp_path, where, score, "w0").all(asks)
    shared_asker(tmp_path, where, score, "w1").all(asks)
    assert score.asked == [tuple(asks[3].question)]


def test_a_failure_is_an_answer_and_ten_in_a_row_stop_a_worker(tmp_path):
    where = tmp_path / "search.journal"
    failing = Counting(lambda candidate, seed, steps: 1 / 0 if candidate == candidates(1)[0] else 0.5)
    scores = asked_together(candidates(2), shared_asker(tmp_path, where, failing, "w0"), 10, 1)
    assert list(scores.values()) == [[], [0.5]]
    assert asked_together(candidates(2), shared_asker(tmp_path, where, failing, "w1"), 10, 1) == scores
    assert len(failing.asked) == 2
    with pytest.raises(SearchError, match="10 scores in a row failed"):
        asked_together(candidates(12), shared_asker(tmp_path, where, lambda *question: float("nan"), "w2"), 20, 1)


def test_another_search_in_the_same_place_is_refused_with_the_difference(tmp_path):
    where = tmp_path / "search.journal"
    shared(where)
    with pytest.raises(SearchError, match=r"study 's' is of another search: data is None there and 'x' here"):
        shared(where, subject=SUBJECT | {"data": "x"})
    shared(where, name="other", subject=SUBJECT | {"data": "x"})


def test_coefficients_are_the_same_with_one_worker_and_with_two(tmp_path):
    from tests.search.helpers import BASELINE

    proposals, rungs = coefficient_grid(BASELINE, most=8), (Rung(10, 1, 1 / 3), Rung(20, 2))
    score = slow(by_width, 0.01)
    found = together(
        2,
        lambda number: search_coefficients(
            proposals, shared_asker(tmp_path, tmp_path / "search.journal", score, f"w{number}"), rungs
        ),
    )
    assert found == [search_coefficients(proposals, asker(tmp_path, by_width), rungs)] * 2
    assert len(score.asked) == len(set(score.asked))


def test_a_pulse_that_stands_still_is_dead_whatever_it_says():
    watch = Watch(0.1)
    assert watch.dead([(0, 5), (1, 0)]) == []
    time.sleep(0.15)
    assert watch.dead([(0, 5), (1, 1)]) == [0]
    time.sleep(0.15)
    assert watch.dead([(1, 0)]) == [], "a beat that goes back, as after a restored copy, is a sign of life"


def test_a_beat_that_fails_does_not_end_the_pulse():
    beats = []

    def beat(number):
        beats.append(number)
        if number == 1:
            raise OSError("away")

    with beating(beat, 0.01):
        time.sleep(0.2)
    assert len(beats) > 2
    count = len(beats)
    time.sleep(0.05)
    assert len(beats) == count


def test_a_worker_that_gives_up_lets_go_at_once(tmp_path, where):
    def stopped(candidate, seed, steps):
        raise KeyboardInterrupt

    asks = [Ask(candidates(1)[0], 0, 10)]
    with pytest.raises(KeyboardInterrupt):
        shared_asker(tmp_path, where, stopped, "w0").all(asks)
    began = time.monotonic()
    shared_asker(tmp_path, where, by_width, "w1").all(asks)
    assert time.monotonic() - began < 0.6 or "postgres" in where
    assert [trial.state.name for trial in shared(where).trials()] == ["FAIL", "COMPLETE"]
