"""Feature maps of two networks, brought together by convolutions that are no part of either."""

import pytest
import torch
from torch import nn

from training.tiny import tiny_model
from triscale.errors import TrainingError
from triscale.training.features import FeatureMatch


def maps(match, student, teacher, size=32):
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with match.student_maps() as mine:
        student(images)
    with match.teacher_maps() as theirs:
        teacher(images)
    return mine, theirs


def test_a_network_that_is_its_own_teacher_is_at_no_distance_once_the_adapter_copies():
    student, teacher = tiny_model().eval(), tiny_model().eval()
    match = FeatureMatch(student, teacher)
    with torch.no_grad():
        match.adapters[0].weight.copy_(torch.eye(16)[:, :, None, None])
    assert match(*maps(match, student, teacher)).item() == pytest.approx(0, abs=1e-10)


def test_an_adapter_that_says_nothing_is_at_distance_one():
    student, teacher = tiny_model().eval(), tiny_model(channels=24).eval()
    match = FeatureMatch(student, teacher)
    with torch.no_grad():
        match.adapters[0].weight.zero_()
    assert match(*maps(match, student, teacher)).item() == pytest.approx(1)


def test_each_stride_has_its_adapter_and_its_gradient_reaches_the_stages_before_it():
    student, teacher = tiny_model(), tiny_model(channels=24)
    match = FeatureMatch(student, teacher, strides=(2, 4))
    assert [tuple(each.weight.shape) for each in match.adapters] == [(8, 8, 1, 1), (24, 16, 1, 1)]
    match(*maps(match, student, teacher)).backward()
    assert all(p.grad is not None for part in (student.stem, student.stages) for p in part.parameters())
    assert all(p.grad is None for p in student.head.parameters())


def test_pooled_features_do_not_ask_where_something_is():
    student, teacher = tiny_model().eval(), tiny_model(channels=24).eval()
    match = FeatureMatch(student, teacher, pooled=True)
    mine, theirs = maps(match, student, teacher)
    mirrored = {number: each.flip(-1) for number, each in theirs.items()}
    assert match(mine, mirrored).item() == pytest.approx(match(mine, theirs).item())


def test_nothing_of_the_student_knows_that_it_was_watched():
    student = tiny_model().eval()
    match = FeatureMatch(student, tiny_model())
    maps(match, student, student)
    assert not any(module._forward_hooks for module in student.modules())
    assert set(match.state_dict()) == {"adapters.0.weight", "adapters.0.bias"}


def test_what_has_no_such_map_is_refused():
    with pytest.raises(TrainingError, match=r"the student \(tiny\) has no map at stride 8; it has them at 2, 4"):
        FeatureMatch(tiny_model(), tiny_model(), strides=(8,))
    with pytest.raises(TrainingError, match="the teacher is no Network"):
        FeatureMatch(tiny_model(), nn.Linear(2, 2))
    match = FeatureMatch(tiny_model(), tiny_model())
    with pytest.raises(TrainingError, match="a compiled network does not show"):
        match({}, {})
