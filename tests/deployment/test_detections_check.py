"""The comparison that lets rounding pass and nothing else."""

import numpy as np
import pytest
import torch

from triscale.deployment.detections_check import OVERLAP, SCORE, compare, expected
from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import clip, decode, encode
from triscale.detection.detections import Detections
from triscale.detection.suppress import suppress
from triscale.spec.detector import Anchors
from triscale.spec.suppression import Suppression

SIZE = (96, 128)
ANCHORS = anchor_boxes(Anchors(), (4, 5), SIZE, [(6, 8), (3, 4)])
RULE = Suppression(score=0.05, detections=20)


def answers(seed=0, classes=3):
    dice = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, len(ANCHORS), classes, generator=dice) * 2 - 2
    return logits, torch.randn(1, len(ANCHORS), 4, generator=dice) * 0.2


def told(logits, offsets, rule=RULE):
    return suppress(clip(decode(offsets, ANCHORS), SIZE), logits, rule)[0]


@pytest.fixture
def wanted():
    return expected(*answers(), ANCHORS, SIZE, RULE)[0]


def changed(found, boxes=None, scores=None, labels=None):
    return Detections(
        found.boxes if boxes is None else boxes,
        found.scores if scores is None else scores,
        found.labels if labels is None else labels,
    )


def without(found, number):
    return Detections(*(np.delete(each, number, 0) for each in (found.boxes, found.scores, found.labels)))


def test_what_is_expected_is_what_suppression_tells(wanted):
    found = told(*answers())
    assert len(found) == len(wanted.told) == 20
    np.testing.assert_array_equal(found.boxes, wanted.told.boxes)
    difference = compare(found, wanted, RULE)
    assert (difference.wrong, difference.score, difference.pixels) == (0, 0.0, 0.0)


@pytest.mark.parametrize("number", [0, 7])
def test_a_detection_that_is_missing_is_wrong(wanted, number):
    assert compare(without(wanted.told, number), wanted, RULE).wrong == 1


def test_a_box_that_no_anchor_says_is_wrong(wanted):
    boxes = wanted.told.boxes.copy()
    boxes[3] += 2  # so near that it would suppress the true one
    assert compare(changed(wanted.told, boxes=boxes), wanted, RULE).wrong == 1
    boxes[3] += 500
    assert compare(changed(wanted.told, boxes=boxes), wanted, RULE).wrong == 2


def test_another_label_or_score_is_wrong(wanted):
    labels, scores = wanted.told.labels.copy(), wanted.told.scores.copy()
    labels[2] = (labels[2] + 1) % 3
    scores[5] -= 10 * SCORE
    assert compare(changed(wanted.told, labels=labels), wanted, RULE).wrong == 2
    assert compare(changed(wanted.told, scores=scores), wanted, RULE).wrong >= 1


def test_detections_that_are_not_best_first_are_wrong(wanted):
    order = np.arange(20)[::-1]
    turned = Detections(*(each[order] for each in (wanted.told.boxes, wanted.told.scores, wanted.told.labels)))
    assert compare(turned, wanted, RULE).wrong > 0


def test_a_candidate_that_should_have_been_suppressed_is_wrong(wanted):
    loose = told(*answers(), Suppression(score=0.05, detections=20, iou=0.9))
    assert compare(loose, wanted, RULE).wrong > 0


def test_nothing_at_all_is_wrong_and_nothing_expected_is_right(wanted):
    nothing = Detections([], [], [])
    assert compare(nothing, wanted, RULE).wrong == 20
    logits, offsets = answers()
    (empty,) = expected(logits - 50, offsets, ANCHORS, SIZE, RULE)
    assert compare(nothing, empty, RULE).wrong == 0
    assert compare(wanted.told, empty, RULE).wrong == 20


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_allowed_wherever_it_decides(seed):
    logits, offsets = answers(seed)
    logits = logits.round()  # many answers are equally good: which comes first is a matter of rounding
    dice = torch.Generator().manual_seed(seed)
    noisy = logits + (torch.rand(logits.shape, generator=dice) - 0.5) * SCORE / 2
    found = told(noisy, offsets + (torch.rand(offsets.shape, generator=dice) - 0.5) * 1e-4)
    (wanted,) = expected(logits, offsets, ANCHORS, SIZE, RULE)
    assert (
        len(found) != len(wanted.told) or np.abs(found.boxes - wanted.told.boxes).max() > 1
    )  # not the same list, and yet none is wrong
    difference = compare(found, wanted, RULE)
    assert difference.wrong == 0
    assert 0 < difference.score < SCORE
    assert 0 < difference.pixels < 0.1


def test_an_overlap_at_the_limit_may_fall_on_either_side():
    logits = torch.full((1, len(ANCHORS), 1), -20.0)
    logits[0, [0, 1], 0] = torch.tensor([2.0, 1.0])
    offsets = torch.zeros(1, len(ANCHORS), 4)
    boxes = torch.tensor([[0.0, 0.0, 60.0, 40.0], [20.0, 0.0, 80.0, 40.0]])  # IoU .5 exactly
    offsets[0, :2] = encode(boxes, ANCHORS[:2])
    both, one = told(logits, offsets, Suppression(iou=0.5 + OVERLAP / 2)), told(logits, offsets, Suppression(iou=0.499))
    assert (len(both), len(one)) == (2, 1)
    rule = Suppression(iou=0.5)
    (wanted,) = expected(logits, offsets, ANCHORS, SIZE, rule)
    assert compare(both, wanted, rule).wrong == compare(one, wanted, rule).wrong == 0
    far = Suppression(iou=0.6)
    (wanted,) = expected(logits, offsets, ANCHORS, SIZE, far)
    assert compare(one, wanted, far).wrong == 1
