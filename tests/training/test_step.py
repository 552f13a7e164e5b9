"""One step: in parts, in float16, compiled."""

import pytest
import torch
from torch import nn

from training.tiny import tiny_model
from triscale.errors import TrainingError
from triscale.training.compiled import Compiled
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.recipe import Recipe
from triscale.training.scaling import LossScale
from triscale.training.step import NonFiniteError, Stepper, step_seed

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 3
FILES = [f"{number}.png" for number in range(10)]


def stepper(model, network=None, scale=None, **settings):
    given = {"optimiser": "sgd", "batch_size": 10, "epochs": 5, "drop_connect": 0.0, "dropout": 0.0} | settings
    recipe = Recipe(**given)
    model.regularise(recipe.dropout, recipe.drop_connect)
    plan = plan_of(recipe, 20)
    optimiser = make_optimiser(model, recipe.optimiser, plan.learning_rate, recipe.momentum, 0.0)
    return Stepper(model, Supervised(0.1), optimiser, recipe, plan, 3, network, scale)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("parts", [2, 3, 10])  # 3 parts of 10 images are 4, 3 and 3
def test_a_batch_in_parts_has_the_gradient_of_the_whole_batch(parts):
    whole, split = tiny_model().eval(), tiny_model().eval()  # frozen statistics: nothing sees its neighbours
    a = stepper(whole, clip=0.5)(0, IMAGES, LABELS, FILES)
    b = stepper(split, clip=0.5, accumulate=parts)(0, IMAGES, LABELS, FILES)
    assert b.loss == pytest.approx(a.loss, rel=1e-5)
    assert (a.sums, a.images, a.learning_rate) == (b.sums, b.images, b.learning_rate)
    for name, expected in gradients(whole).items():
        torch.testing.assert_close(gradients(split)[name], expected, rtol=1e-3, atol=1e-5, msg=name)
    for expected, found in zip(whole.parameters(), split.parameters(), strict=True):  # clipped as one gradient, too
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_every_part_draws_its_own_random_numbers_from_seed_step_and_part():
    assert step_seed(0, 4) == step_seed(0, 4, 0)  # one part is the whole step
    seeds = {step_seed(0, 4, part) for part in range(5)} | {step_seed(0, 5, part) for part in range(5)}
    assert len(seeds) == 10
    drawn = []

    def listening(model, images, targets):
        drawn.append(torch.rand(1).item())
        return Supervised()(model, images, targets)

    for _ in range(2):
        torch.rand(3)
        step = stepper(tiny_model().train(), accumulate=5)
        Stepper(step.model, listening, step.optimiser, step.recipe, step.plan)(2, IMAGES, LABELS, FILES)
    assert drawn[:5] == drawn[5:]
    assert len(set(drawn)) == 5


def test_the_guard_sees_the_sum_of_all_parts():
    model = tiny_model().train()
    images = IMAGES.clone()
    images[7] = torch.inf  # in the last part
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(NonFiniteError, match="first in the images"):
        stepper(model, accumulate=2)(0, images, LABELS, FILES)
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True))


def test_the_plan_says_what_a_batch_in_parts_means():
    plan = plan_of(Recipe(batch_size=64, accumulate=4), 1000)
    assert (plan.batch_size, plan.accumulate, plan.part_size, plan.steps_per_epoch) == (64, 4, 16, 15)
    assert plan.learning_rate == plan_of(Recipe(batch_size=64), 1000).learning_rate  # of the whole batch
    assert "each step of 64 images goes through the network in 4 parts; BatchNorm sees a part" in plan.notes
    assert plan_of(Recipe(batch_size=64, accumulate=64), 10).accumulate == 10  # never more parts than images
    assert plan_of(Recipe(batch_size=10, accumulate=3), 100).part_size == 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"accumulate": 0}, "Recipe.accumulate must be at least 1, got 0"),
        ({"batch_size": 4, "accumulate": 5}, "Recipe.accumulate must be at most batch_size, got 5"),
        ({"checkpoint_activations": "layer"}, "Recipe.checkpoint_activations must be one of none, block, stage"),
        ({"precision": "fp8"}, "Recipe.precision must be one of fp32, bf16, fp16, got 'fp8'"),
        ({"compile": True, "checkpoint_activations": "block"}, "choose one of the two"),
    ],
)
def test_what_cannot_be_is_refused(settings, said):
    with pytest.raises(TrainingError, match=said):
        Recipe(**settings)


