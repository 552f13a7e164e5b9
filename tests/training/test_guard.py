"""Finding where numbers stopped being finite."""

import pytest
import torch
from torch import nn

from triscale.training.guard import origin_of_nonfinite
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.recipe import Recipe
from triscale.training.step import NonFiniteError, Stepper, step_seed


class Broken(nn.Module):
    """The logarithm, whose gradient at 0 is not finite though its masked output is."""

    def forward(self, x):
        return torch.where(x > 1e9, x.abs().log(), x * 0)


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 2))


def stepper(model, **settings):
    recipe = Recipe(optimiser="sgd", batch_size=4, epochs=5, **settings)
    plan = plan_of(recipe, 8)
    return Stepper(model, Supervised(), make_optimiser(model, "sgd", plan.learning_rate, 0.9, 0.0), recipe, plan)


def test_bad_images_are_told_from_bad_weights():
    model = tiny()
    images = torch.full((4, 3, 8, 8), torch.nan)
    assert origin_of_nonfinite(model, images, lambda: model(images)) == "the images"


def test_poisoned_weights_name_their_layer():
    model = tiny()
    with torch.no_grad():
        model[3].weight[0, 0] = torch.inf
    images = torch.randn(4, 3, 8, 8)
    assert origin_of_nonfinite(model, images, lambda: model(images)) == "the weights of layer 3 (weight)"


def test_an_overflow_names_the_first_layer_that_made_it():
    model = tiny()
    with torch.no_grad():
        model[0].weight.fill_(3e38)
    images = torch.randn(4, 3, 8, 8)
    assert origin_of_nonfinite(model, images, lambda: model(images)) == "the output of layer 0"


def test_a_gradient_is_named_by_the_layer_nearest_the_loss():
    model = nn.Sequential(nn.Linear(2, 2), Broken(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.zero_()
    images = torch.zeros(1, 2)
    model(images).sum().backward()
    assert origin_of_nonfinite(model, images, lambda: model(images)) == "the gradient of layer 0 (bias)"


def test_a_step_that_is_not_finite_says_all_and_leaves_the_weights():
    model = tiny()
    with torch.no_grad():
        model[3].bias[1] = torch.nan
    before = model[0].weight.detach().clone()
    with pytest.raises(NonFiniteError) as caught:
        stepper(model)(
            3, torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), ["a.png", "b.png", "c.png", "d.png", "e.png"]
        )
    said = str(caught.value)
    assert "step 4 (epoch 2, batch 2): not finite, first in the weights of layer 3 (bias); learning rate" in said
    assert "images a.png, b.png, c.png, d.png and 1 more" in said
    assert caught.value.files == ("a.png", "b.png", "c.png", "d.png", "e.png")
    assert torch.equal(model[0].weight, before)


def test_clipping_bounds_the_gradient():
    model = tiny()
    step = stepper(model, clip=1e-3)
    step(0, torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 0, 1]), ["a"] * 4)
    norm = sum(p.grad.square().sum() for p in model.parameters()).sqrt()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_step_draws_the_same_whatever_was_drawn_before():
    assert step_seed(0, 1) == step_seed(0, 1) != step_seed(0, 2) != step_seed(1, 1)
    results = []
    for drawn in (0, 10):
        model = nn.Sequential(tiny(), nn.Dropout(0.5))
        torch.rand(drawn)
        images = torch.ones(4, 3, 8, 8)
        results.append(stepper(model)(0, images, torch.tensor([0, 1, 0, 1]), ["a"] * 4).loss)
    assert results[0] == results[1]
