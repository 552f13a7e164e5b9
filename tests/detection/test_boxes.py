import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from triscale.detection import boxes as arithmetic
from triscale.errors import SpecError

SIDE = st.floats(0.5, 500)
PLACE = st.floats(-200, 1200)


@st.composite
def box(draw):
    x, y = draw(PLACE), draw(PLACE)
    return [x, y, x + draw(SIDE), y + draw(SIDE)]


def several(count=5):
    return st.lists(box(), min_size=1, max_size=count).map(lambda rows: torch.tensor(rows, dtype=torch.double))


@given(several(), box())
def test_decoding_undoes_encoding(boxes, anchor):
    anchors = torch.tensor(anchor, dtype=torch.double)
    torch.testing.assert_close(arithmetic.decode(arithmetic.encode(boxes, anchors), anchors), boxes, rtol=0, atol=1e-9)


@given(several())
def test_xywh_and_yxyx_are_undone_too(boxes):
    torch.testing.assert_close(arithmetic.from_xywh(arithmetic.to_xywh(boxes)), boxes)
    assert torch.equal(arithmetic.swap_axes(arithmetic.swap_axes(boxes)), boxes)


def test_offsets_are_of_the_centre_in_anchor_sides_and_of_the_sides_in_logarithms():
    anchors = torch.tensor([[0.0, 0.0, 10.0, 20.0]])
    boxes = torch.tensor(
        [[5.0, 10.0, 25.0, 20.0]]
    )  # centre (15, 15), sides (20, 10); the anchor's are (5, 10), (10, 20)
    expected = torch.tensor([[1.0, 0.25, 2.0, 0.5]])
    expected[:, 2:] = expected[:, 2:].log()
    torch.testing.assert_close(arithmetic.encode(boxes, anchors), expected)
    assert arithmetic.decode(torch.zeros(1, 4), anchors).tolist() == anchors.tolist()


def test_half_precision_offsets_are_decoded_in_float32():
    made = arithmetic.decode(torch.zeros(1, 4, dtype=torch.bfloat16), torch.tensor([[0.0, 0.0, 1001.0, 1003.0]]))
    assert made.dtype == torch.float32
    assert made.tolist() == [[0, 0, 1001, 1003]]


def test_overlaps_in_sight():
    first = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]])
    second = torch.tensor(
        [[0.0, 0.0, 10.0, 10.0], [5.0, 0.0, 15.0, 10.0], [10.0, 0.0, 20.0, 10.0], [2.0, 2.0, 4.0, 7.0]]
    )
    assert arithmetic.intersection(first, second).tolist() == [[100, 50, 0, 10], [0, 0, 0, 0]]
    torch.testing.assert_close(arithmetic.iou(first, second), torch.tensor([[1, 1 / 3, 0, 0.1], [0, 0, 0, 0]]))
    torch.testing.assert_close(arithmetic.covered(second, first)[:, 0], torch.tensor([1, 0.5, 0, 1]))
    assert arithmetic.covered(first, second)[1].tolist() == [0, 0, 0, 0]


def test_two_boxes_without_area_share_nothing():
    point = torch.full((1, 4), 3.0)
    assert arithmetic.iou(point, point).tolist() == [[0]]
    assert arithmetic.overlap(point, point, "ciou").isfinite().all()


@given(several(), several())
def test_overlap_is_symmetric_within_0_and_1_and_blind_to_the_place(first, second):
    found = arithmetic.iou(first, second)
    torch.testing.assert_close(found, arithmetic.iou(second, first).T)
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-12
    torch.testing.assert_close(found, arithmetic.iou(first + 64, second + 64), rtol=0, atol=1e-9)


def test_clipping_keeps_boxes_inside_and_makes_outside_ones_empty():
    boxes = torch.tensor(
        [[-5.0, -5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 4.0], [200.0, 20.0, 300.0, 90.0], [-torch.inf, 0, torch.inf, 9]]
    )
    assert arithmetic.clip(boxes, (40, 100)).tolist() == [
        [0, 0, 5, 5],
        [1, 2, 3, 4],
        [100, 20, 100, 40],
        [0, 0, 100, 9],
    ]


