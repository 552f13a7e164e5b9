import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.peers import effdet
from triscale.detection import losses
from triscale.detection.anchors import anchor_boxes
from triscale.detection.losses import DetectionLoss, LossSums, focal, huber
from triscale.detection.matching import IGNORED, NEGATIVE, match
from triscale.errors import SpecError
from triscale.spec.detector import Anchors

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, -4.0, 1.0], [3.0, 3.0, 3.0]], dtype=torch.double)
LABELS = torch.tensor([0, NEGATIVE, IGNORED])


def by_definition(logits, labels, alpha=0.25, gamma=1.5, smoothing=0.0):
    """The focal loss as the paper writes it, class by class."""
    total = logits.new_zeros(())
    for row, label in zip(logits, labels.tolist(), strict=True):
        if label == IGNORED:
            continue
        for number, x in enumerate(row):
            yes = number == label
            p = x.sigmoid() if yes else 1 - x.sigmoid()
            wanted = torch.tensor(float(yes), dtype=x.dtype) * (1 - smoothing) + smoothing / 2
            entropy = binary_cross_entropy_with_logits(x, wanted)
            total = total + (alpha if yes else 1 - alpha) * (1 - p) ** gamma * entropy
    return total


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_focal_loss_is_the_paper_s_and_so_is_its_gradient(gamma, smoothing):
    logits = LOGITS.clone().requires_grad_()
    expected = by_definition(logits, LABELS, 0.25, gamma, smoothing)
    found = focal(logits, LABELS, 0.25, gamma, smoothing)
    torch.testing.assert_close(found, expected)
    slopes = torch.autograd.grad(found, logits)[0]
    torch.testing.assert_close(slopes, torch.autograd.grad(expected, logits)[0])
    assert gradcheck(lambda x: focal(x, LABELS, 0.25, gamma, smoothing), logits)


def test_one_number_by_hand():
    # p = 0.5 for the right class of a positive: 0.25 x 0.5^1.5 x log 2
    assert focal(torch.zeros(1, 1), torch.tensor([0])).item() == pytest.approx(0.25 * 0.5**1.5 * 0.6931472)
    assert focal(torch.zeros(1, 1), torch.tensor([NEGATIVE])).item() == pytest.approx(0.75 * 0.5**1.5 * 0.6931472)
    assert focal(torch.zeros(1, 1), torch.tensor([IGNORED])).item() == 0


def test_an_ignored_anchor_has_neither_loss_nor_gradient():
    logits = torch.full((2, 3, 4), 5.0, requires_grad=True)
    labels = torch.full((2, 3), IGNORED)
    labels[1, 2] = 3
    focal(logits, labels).backward()
    assert logits.grad[labels == IGNORED].abs().max() == 0
    assert logits.grad[1, 2].abs().min() > 0


def test_far_away_logits_stay_finite():
    logits = torch.tensor([[200.0, -200.0], [1e4, -1e4]], requires_grad=True)
    loss = focal(logits, torch.tensor([1, NEGATIVE]))
    loss.backward()
    # 0.75 x 200 for a yes that should be no, 0.25 x 200 for a no that should be yes, 0.75 x 10,000
    assert loss.item() == pytest.approx(150 + 50 + 7500)
    torch.testing.assert_close(logits.grad, torch.tensor([[0.75, -0.25], [0.75, 0.0]]))


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_sides_far_too_long_stay_finite_in_every_loss_of_boxes(kind):
    anchors = anchor_boxes(Anchors(), (3,), (64, 64), ((8, 8),))
    matches = match(torch.tensor([[[8.0, 8.0, 40.0, 40.0, 0.0]]]), anchors)
    offsets = torch.full((1, len(anchors), 4), 200.0, requires_grad=True)
    loss = DetectionLoss(overlap=kind)
    total = loss.total(loss.sums(torch.zeros(1, len(anchors), 1), offsets, matches, anchors))
    total.backward()
    assert total.isfinite() and offsets.grad.isfinite().all()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(kind):
    torch.manual_seed(0)
    rough = (torch.randn(50, 20) - 4).to(kind).requires_grad_()
    exact = rough.detach().float().requires_grad_()
    labels = torch.randint(-2, 20, (50,))
    found, expected = focal(rough, labels), focal(exact, labels)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()
    found.backward()
    expected.backward()
    assert rough.grad.dtype == kind
    torch.testing.assert_close(rough.grad.float(), exact.grad, rtol=1e-2, atol=1e-6)


