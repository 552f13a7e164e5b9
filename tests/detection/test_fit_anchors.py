import math

import numpy as np
import pytest
import torch

from triscale.detection import fit_anchors as fitting
from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import iou
from triscale.detection.fit_anchors import best_overlaps, fit_anchors, in_input
from triscale.errors import SpecError
from triscale.spec.detector import Anchors

SIZE, LEVELS = (320, 320), range(3, 8)
MAPS = [(math.ceil(320 / 2**level),) * 2 for level in LEVELS]


def made(count, low, high, aspect=0.3, middle=0.0, seed=0):
    """Boxes with sides from low to high, evenly in logarithms; log2(w / h) about `middle`."""
    dice = np.random.default_rng(seed)
    side = np.exp(dice.uniform(np.log(low), np.log(high), count))
    ratio = 2 ** dice.normal(middle, aspect, count)
    half = np.stack((side * np.sqrt(ratio), side / np.sqrt(ratio)), 1) / 2
    centre = dice.uniform(0, 320, (count, 2))
    return np.concatenate((centre - half, centre + half), 1)


@pytest.mark.parametrize("size", [(320, 320), (224, 352)])
def test_the_best_overlap_is_that_with_all_anchors(size):
    maps = [tuple(math.ceil(side / 2**level) for side in size) for level in LEVELS]
    boxes = made(200, 6, 400, 0.8)
    anchors = Anchors(3.0, (0.0, 0.4), ((1.0, 1.0), (0.5, 1.9)))
    expected = iou(torch.tensor(boxes).float(), anchor_boxes(anchors, LEVELS, size, maps)).amax(1)
    np.testing.assert_allclose(best_overlaps(anchors, boxes, size, maps), expected, atol=1e-5)


def test_small_objects_are_reached_by_fitted_anchors():
    boxes = made(300, 12, 60)
    fit = fit_anchors(boxes, SIZE, MAPS, Anchors(4.0))
    small, medium, large, whole = fit.reach
    assert [each.size for each in fit.reach] == ["small", "medium", "large", "all"]
    assert whole.objects == 300 == small.objects + medium.objects
    assert large.objects == 0
    assert math.isnan(large.after)
    assert small.before < 0.7
    assert small.after > 0.95
    assert whole.after == (best_overlaps(fit.after, boxes, SIZE, MAPS) >= 0.5).mean()
    assert whole.before == (best_overlaps(fit.before, boxes, SIZE, MAPS) >= 0.5).mean()
    assert fit.after.per_location == Anchors().per_location


def test_thin_objects_get_thin_anchors():
    fit = fit_anchors(made(300, 30, 150, 0.1, middle=3.0), SIZE, MAPS)  # eight times as wide as high
    assert fit.reach[-1].before < 0.2
    assert fit.reach[-1].after > 0.9
    assert all(4 < width / height < 16 for width, height in fit.after.aspects)


def test_the_same_boxes_give_the_same_anchors():
    boxes = made(150, 12, 60)
    first, again = fit_anchors(boxes, SIZE, MAPS), fit_anchors(boxes.copy(), SIZE, MAPS)
    assert first.after == again.after
    assert first.reach[-1] == again.reach[-1]


def test_no_fit_is_worse_than_what_it_began_with():
    boxes = anchor_boxes(Anchors(3.0), LEVELS, SIZE, MAPS).double().numpy()[::400]
    fit = fit_anchors(boxes, SIZE, MAPS, Anchors(3.0))
    assert fit.after == Anchors(3.0)  # each box is one of its anchors
    assert fit.overlap_after == pytest.approx(1.0, abs=1e-6)
    assert (fit.reach[-1].before, fit.reach[-1].after) == (1.0, 1.0)


def test_objects_that_no_anchor_reaches_are_named_the_smallest_first():
    usual = made(400, 60, 120, 0.1)
    odd = np.array([[100, 100, 103, 103], [50, 50, 51, 51], [0, 100, 320, 104.0]])
    fit = fit_anchors(np.concatenate((usual, odd)), SIZE, MAPS)
    assert fit.missed.tolist() == [401, 400, 402]
    assert fit.faults == ("small", "small", "shape")


def test_of_many_boxes_only_some_are_searched_and_all_are_told(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_BOXES", 50)
    fit = fit_anchors(made(500, 12, 60), SIZE, MAPS)
    assert fit.reach[-1].objects == 500
    assert fit.reach[-1].after > 0.85


def test_boxes_are_letterboxed_as_images_are():
    found = in_input([[0, 0, 500, 333], [10, 20, 30, 40]], [[333, 500], [1000, 500]], (512, 512))
    # 333 x 1.024 = 340.99 is 340 rows; 500 x 0.512 = 256
    np.testing.assert_allclose(found, [[0, 0, 512, 340], [5.12, 10.24, 15.36, 20.48]])


@pytest.mark.parametrize("boxes", [np.zeros((0, 4)), [[0, 0, 5, 0]], [[0, 0, math.inf, 5]]])
def test_boxes_that_cannot_be_fitted_are_refused(boxes):
    with pytest.raises(SpecError, match="fit_anchors: boxes"):
        fit_anchors(boxes, SIZE, MAPS)
