import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.peers import effdet
from triscale.detection import matching
from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import encode, swap_axes
from triscale.detection.matching import CROWD, IGNORED, NEGATIVE, PADDING, match
from triscale.errors import SpecError
from triscale.spec.detector import Anchors

SIZE, LEVELS = (128, 256), range(3, 8)
ANCHORS = anchor_boxes(Anchors(), LEVELS, SIZE, [(-(-128 // 2**level), -(-256 // 2**level)) for level in LEVELS])
GRID = torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 0.0, 20.0, 10.0], [20.0, 0.0, 30.0, 10.0], [30.0, 0.0, 40.0, 10.0]])


def batch(*images):
    most = max(1, *(len(rows) for rows in images))
    return torch.tensor([[*rows, *[[0.0, 0, 0, 0, PADDING]] * (most - len(rows))] for rows in images])


def random_targets(seed, images, boxes):
    dice = torch.Generator().manual_seed(seed)
    centres = torch.rand(images, boxes, 2, generator=dice) * torch.tensor([256.0, 128.0])
    sides = (torch.rand(images, boxes, 2, generator=dice) * 4 + 1.5).exp()
    rows = torch.cat((centres - sides / 2, centres + sides / 2), -1)
    kinds = torch.randint(PADDING, 20, (images, boxes, 1), generator=dice)
    return torch.cat((rows, kinds), -1)


def peer(targets):
    """(labels, offsets in our order, positives) of effdet, for each image."""
    anchors = effdet().anchors.Anchors(3, 7, 3, [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)], 4.0, SIZE)
    labeler = effdet().anchors.AnchorLabeler(anchors, 20)
    for image in targets:
        # its classes begin at 1
        kinds = torch.where(image[:, 4] >= 0, image[:, 4] + 1, -1)
        labels, offsets, positives = labeler.label_anchors(swap_axes(image[:, :4]), kinds)
        offsets = torch.cat([each.reshape(-1, 4) for each in offsets])[:, [1, 0, 3, 2]]
        yield torch.cat([each.reshape(-1) for each in labels]), offsets, int(positives)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 30))
def test_labels_and_offsets_are_those_of_effdet(seed, images, boxes):
    targets = random_targets(seed, images, boxes)
    found = match(targets, ANCHORS)
    offsets = torch.zeros(images, len(ANCHORS), 4)
    offsets[found.images, found.anchors] = encode(found.boxes, ANCHORS[found.anchors])
    for number, (labels, expected, positives) in enumerate(peer(targets)):
        assert torch.equal(found.labels[number], labels)
        torch.testing.assert_close(offsets[number], expected, rtol=1e-4, atol=1e-4)
        assert (found.images == number).sum() == positives


def test_groups_of_anchors_change_nothing(monkeypatch):
    targets = random_targets(3, 4, 60)
    whole = match(targets, ANCHORS)
    monkeypatch.setattr(matching, "_PAIRS_CPU", 1)
    parts = match(targets, ANCHORS)
    assert len(ANCHORS) > 3 * 1024  # several groups of the smallest size
    assert torch.equal(whole.labels, parts.labels)
    assert torch.equal(whole.boxes, parts.boxes)


def test_an_overlap_of_a_half_is_enough_and_less_is_not():
    found = match(batch([[0, 0, 20, 10, 3]], [[0, 0, 10, 19, 4]]), GRID)
    assert found.labels.tolist() == [[3, 3, NEGATIVE, NEGATIVE], [4, NEGATIVE, NEGATIVE, NEGATIVE]]
    assert found.images.tolist() == [0, 0, 1]
    assert found.anchors.tolist() == [0, 1, 0]
    assert found.boxes[2].tolist() == [0, 0, 10, 19]
    assert found.positives == 3


def test_a_small_object_has_its_best_anchor():
    found = match(batch([[22, 2, 25, 5, 7]]), GRID)
    assert found.labels.tolist() == [[NEGATIVE, NEGATIVE, 7, NEGATIVE]]


def test_of_two_objects_with_one_best_anchor_the_first_has_it():
    objects = [[22, 2, 25, 5, 1], [20, 0, 30, 10, 2]]  # the second one is that anchor itself
    assert match(batch(objects), GRID).labels.tolist() == [[NEGATIVE, NEGATIVE, 1, NEGATIVE]]
    assert match(batch(objects[::-1]), GRID).labels.tolist() == [[NEGATIVE, NEGATIVE, 2, NEGATIVE]]


def test_an_anchor_belongs_to_the_object_that_it_overlaps_the_most():
    found = match(batch([[0, 0, 10, 8, 1], [0, 0, 10, 9, 2], [30, 0, 40, 10, 3]]), GRID)
    # the first object's best anchor is taken from the second, as the release does
    assert found.labels.tolist() == [[1, NEGATIVE, NEGATIVE, 3]]


@pytest.mark.parametrize("row", [[500, 500, 600, 600, 1], [15, 5, 15, 5, 1], [0, 0, 0, 0, 1]])
def test_an_object_that_no_anchor_touches_has_none(row):
    assert match(batch([row]), GRID).labels.tolist() == [[NEGATIVE] * 4]


def test_images_without_objects_are_all_negative():
    found = match(batch([], [], [[0, 0, 10, 10, 0]]), GRID)
    assert found.labels.tolist() == [[NEGATIVE] * 4, [NEGATIVE] * 4, [0, NEGATIVE, NEGATIVE, NEGATIVE]]
    empty = match(batch([], []), GRID)
    assert (empty.positives, empty.boxes.shape) == (0, (0, 4))


def test_anchors_in_a_crowd_are_ignored_unless_they_have_an_object():
    crowd = [0, 0, 25, 10, CROWD]  # covers two anchors, and half of the third
    assert match(batch([crowd]), GRID).labels.tolist() == [[IGNORED, IGNORED, IGNORED, NEGATIVE]]
    assert match(batch([crowd, [10, 0, 20, 10, 5]]), GRID).labels.tolist() == [[IGNORED, 5, IGNORED, NEGATIVE]]
    assert match(batch([[0, 0, 24, 10, CROWD]]), GRID).labels.tolist() == [[IGNORED, IGNORED, NEGATIVE, NEGATIVE]]


def test_several_small_crowds_do_not_add_up():
    crowds = [[0, 0, 4, 10, CROWD], [4, 0, 8, 10, CROWD]]
    assert match(batch(crowds), GRID).labels.tolist() == [[NEGATIVE] * 4]


def test_padding_between_objects_changes_nothing():
    targets = random_targets(5, 2, 12)
    spaced = torch.full((2, 30, 5), -1.0)
    spaced[:, 3:27:2] = targets
    first, second = match(targets, ANCHORS), match(spaced, ANCHORS)
    assert torch.equal(first.labels, second.labels)
    assert torch.equal(first.boxes, second.boxes)


@pytest.mark.parametrize("shapes", [((2, 3, 4), (9, 4)), ((3, 5), (9, 4)), ((2, 3, 5), (2, 9, 4))])
def test_other_shapes_are_one_line(shapes):
    with pytest.raises(SpecError, match="targets are \\(N, M, 5\\)"):
        match(*(torch.zeros(shape) for shape in shapes))