def test_small_gradients_survive_float16_when_the_loss_is_scaled():
    logits = torch.full((1, 1), -8.0, dtype=torch.float16, requires_grad=True)
    (2.0**16 * focal(logits, torch.tensor([NEGATIVE]))).backward()
    exact = torch.full((1, 1), -8.0, requires_grad=True)
    (2.0**16 * focal(exact, torch.tensor([NEGATIVE]))).backward()
    torch.testing.assert_close(logits.grad.float(), exact.grad, rtol=1e-3, atol=0)


def test_groups_of_logits_change_nothing(monkeypatch):
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 97, 5, dtype=torch.double), torch.randint(-2, 5, (2, 97))
    whole = focal(logits, labels)
    monkeypatch.setattr(losses, "_GROUP_CPU", 7)
    torch.testing.assert_close(focal(logits, labels), whole)


def test_logits_that_lie_class_by_class_in_memory_are_as_good():
    torch.manual_seed(0)
    turned = torch.randn(5, 97, dtype=torch.double).t().requires_grad_()
    labels = torch.randint(-2, 5, (97,))
    in_rows = turned.detach().contiguous().requires_grad_()
    found, expected = focal(turned, labels), focal(in_rows, labels)
    assert found.item() == expected.item()
    assert torch.equal(torch.autograd.grad(found, turned)[0], torch.autograd.grad(expected, in_rows)[0])


def test_huber_is_a_parabola_then_a_line_and_skips_what_should_be_zero():
    predicted = torch.tensor([[0.05, 0.3, 0.3, -0.9]])
    expected = torch.tensor([[0.1, 0.1, 0.0, 0.1]])
    # errors .05, .2, (left out), 1.0 with delta .1
    assert huber(predicted, expected).item() == pytest.approx(0.5 * 0.05**2 + 0.1 * (0.2 - 0.05) + 0.1 * (1.0 - 0.05))


def test_the_gradient_of_huber_is_that_of_finite_differences():
    torch.manual_seed(0)
    predicted, expected = torch.randn(2, 6, 4, dtype=torch.double).mul(0.2)
    assert gradcheck(lambda x: huber(x, expected), predicted.requires_grad_())


def made(classes=7, images=2, seed=0):
    """(logits, offsets, targets, anchors) for 64 x 64 pixels, levels 3 to 5."""
    dice = torch.Generator().manual_seed(seed)
    maps = [(8, 8), (4, 4), (2, 2)]
    anchors = anchor_boxes(Anchors(), [3, 4, 5], (64, 64), maps)
    centres = torch.rand(images, 4, 2, generator=dice) * 64
    sides = (torch.rand(images, 4, 2, generator=dice) * 2 + 2).exp()
    kinds = torch.randint(0, classes, (images, 4, 1), generator=dice)
    targets = torch.cat((centres - sides / 2, centres + sides / 2, kinds), -1)
    logits = torch.randn(images, len(anchors), classes, generator=dice) * 2 - 3
    offsets = torch.randn(images, len(anchors), 4, generator=dice) * 0.3
    return logits.requires_grad_(), offsets.requires_grad_(), targets, anchors


