"""The moving average forgets the start, and covers BatchNorm's statistics."""

import pytest
import torch
from torch import nn

from triscale.training.ema import AveragedModel, ramped_decay


def test_the_decay_ramps_up_and_stays():
    assert [round(ramped_decay(step, 0.99), 3) for step in (0, 1, 10, 90, 890, 10_000)] == [
        0.1,  # 1 / 10
        0.182,  # 2 / 11
        0.55,  # 11 / 20
        0.91,  # 91 / 100
        0.99,  # 891 / 900
        0.99,
    ]


def test_the_average_is_near_the_weights_from_early_on():
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = AveragedModel(model)
    nn.init.ones_(model.weight)
    for step in range(20):
        average.update(ramped_decay(step, 0.9999))
    assert average.model.weight.item() > 0.999  # a decay of 0.9999 from the start would give 0.002


def test_weights_and_statistics_move_alike_and_counters_are_copied():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    average = AveragedModel(model)
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        average.model[0].weight.fill_(0.0)
        model[1].running_mean.fill_(4.0)
        model[1].num_batches_tracked.fill_(7)
    average.update(decay=0.75)
    assert average.model[0].weight.flatten().tolist() == [0.25, 0.25]
    assert average.model[1].running_mean.tolist() == [1.0, 1.0]
    assert average.model[1].num_batches_tracked.item() == 7


def test_the_average_is_separate_and_never_trains():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    average = AveragedModel(model)
    assert not average.model.training
    assert not any(p.requires_grad for p in average.model.parameters())
    assert average.model[0].weight.data_ptr() != model[0].weight.data_ptr()


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_it_moves_by_what_is_left_of_one(decay):
    model = nn.Linear(1, 1, bias=False)
    average = AveragedModel(model)
    before = average.model.weight.item()
    nn.init.constant_(model.weight, 2.0)
    average.update(decay)
    assert average.model.weight.item() == pytest.approx(decay * before + (1 - decay) * 2.0)
