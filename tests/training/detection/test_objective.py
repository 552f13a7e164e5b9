"""The loss of a batch is over its positives and one more, in however many parts the batch comes."""

import pytest
import torch

from training.detection.tiny import SIDE, tiny_model
from triscale.detection.losses import DetectionLoss
from triscale.detection.matching import match
from triscale.errors import TrainingError
from triscale.training.detection.objective import DetectionObjective
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.recipe import Recipe
from triscale.training.step import Stepper

IMAGES = torch.randn(6, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
# Of six images, three have objects, and very different numbers of positives.
TARGETS = torch.full((6, 2, 5), -1.0)
TARGETS[0, 0] = torch.tensor([4.0, 4.0, 40.0, 44.0, 1.0])
TARGETS[0, 1] = torch.tensor([44.0, 44.0, 60.0, 60.0, 0.0])
TARGETS[3, 0] = torch.tensor([10.0, 20.0, 26.0, 36.0, 0.0])
TARGETS[5, 1] = torch.tensor([0.0, 0.0, 64.0, 64.0, -2.0])  # a crowd
FILES = [f"{number}.png" for number in range(6)]


def stepped(parts, targets=TARGETS):
    """One step in so many parts, with frozen statistics, so that nothing sees its neighbours."""
    model = tiny_model().eval()
    objective = DetectionObjective(DetectionLoss(), model)
    recipe = Recipe(optimiser="sgd", batch_size=6, accumulate=parts, clip=1.0)
    optimiser = make_optimiser(model, "sgd", 0.1, 0.9, 0.0)
    step = Stepper(model, objective, optimiser, recipe, plan_of(recipe, 6), weigh=objective.weigh)
    return step(0, IMAGES, targets, FILES), {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("parts", [2, 3, 6])
def test_a_batch_in_parts_has_the_gradient_of_the_whole_batch(parts):
    whole, expected = stepped(1)
    split, found = stepped(parts)
    assert split.loss == pytest.approx(whole.loss, rel=1e-5)
    assert split.weight == pytest.approx(whole.weight) and split.sums == pytest.approx(whole.sums, rel=1e-5)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-3, atol=1e-5, msg=name)


def test_the_loss_is_that_of_its_parts_over_positives_and_one():
    result, _ = stepped(1)
    model = tiny_model().eval()
    matches = match(TARGETS, model.anchors(SIDE))
    with torch.no_grad():
        logits, offsets = model(IMAGES)
    loss = DetectionLoss()
    expected = loss.total(loss.sums(logits, offsets, matches, model.anchors(SIDE)))
    assert result.loss == pytest.approx(float(expected), rel=1e-5)
    assert result.weight == pytest.approx(matches.positives + 1) and result.sums["positives"] == matches.positives
    assert result.sums["class_loss"] + result.sums["box_loss"] == pytest.approx(result.loss * result.weight, rel=1e-5)


def test_a_batch_without_any_box_is_finite_and_learns_that_nothing_is_there():
    result, gradients = stepped(2, torch.full((6, 1, 5), -1.0))
    assert result.sums["positives"] == 0 and result.sums["box_loss"] == 0
    assert 0 < result.loss < float("inf")
    assert all(torch.isfinite(each).all() for each in gradients.values())
    assert gradients["class_head.final.bias"].min() > 0  # all answers go down


def test_one_image_whose_coarsest_map_is_a_pixel_is_refused_in_one_line():
    model = tiny_model().train()
    objective = DetectionObjective(DetectionLoss(), model)
    small = IMAGES[:1, :, :32, :32]  # one pixel at level 5
    with pytest.raises(TrainingError, match="the coarsest map of one image is one pixel"):
        objective(model, small, objective.weigh(small, TARGETS[:1], 1.0)[0])
    pair = IMAGES[:2, :, :32, :32]
    assert objective(model, pair, objective.weigh(pair, TARGETS[:2], 1.0)[0]).loss.isfinite()