def by_level(values, order=None):
    """(N, A, K) as effdet has it: (N, 9 K, H, W) for each level."""
    split = values.split([9 * 64, 9 * 16, 9 * 4], 1)
    values = [each if order is None else each[..., order] for each in split]
    return [
        each.unflatten(1, (side, side, 9)).flatten(3).permute(0, 3, 1, 2)
        for each, side in zip(values, (8, 4, 2), strict=True)
    ]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_those_of_effdet(smoothing):
    logits, offsets, targets, anchors = made()
    ours = DetectionLoss(smoothing=smoothing)
    sums = ours.sums(logits, offsets, match(targets, anchors), anchors)
    loss = ours.total(sums)
    peer_anchors = effdet().anchors.Anchors(3, 5, 3, [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)], 4.0, (64, 64))
    labeler = effdet().anchors.AnchorLabeler(peer_anchors, 7)
    labels, boxes, positives = labeler.batch_label_anchors(targets[..., [1, 0, 3, 2]], targets[..., 4] + 1)
    expected, classes, box = effdet().loss.loss_fn(
        by_level(logits),
        by_level(offsets, [1, 0, 3, 2]),
        labels,
        [each.reshape(2, *each.shape[1:3], -1) for each in boxes],
        positives,
        num_classes=7,
        alpha=0.25,
        gamma=1.5,
        delta=0.1,
        box_loss_weight=50.0,
        label_smoothing=smoothing,
    )
    assert sums.positives == int(positives.sum()) > 4
    torch.testing.assert_close(sums.classes / (sums.positives + 1), classes)
    torch.testing.assert_close(sums.boxes / (4 * (sums.positives + 1)), box)
    torch.testing.assert_close(loss, expected)
    for found, wanted in zip(
        torch.autograd.grad(loss, (logits, offsets)), torch.autograd.grad(expected, (logits, offsets)), strict=True
    ):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_an_overlap_loss_pulls_boxes_onto_their_objects(kind):
    _, _, targets, anchors = made()
    matches = match(targets, anchors)
    offsets = torch.zeros(2, len(anchors), 4, requires_grad=True)
    logits = torch.full((2, len(anchors), 7), -9.0)
    loss = DetectionLoss(box_weight=0.0, overlap=kind)
    optimizer = torch.optim.Adam([offsets], 0.05)
    seen = []
    for _ in range(60):
        sums = loss.sums(logits, offsets, matches, anchors)
        optimizer.zero_grad()
        sums.overlaps.backward()
        optimizer.step()
        seen.append(sums.overlaps.item() / sums.positives)
    assert seen[0] > 0.2
    assert seen[-1] < 0.05


def test_a_batch_without_objects_has_a_loss_of_its_negatives_alone():
    logits, offsets, _, anchors = made()
    sums = DetectionLoss(overlap="ciou").sums(logits, offsets, match(torch.full((2, 1, 5), -1.0), anchors), anchors)
    assert (sums.positives, sums.boxes.item(), sums.overlaps.item()) == (0, 0, 0)
    DetectionLoss(overlap="ciou").total(sums).backward()
    assert offsets.grad.abs().max() == 0
    assert logits.grad.isfinite().all()


def test_two_processes_with_one_normaliser_make_the_gradient_of_one():
    logits, offsets, targets, anchors = made()
    loss = DetectionLoss()
    whole = loss.total(loss.sums(logits, offsets, match(targets, anchors), anchors))
    parts = [
        loss.sums(logits[n : n + 1], offsets[n : n + 1], match(targets[n : n + 1], anchors), anchors) for n in (0, 1)
    ]
    together = sum(each.positives for each in parts) + 1
    torch.testing.assert_close(loss.total(parts[0], together) + loss.total(parts[1], together), whole)


def test_the_parts_of_the_total_in_sight():
    sums = LossSums(torch.tensor(6.0), torch.tensor(0.4), torch.tensor(8.0), 1)
    assert DetectionLoss(overlap_weight=0.5).total(sums).item() == pytest.approx((6 + (50 * 0.4 + 0.5 * 8) / 4) / 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("alpha", 1.5), ("gamma", -1), ("smoothing", float("nan")), ("delta", "0.1"), ("delta", 0), ("overlap", "l1")],
)
def test_settings_that_cannot_be_are_one_line(field, value):
    with pytest.raises(SpecError, match=f"DetectionLoss.{field} must be"):
        DetectionLoss(**{field: value})


def test_labels_for_other_logits_are_refused():
    with pytest.raises(SpecError, match=r"\(2, 3, 4\) and \(2, 4\)"):
        focal(torch.zeros(2, 3, 4), torch.zeros(2, 4, dtype=torch.long))
