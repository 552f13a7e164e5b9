"""Optimisers against sequences worked out by hand, and their state's way through a file."""

import copy

import pytest
import torch
from torch import nn

from triscale.errors import TrainingError
from triscale.training.objective import Supervised
from triscale.training.optim import (
    OPTIMISERS,
    RMSpropTF,
    make_optimiser,
    optimiser_tensors,
    parameter_groups,
    restore_optimiser,
)
from triscale.training.plan import plan_of
from triscale.training.recipe import Recipe
from triscale.training.step import Stepper


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))


def do_steps(model, optimiser, steps):
    for step in steps:
        torch.manual_seed(step)
        optimiser.zero_grad()
        model(torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last)).square().sum().backward()
        optimiser.step()


def test_rmsprop_is_tensorflows_step_by_step():
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimiser = RMSpropTF([weight], lr=0.1, decay=0.9, momentum=0.9, eps=1e-3)
    seen = []
    for gradient in (0.5, -2.0, 3.0):
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimiser.step()
        seen.append(weight.item())
    # s: 0.9 + 0.1 * 0.25 = 0.925           m: 0.05 / sqrt(0.926) = 0.05196
    # s: 0.8325 + 0.1 * 4 = 1.2325          m: 0.04676 - 0.2 / sqrt(1.2335) = -0.13332
    # s: 1.10925 + 0.1 * 9 = 2.00925        m: -0.11998 + 0.3 / sqrt(2.01025) = 0.09161
    assert seen == pytest.approx([1 - 0.05196, 0.94804 + 0.13332, 1.08136 - 0.09161], abs=2e-5)


def test_rmsprop_adds_weight_decay_to_the_gradient():
    weight = nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    weight.grad = torch.tensor([0.0], dtype=torch.float64)
    RMSpropTF([weight], lr=0.1, momentum=0.0, weight_decay=0.5).step()  # gradient 1, s = 1, 0.1 / sqrt(1.001)
    assert weight.item() == pytest.approx(2 - 0.1 / 1.001**0.5)


def test_only_weights_of_convolutions_and_linear_layers_decay():
    decaying, others = parameter_groups(tiny(), 0.1)
    assert [tuple(p.shape) for p in decaying["params"]] == [(4, 3, 3, 3), (2, 144)]
    assert [tuple(p.shape) for p in others["params"]] == [(4,), (4,), (4,), (2,)]
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def test_biases_decay_where_that_is_wanted_and_batchnorm_never_does():
    """V1 decays all but BatchNorm, V2 only weights: facts of tensorflow/tpu and google/automl."""
    decaying, others = parameter_groups(tiny(), 0.1, decay_biases=True)
    assert [tuple(p.shape) for p in decaying["params"]] == [(4, 3, 3, 3), (4,), (2, 144), (2,)]
    assert [tuple(p.shape) for p in others["params"]] == [(4,), (4,)]
    optimiser = make_optimiser(tiny(), "rmsprop_tf", 0.1, 0.9, 1e-5, decay_biases=True)
    assert [(group["weight_decay"], group["decay"], group["eps"]) for group in optimiser.param_groups] == [
        (1e-5, 0.9, 1e-3),
        (0.0, 0.9, 1e-3),
    ]


def test_each_part_has_its_rate_and_keeps_what_decays():
    model = tiny()
    groups = parameter_groups(model, 0.1, True, [(model[0], 0.25), (model[1], 0.5), (model[3], 1.0)])
    assert [(each["lr_scale"], each["weight_decay"], len(each["params"])) for each in groups] == [
        (0.25, 0.1, 2),  # weight and bias of the convolution
        (0.5, 0.0, 2),  # BatchNorm
        (1.0, 0.1, 2),  # weight and bias of the linear layer
    ]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_step_moves_each_part_by_its_rate(name):
    """The first step of each optimiser is proportional to the learning rate."""
    plain, scaled = tiny(), tiny()
    recipe, plan = Recipe(optimiser=name, warmup_epochs=0), plan_of(Recipe(), 64)
    moved = []
    for model, rates in ((plain, []), (scaled, [(scaled[0], 0.5), (scaled[3], 1.0)])):
        before = [p.detach().clone() for p in model.parameters()]
        step = Stepper(model, Supervised(), make_optimiser(model, name, 0.1, 0.9, 0.0, rates=rates), recipe, plan)
        torch.manual_seed(1)
        step(3, torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), ["x"])
        moved.append([p.detach() - old for p, old in zip(model.parameters(), before, strict=True)])
    for number, (one, other) in enumerate(zip(*moved, strict=True)):
        torch.testing.assert_close(other, one * (1.0 if number > 3 else 0.5), atol=1e-7, rtol=1e-3)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_restored_optimiser_goes_on_to_the_last_bit(name):
    model = tiny().to(memory_format=torch.channels_last)
    optimiser = make_optimiser(model, name, 0.01, 0.9, 0.05)
    do_steps(model, optimiser, range(3))
    other = copy.deepcopy(model)
    resumed = make_optimiser(other, name, 0.01, 0.9, 0.05)
    restore_optimiser(resumed, {key: value.clone().contiguous() for key, value in optimiser_tensors(optimiser).items()})
    do_steps(model, optimiser, range(3, 6))
    do_steps(other, resumed, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_nothing_to_train_is_said():
    with pytest.raises(TrainingError, match="no trainable parameter"):
        make_optimiser(tiny().requires_grad_(False), "sgd", 0.1, 0.9, 0.0)