def test_float16_trains_as_float32_does():
    torch.manual_seed(0)
    losses = {}
    for precision in ("fp32", "fp16"):
        model = tiny_model().train()
        scale = LossScale() if precision == "fp16" else None
        step = stepper(model, scale=scale, precision=precision, learning_rate=0.5)
        losses[precision] = [step(number, IMAGES, LABELS, FILES).loss for number in range(8)]
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert losses["fp16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["fp16"][-1] < losses["fp16"][0]
    assert scale == LossScale(good=8)


def test_a_scale_that_is_a_power_of_two_changes_no_gradient():
    plain, scaled = tiny_model().train(), tiny_model().train()
    stepper(plain)(0, IMAGES, LABELS, FILES)
    stepper(scaled, scale=LossScale(2.0**8))(0, IMAGES, LABELS, FILES)
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), scaled.parameters(), strict=True))


class Enlarged(torch.autograd.Function):
    """Passes values on; multiplies gradients by a constant."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.slope = slope
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.slope, None


class Steep(nn.Module):
    """Has gradients like a very steep function."""

    def __init__(self, slope):
        super().__init__()
        self.slope = slope

    def forward(self, x):
        return Enlarged.apply(x, self.slope)


def with_slope(slope):
    """A network whose gradients overflow float32 where the loss is enlarged too far."""
    model = tiny_model().train()
    model.head.dropout = Steep(slope)
    return model


def test_a_step_whose_scaled_gradient_overflows_is_skipped_and_counted():
    model, scale = with_slope(2.0**100), LossScale(2.0**30)
    step = stepper(model, scale=scale)
    before = [p.detach().clone() for p in model.parameters()]
    result = step(0, IMAGES, LABELS, FILES)
    assert result.skipped
    assert (scale.value, scale.skipped) == (2.0**29, 1)
    assert all(torch.equal(p, was) for p, was in zip(model.parameters(), before, strict=True))


def test_gradients_that_are_never_finite_stop_the_training():
    scale = LossScale(2.0)
    step = stepper(with_slope(torch.inf), scale=scale)
    assert step(0, IMAGES, LABELS, FILES).skipped
    with pytest.raises(NonFiniteError, match="step 2"):
        step(1, IMAGES, LABELS, FILES)


def test_a_loss_that_is_not_finite_is_an_error_at_once():
    model = tiny_model().train()
    with torch.no_grad():
        model.head.classifier.bias[0] = torch.nan
    scale = LossScale()
    with pytest.raises(NonFiniteError, match=r"weights of layer head\.classifier"):
        stepper(model, scale=scale)(0, IMAGES, LABELS, FILES)


def test_the_scale_grows_after_many_good_steps():
    scale = LossScale(1024.0, good=1998)
    scale.update(finite=True)
    assert (scale.value, scale.good) == (1024.0, 1999)
    scale.update(finite=True)
    assert (scale.value, scale.good) == (2048.0, 0)
    again = LossScale()
    again.restore(scale.values())
    assert again == scale


def test_without_a_compiler_the_step_runs_as_it_is_and_says_why(monkeypatch):
    def broken(*_):
        raise torch._dynamo.exc.BackendCompilerFailed(compiler, RuntimeError("no C++ compiler was found"), None)

    def compiler():
        pass

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    model, said = tiny_model().train(), []
    expected = tiny_model().train()
    network = Compiled(model, said.append)
    found = stepper(model, network)(0, IMAGES, LABELS, FILES)
    assert found == stepper(expected)(0, IMAGES, LABELS, FILES)
    assert len(said) == 1
    assert said[0].startswith("not compiled, so slower: ")
    assert "no C++ compiler was found" in said[0]
    stepper(model, network)(1, IMAGES, LABELS, FILES)
    assert len(said) == 1


@pytest.mark.slow
def test_a_compiled_network_takes_the_same_step():
    model, plain, said = tiny_model().train(), tiny_model().train(), []
    found = stepper(model, Compiled(model, said.append))(0, IMAGES, LABELS, FILES)
    expected = stepper(plain)(0, IMAGES, LABELS, FILES)
    assert found.loss == pytest.approx(expected.loss, rel=1e-4)
    assert said[0].startswith("compiled in ")
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(model)[name], gradient, rtol=1e-2, atol=1e-4, msg=name)
