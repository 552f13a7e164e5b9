import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.detection.sets import answer, image, random_set
from triscale.training.detection.coco import coco_figures
from triscale.training.detection.errors import (
    KINDS,
    MEANINGS,
    average_precision50,
    errors_by_kind,
    kinds_of,
    missed_at,
)
from triscale.training.detection.matches import match_boxes

A, B = (0, 0, 100, 100), (150, 0, 250, 100)  # two objects far from each other


def kinds(found, sample):
    numbers = kinds_of(match_boxes([found], [sample]))
    return ["right" if number < 0 else KINDS[number] for number in numbers]


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ((0, 0, 100, 100), 0, "right"),
        ((0, 0, 100, 50), 0, "right"),  # an IoU of .5 is enough
        ((0, 0, 100, 49), 0, "localisation"),
        ((0, 0, 100, 10), 0, "localisation"),  # .1
        ((0, 0, 100, 9), 0, "background"),
        ((0, 0, 100, 50), 1, "classification"),
        ((0, 0, 100, 49), 1, "both"),
        ((0, 0, 100, 9), 1, "background"),
        ((0, 150, 50, 200), 0, "background"),
    ],
)
def test_a_wrong_box_is_of_the_kind_that_its_overlap_and_class_say(box, label, kind):
    assert kinds(answer((*box, label, 0.9)), image((*A, 0))) == [kind]


def test_a_second_box_on_an_object_is_a_duplicate():
    assert kinds(answer((*A, 0, 0.9), (0, 0, 100, 95, 0, 0.8)), image((*A, 0))) == ["right", "duplicate"]


def test_a_box_in_a_crowd_is_no_mistake():
    assert kinds(answer((*A, 0, 0.9)), image((*A, 0, True), (*B, 0))) == ["right"]


def test_an_object_is_missed_when_no_box_means_it():
    found = answer((0, 0, 100, 40, 0, 0.9), (*B, 1, 0.6))
    matches = match_boxes([found], [image((*A, 0), (*B, 0), (0, 150, 50, 200, 0))])
    assert missed_at(matches, kinds_of(matches), 0.5).tolist() == [False, False, True]
    assert missed_at(matches, kinds_of(matches), 0.7).tolist() == [False, True, True]


def errors(found, samples, threshold=0.0, classes=2):
    matches = match_boxes(found, samples)
    return {each.kind: each for each in errors_by_kind(matches, kinds_of(matches), threshold, classes)}


def test_each_kind_is_counted_at_the_threshold_and_costs_what_making_it_good_would_win():
    # One object right, one with the wrong class: AP50 of class 0 is 1/2 (51 of 101 recalls), of class 1 there is none.
    found = [answer((*A, 0, 0.9), (*B, 1, 0.8), (260, 100, 290, 150, 0, 0.3))]
    told = errors(found, [image((*A, 0), (*B, 0))], threshold=0.5)
    assert {kind: each.count for kind, each in told.items() if each.count} == {"classification": 1}
    assert told["classification"].cost == pytest.approx(1 - 51 / 101)
    assert told["background"].cost == 0  # below both: it takes nothing
    assert told["missed"].cost == 0
    assert list(told) == [*KINDS, "missed"] == list(MEANINGS)


@pytest.mark.parametrize(
    ("wrong", "kind", "cost"),
    [
        ((150, 0, 250, 40, 0), "localisation", 1 - 51 / 101),
        ((0, 0, 100, 90, 0), "duplicate", (1 - 2 / 3) * 50 / 101),
        ((0, 120, 50, 190, 0), "background", (1 - 2 / 3) * 50 / 101),
        ((0, 0, 100, 40, 1), "both", 0),  # class 1 has no object: its boxes cost nothing
    ],
)
def test_what_a_box_costs(wrong, kind, cost):
    right = () if kind == "localisation" else ((*B, 0, 0.7),)
    told = errors([answer((*A, 0, 0.9), (*wrong, 0.8), *right)], [image((*A, 0), (*B, 0))])
    assert {each: error.count for each, error in told.items() if error.count} == {kind: 1}
    assert told[kind].cost == pytest.approx(cost)
    assert sum(error.cost for error in told.values()) == pytest.approx(cost)


def test_a_missed_object_costs_what_its_recall_is_worth():
    told = errors([answer((*A, 0, 0.9))], [image((*A, 0), (*B, 0))])
    assert told["missed"].cost == pytest.approx(1 - 51 / 101)


def test_of_two_boxes_that_mean_one_object_only_the_surest_is_made_good():
    found = [answer((0, 0, 100, 40, 0, 0.9), (0, 0, 100, 45, 0, 0.8), (*B, 0, 0.7))]
    told = errors(found, [image((*A, 0), (*B, 0))])
    assert told["localisation"].count == 2
    before = 1 / 3 * 51 / 101
    assert told["localisation"].cost == pytest.approx(1 - before)  # both objects found, nothing wrong left


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 10]), st.sampled_from([(), (1,)]))
def test_ap50_is_that_of_coco_and_every_mistake_has_one_kind(seed, grid, unused):
    found, samples = random_set(seed, images=8, grid=grid, unused=unused)
    matches = match_boxes(found, samples)
    if not len(matches.taken):
        return
    numbers = kinds_of(matches)
    counted = ~matches.ignored
    own = average_precision50(matches, matches.hit, matches.label, counted, 4)
    assert own == pytest.approx(coco_figures(found, samples, 4).values["map50"], abs=1e-12)
    assert ((numbers >= 0) == ~(matches.hit | matches.ignored)).all()
    for threshold in (0.0, 0.5):
        told = errors(found, samples, threshold, 4)
        wrong = (matches.score >= threshold) & ~matches.hit & ~matches.ignored
        assert sum(each.count for kind, each in told.items() if kind != "missed") == wrong.sum()
        assert told["missed"].count <= (~matches.found_at(threshold)).sum()
        assert all(0 <= each.cost <= 1 - own + 1e-12 for each in told.values())


def test_nothing_found_is_all_missed():
    told = errors([answer()], [image((*A, 0))])
    assert (told["missed"].count, told["missed"].cost) == (1, 0)
    assert np.isfinite([each.cost for each in told.values()]).all()
