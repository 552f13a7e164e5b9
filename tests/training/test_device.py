"""Where a training runs."""

import pytest
import torch

from triscale.errors import TrainingError
from triscale.training.device import chosen_device


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [chosen_device(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [chosen_device(name).type for name in ("auto", "cpu")] == ["cpu", "cpu"]


def test_a_gpu_that_is_not_there_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match=r"--device cuda: .*; leave it out, or install PyTorch for your GPU"):
        chosen_device("cuda")
