import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers import effdet, plain_nms, torchvision
from triscale.detection.boxes import clip, decode, iou
from triscale.detection.suppress import candidates, suppress
from triscale.errors import SpecError
from triscale.spec.suppression import Suppression

SIZE = (96, 128)


def answers(seed, anchors=60, classes=4, images=1):
    """(boxes, logits) of random overlapping boxes inside an image."""
    dice = torch.Generator().manual_seed(seed)
    centres = torch.rand(images, anchors, 2, generator=dice) * torch.tensor([128.0, 96.0])
    sides = (torch.rand(images, anchors, 2, generator=dice) + 2.5).exp()
    boxes = clip(torch.cat((centres - sides / 2, centres + sides / 2), -1), SIZE)
    return boxes, torch.randn(images, anchors, classes, generator=dice) * 2 - 3


def plain(boxes, logits, rule):
    """Hard suppression of one image as its docstring says it: every pair, sorted, each held against all kept ones."""
    classes = logits.shape[1]
    pairs = sorted(range(logits.numel()), key=lambda pair: -logits.view(-1)[pair].item())  # sorted() is stable
    pairs = [pair for pair in pairs[: rule.candidates] if logits.view(-1)[pair].sigmoid() >= rule.score]
    kept = []
    for pair in pairs:
        anchor, label = divmod(pair, classes)
        rivals = [each // classes for each in kept if not rule.per_class or each % classes == label]
        if not rivals or iou(boxes[rivals], boxes[anchor : anchor + 1]).max() <= rule.iou:
            kept.append(pair)
    kept = kept[: rule.detections]
    return [(pair // classes, pair % classes, logits.view(-1)[pair].sigmoid().item()) for pair in kept]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.booleans(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.sampled_from([7, 50, 5000]))
def test_hard_suppression_is_what_its_definition_says(seed, per_class, most, count):
    boxes, logits = answers(seed)
    rule = Suppression(iou=most, per_class=per_class, score=0.02, candidates=count, detections=20)
    (found,) = suppress(boxes, logits, rule)
    expected = plain(boxes[0], logits[0], rule)
    assert found.labels.tolist() == [label for _, label, _ in expected]
    np.testing.assert_array_equal(found.boxes, boxes[0][[anchor for anchor, _, _ in expected]])
    np.testing.assert_allclose(found.scores, [score for _, _, score in expected], rtol=1e-6)


def test_hard_suppression_keeps_what_torchvision_keeps():
    boxes, logits = answers(1, anchors=251, classes=4)
    (found,) = suppress(boxes, logits, Suppression(score=0, detections=5000))
    repeated, labels = boxes[0].repeat_interleave(4, 0), torch.arange(4).repeat(251)
    # more than 1,000 boxes go class by class there, without moving them apart
    kept = torchvision().ops.batched_nms(repeated, logits.reshape(-1), labels, 0.5)
    np.testing.assert_array_equal(found.boxes, repeated[kept])
    assert found.labels.tolist() == labels[kept].tolist()


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_final_detections_are_those_of_effdet(seed, soft):
    dice = torch.Generator().manual_seed(seed)
    boxes, _ = answers(seed, anchors=400)
    anchors = boxes[0]
    anchors = torch.cat((anchors[:, :2], anchors[:, :2] + (anchors[:, 2:] - anchors[:, :2]).clamp(min=2)), 1)
    offsets = torch.randn(400, 4, generator=dice) * 0.2
    logits = torch.randn(400, 3, generator=dice) * 2 - 4
    rule = Suppression(method="soft" if soft else "hard", score=0.001, candidates=800, detections=100)
    (few,) = candidates(logits[None], rule)
    expected = effdet().anchors.generate_detections(
        logits.view(-1, 1)[few.anchors * 3 + few.labels],
        offsets[few.anchors][:, [1, 0, 3, 2]],
        anchors[:, [1, 0, 3, 2]],
        few.anchors,
        few.labels,
        torch.tensor(1.0),
        torch.tensor([128.0, 96.0]),
        soft_nms=soft,
    )
    (found,) = suppress(clip(decode(offsets, anchors), SIZE)[None], logits[None], rule)
    told = expected[expected[:, 5] > 0]
    assert len(found) == len(told) > 50
    np.testing.assert_allclose(found.boxes, told[:, :4], atol=1e-3)
    np.testing.assert_allclose(found.scores, told[:, 4], atol=1e-5)
    assert (found.labels + 1).tolist() == told[:, 5].tolist()  # its classes begin at 1


def boxed(*rows):
    return torch.tensor([[float(side) for side in row] for row in rows])[None]


def logit(*scores):
    return torch.tensor([[math.log(score / (1 - score)) for score in scores]])[..., None]


def test_soft_suppression_in_sight():
    boxes = boxed((0, 0, 10, 10), (0, 0, 10, 5), (20, 0, 30, 10))
    (found,) = suppress(boxes, logit(0.9, 0.8, 0.5), Suppression(method="soft"))
    weakened = 0.8 * math.exp(-(0.5**2) / 0.5)  # IoU 0.5 with the first
    np.testing.assert_allclose(found.scores, [0.9, 0.5, weakened], rtol=1e-5)
    assert found.boxes[:, 0].tolist() == [0, 20, 0]
    # 0.8 becomes 0.485: below the threshold it is not told
    (found,) = suppress(boxes, logit(0.9, 0.8, 0.5), Suppression(method="soft", score=0.49))
    np.testing.assert_allclose(found.scores, [0.9, 0.5], rtol=1e-5)


@pytest.mark.parametrize("sigma", [0.5, 0.005])
def test_what_was_told_is_not_told_again_when_all_scores_are_weakened_to_nothing(sigma):
    boxes = boxed(*[(0, 0, 10, 10 + number / 1000) for number in range(80)])
    rule = Suppression(method="soft", sigma=sigma, score=0.0, detections=100)
    (found,) = suppress(boxes, torch.linspace(1, 0, 80)[None, :, None], rule)
    assert len(np.unique(found.boxes[:, 3])) == len(found) == 80
    assert (found.scores >= 0).all()


def test_only_more_than_the_threshold_is_dropped():
    boxes = boxed((0, 0, 10, 10), (0, 0, 10, 5))  # IoU exactly 0.5
    assert len(suppress(boxes, logit(0.9, 0.8), Suppression(iou=0.5))[0]) == 2
    assert len(suppress(boxes, logit(0.9, 0.8), Suppression(iou=0.499))[0]) == 1


def test_a_box_that_was_dropped_drops_none():
    boxes = boxed((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))  # neighbours overlap by 6/14, the ends by 2/18
    (found,) = suppress(boxes, logit(0.9, 0.8, 0.7), Suppression(iou=0.4))
    assert found.boxes[:, 0].tolist() == [0, 8]


def test_classes_suppress_each_other_only_when_asked_to():
    boxes = boxed((0, 0, 10, 10))
    logits = torch.tensor([[[2.0, 1.0, -20.0]]])
    (apart,), (together,) = (suppress(boxes, logits, Suppression(per_class=each)) for each in (True, False))
    assert apart.labels.tolist() == [0, 1]
    assert together.labels.tolist() == [0]


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_equal_scores_come_in_the_order_of_anchors_then_classes(method):
    boxes = boxed(*((20 * n, 0, 20 * n + 10, 10) for n in range(50)))
    (found,) = suppress(boxes, torch.zeros(1, 50, 2), Suppression(method=method, candidates=31, detections=31))
    assert (found.boxes[:, 0] / 20).tolist() == [number // 2 for number in range(31)]
    assert found.labels.tolist() == [number % 2 for number in range(31)]


def test_each_image_has_detections_of_its_own():
    boxes, logits = answers(9, images=3)
    logits[1] = -30
    found = suppress(boxes, logits, Suppression())
    assert len(found[0]) > 0
    assert (len(found[1]), found[1].boxes.shape) == (0, (0, 4))
    alone = suppress(boxes[2:], logits[2:], Suppression())[0]
    np.testing.assert_array_equal(found[2].boxes, alone.boxes)
    np.testing.assert_array_equal(found[2].scores, alone.scores)


@given(st.integers(0, 2**31), st.sampled_from([1, 10, 100]), st.floats(0, 1))
def test_candidates_are_the_best_pairs_in_order(seed, count, score):
    logits = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(seed)).mul(4).round()  # many equal ones
    (few,) = candidates(logits, Suppression(candidates=count, score=score))
    order = logits.view(-1).sort(descending=True, stable=True).indices[:count]
    order = order[logits.view(-1)[order].sigmoid() >= score]
    assert (few.anchors * 3 + few.labels).tolist() == order.tolist()
    torch.testing.assert_close(few.scores, logits.view(-1)[order].sigmoid())


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_ends_of_the_score_threshold(score):
    boxes, logits = answers(3)
    logits[0, 5, 2] = 100  # 1 in float32
    (found,) = suppress(boxes, logits, Suppression(score=score, iou=1.0, detections=1000))
    assert len(found) == (1 if score else 240)


def test_what_is_no_number_or_has_no_area_is_not_told():
    boxes = boxed((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 40, 10))
    logits = torch.tensor([[[float("nan")], [1.0], [2.0]]])
    (found,) = suppress(boxes, logits, Suppression())
    assert found.boxes.tolist() == [[20, 0, 30, 10]]


def test_half_precision_logits_are_fine():
    boxes, logits = answers(4)
    (found,) = suppress(boxes, logits.bfloat16(), Suppression())
    (expected,) = suppress(boxes, logits.bfloat16().float(), Suppression())
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_an_image_without_anchors_has_no_detections():
    assert len(suppress(torch.zeros(1, 0, 4), torch.zeros(1, 0, 3), Suppression())[0]) == 0


def test_boxes_of_other_anchors_are_refused():
    with pytest.raises(SpecError, match=r"got \(1, 5, 4\) and \(1, 6, 3\)"):
        suppress(torch.zeros(1, 5, 4), torch.zeros(1, 6, 3), Suppression())


def test_the_plain_loop_of_the_peers_by_hand():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]])
    assert plain_nms(boxes, torch.tensor([0.8, 0.9, 0.1, 0.7]), 0.6).tolist() == [1, 3, 2]