# A box of 10 x 10, and one of the same size 10 to the right of it: hull 20 x 10, centres 10 apart, diagonal^2 500.
@pytest.mark.parametrize(("kind", "expected"), [("iou", 0.0), ("giou", 0.0), ("diou", -0.2), ("ciou", -0.2)])
def test_touching_boxes_of_one_shape(kind, expected):
    pair = torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([[10.0, 0.0, 20.0, 10.0]])
    torch.testing.assert_close(arithmetic.overlap(*pair, kind), torch.tensor([expected]))


def test_giou_falls_with_the_gap():
    first = torch.tensor([0.0, 0.0, 10.0, 10.0])
    # a gap of 10 pixels: the hull is 30 x 10, a third of it is neither's
    torch.testing.assert_close(
        arithmetic.overlap(first, first + torch.tensor([20.0, 0, 20, 0]), "giou"), torch.tensor(-1 / 3)
    )


def test_ciou_sees_another_aspect_where_diou_does_not():
    wide, square = torch.tensor([0.0, 5.0, 20.0, 15.0]), torch.tensor([5.0, 0.0, 15.0, 20.0])  # one centre
    iou, diou, ciou = (arithmetic.overlap(wide, square, kind).item() for kind in ("iou", "diou", "ciou"))
    assert iou == diou == pytest.approx(1 / 3)
    angle = torch.tensor([2.0, 0.5]).atan()
    wrong = 4 / torch.pi**2 * (angle[0] - angle[1]).item() ** 2  # equation 9 of the paper
    assert ciou == pytest.approx(iou - wrong**2 / (1 - iou + wrong), rel=1e-6)  # equations 10 and 11


@given(several(), several())
def test_the_same_box_is_1_in_every_kind_and_none_is_above_iou(first, second):
    count = min(len(first), len(second))
    first, second = first[:count], second[:count]
    for kind in ("iou", "giou", "diou", "ciou"):
        torch.testing.assert_close(arithmetic.overlap(first, first, kind), torch.ones(count, dtype=torch.double))
        assert (arithmetic.overlap(first, second, kind) <= arithmetic.overlap(first, second) + 1e-12).all()
    torch.testing.assert_close(arithmetic.overlap(first, second), arithmetic.iou(first, second).diagonal())


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
def test_gradients_are_those_of_finite_differences(kind):
    torch.manual_seed(0)
    low = torch.rand(20, 2, dtype=torch.double) * 20
    boxes = torch.cat((low, low + 5 + 20 * torch.rand(20, 2, dtype=torch.double)), -1).requires_grad_()
    targets = boxes.detach().roll(1, 0)  # a copy
    assert gradcheck(lambda each: arithmetic.overlap(each, targets, kind), boxes)


def test_the_gradient_of_ciou_takes_the_weight_of_the_aspect_as_given():
    wide = torch.tensor([0.0, 5.0, 20.0, 15.0], dtype=torch.double, requires_grad=True)
    square = torch.tensor([5.0, 0.0, 15.0, 20.0], dtype=torch.double)
    diou, ciou = (torch.autograd.grad(arithmetic.overlap(wide, square, kind), wide)[0] for kind in ("diou", "ciou"))
    sides = (wide[2:] - wide[:2]).detach().requires_grad_()
    wrong = 4 / torch.pi**2 * (torch.atan(sides[0] / sides[1]) - torch.atan(torch.tensor(0.5))) ** 2
    weight = (wrong / (1 - 1 / 3 + wrong)).detach()
    by_side = torch.autograd.grad(weight * wrong, sides)[0]
    torch.testing.assert_close(diou - ciou, torch.cat((-by_side, by_side)), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shapes", [((5, 4), (4, 4)), ((5, 5), (5, 4))])
def test_shapes_that_do_not_go_together_are_one_line(shapes):
    with pytest.raises(SpecError, match="got shapes"):
        arithmetic.encode(*(torch.ones(shape) for shape in shapes))


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(SpecError, match="iou, giou, diou, ciou"):
        arithmetic.overlap(torch.ones(1, 4), torch.ones(1, 4), "biou")
