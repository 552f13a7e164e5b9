import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.detection.sets import answer, image, random_set
from triscale.training.detection.matches import match_boxes, overlaps


def test_overlap_is_common_area_over_union_and_with_a_crowd_over_the_box():
    boxes, others = np.array([[0, 0, 10, 10.0]]), np.array([[5, 0, 15, 10.0], [0, 0, 10, 20], [20, 20, 30, 30]])
    assert overlaps(boxes, others).tolist() == [[50 / 150, 0.5, 0]]
    assert overlaps(boxes, others, np.array([True, True, True])).tolist() == [[0.5, 1, 0]]


def test_the_surest_box_takes_the_free_object_that_it_overlaps_most():
    sample = image((0, 0, 10, 10, 0), (0, 0, 10, 12, 0), (50, 50, 60, 60, 1))
    found = answer((0, 0, 10, 11.5, 0, 0.6), (0, 0, 10, 12, 0, 0.9), (0, 0, 10, 11, 0, 0.5), (50, 50, 60, 60, 0, 0.8))
    matches = match_boxes([found], [sample])
    assert matches.score.tolist() == pytest.approx([0.9, 0.8, 0.6, 0.5])
    assert matches.number.tolist() == [1, 3, 0, 2]
    assert matches.hit.tolist() == [True, False, True, False]
    assert matches.taken.tolist() == [2, 0, -1]  # the surest took the object that fits best, the next took the other
    assert matches.other.tolist() == [-1, 2, -1, -1]
    assert matches.own.tolist() == [1, -1, 1, 1]  # of equal overlaps (10 / 11, 11 / 12) the larger


def test_a_box_in_a_crowd_of_its_class_is_ignored_and_a_crowd_is_no_object():
    sample = image((0, 0, 100, 100, 0, True), (20, 20, 40, 40, 0))
    found = answer(
        (20, 20, 40, 40, 0, 0.9), (60, 60, 70, 70, 0, 0.8), (60, 60, 70, 70, 1, 0.7), (95, 0, 115, 20, 0, 0.6)
    )
    matches = match_boxes([found], [sample])
    assert matches.hit.tolist() == [True, False, False, False]
    assert matches.ignored.tolist() == [False, True, False, False]
    assert (matches.object_number.tolist(), matches.taken.tolist()) == ([1], [0])


def test_rows_of_later_images_name_the_objects_and_boxes_of_their_own_image():
    samples = [image((0, 0, 10, 10, 0)), image(), image((5, 5, 9, 9, 1), (0, 0, 20, 20, 0))]
    found = [answer((0, 0, 10, 10, 0, 0.5)), answer((0, 0, 5, 5, 1, 0.4)), answer((0, 0, 20, 20, 0, 0.3))]
    matches = match_boxes(found, samples)
    assert matches.images == 3
    assert matches.image.tolist() == [0, 1, 2]
    assert matches.object_image.tolist() == [0, 2, 2]
    assert matches.own.tolist() == [0, -1, 2]
    assert matches.taken.tolist() == [0, -1, 2]
    assert matches.pairs.tolist() == [[0, 0], [2, 2]]
    assert matches.found_at(0.4).tolist() == [True, False, False]


def test_of_one_class_a_hundred_boxes_of_an_image_count():
    found = answer(*[(0, 0, 10, 10, 0, i / 1000) for i in range(150)], *[(0, 0, 10, 10, 1, 0.001)] * 20)
    matches = match_boxes([found], [image()])
    assert np.bincount(matches.label).tolist() == [100, 20]
    assert matches.score.min() == pytest.approx(0.001)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0, 10]))
def test_each_object_is_found_once_and_by_a_box_of_its_class_that_overlaps_it(seed, grid):
    found, samples = random_set(seed, images=4, grid=grid)
    matches = match_boxes(found, samples)
    taken = matches.taken[matches.taken >= 0]
    assert len(set(taken.tolist())) == len(taken)
    assert sorted(taken.tolist()) == np.flatnonzero(matches.hit).tolist()
    for thing, box in enumerate(matches.taken):
        if box >= 0:
            image_, number = matches.image[box], matches.object_number[thing]
            truth = samples[image_].boxes[number]
            assert (matches.label[box], matches.object_image[thing]) == (truth.label, image_)
            told = found[image_].boxes[matches.number[box]].astype(float)
            assert overlaps(told[None], np.array([truth[:4]]))[0, 0] >= 0.5
    assert not (matches.hit & matches.ignored).any()
