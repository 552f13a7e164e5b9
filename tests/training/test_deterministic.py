"""`deterministic`: the same bits in each run, and one line where an operation has no such form."""

import pytest
import torch

from training.tiny import tiny_images, train_tiny
from triscale.errors import TrainingError
from triscale.models.files import load
from triscale.training.deterministic import deterministic


def test_two_deterministic_runs_are_identical_and_equal_to_one_without(tmp_path):
    images = tiny_images(tmp_path / "images")
    for name, wanted in (("a", True), ("b", True), ("c", False)):
        train_tiny(images, tmp_path / name, epochs=2, deterministic=wanted)
    first, *others = (load(tmp_path / name / "model.safetensors").state_dict() for name in "abc")
    for other in others:
        assert all(torch.equal(first[key], value) for key, value in other.items())


def test_what_pytorch_was_told_before_is_put_back():
    torch.backends.cudnn.benchmark = True
    try:
        with deterministic(True):
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.backends.cudnn.benchmark
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark
        with deterministic(False):
            assert torch.backends.cudnn.benchmark
    finally:
        torch.backends.cudnn.benchmark = False


def test_an_operation_without_such_a_form_is_one_line():
    with (
        pytest.raises(TrainingError, match=r"^deterministic: put_ .*; leave deterministic out, or use a CPU\.$"),
        deterministic(True),
    ):
        raise RuntimeError("put_ does not have a deterministic implementation, but you set 'torch.use_deterministic…'")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="something else"), deterministic(True):
        raise RuntimeError("something else")
