"""What a recipe changes in a model, and what is put back."""

import pytest
import torch
from torch import nn

from training.tiny import plain_model, tiny_images, tiny_model, tiny_network, train_tiny
from triscale.errors import TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.layers import DropConnect
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser, parameter_groups
from triscale.training.plan import plan_of
from triscale.training.prepare import enter_phase, norms_of, prepared, rates_of, training_mode
from triscale.training.recipe import Recipe
from triscale.training.step import Stepper


def test_batchnorm_momentum_is_the_recipes_in_training_and_the_networks_after():
    model = ConvNet(tiny_network())
    with prepared(model, Recipe(norm_momentum=0.25)):
        assert {norm.momentum for norm in norms_of(model)} == {0.25}
    assert {norm.momentum for norm in norms_of(model)} == {model.network.numerics.momentum}
    assert not model.training


def test_dropout_and_drop_connect_become_part_of_the_network():
    model = ConvNet(tiny_network())
    with prepared(model, Recipe(dropout=0.5, drop_connect=0.4)):
        assert [each.p for each in model.modules() if isinstance(each, nn.Dropout)] == [0.5]
        assert [each.rate for each in model.modules() if isinstance(each, DropConnect)] == pytest.approx(
            [0, 0.4 * 2 / 3]
        )
    assert (model.network.head.dropout, model.network.drop_connect) == (0.5, 0.4)


def test_frozen_parts_neither_learn_nor_move_their_statistics():
    torch.manual_seed(0)
    model, recipe = ConvNet(tiny_network()), Recipe(freeze=("stem",))
    with prepared(model, recipe):
        training_mode(model, recipe)
        before = {key: value.clone() for key, value in model.stem.state_dict().items()}
        model(torch.randn(4, 3, 32, 32)).sum().backward()
        assert all(p.grad is None for p in model.stem.parameters())
        assert all(torch.equal(value, before[key]) for key, value in model.stem.state_dict().items())
        assert model.stages[0][0].depthwise.norm.num_batches_tracked.item() == 1
    assert all(p.requires_grad for p in model.parameters())


def test_statistics_that_are_not_there_are_said_to_be_missing():
    model = plain_model()
    model.module.body[1] = nn.Identity()
    with prepared(model, Recipe(norms="recalibrate")) as notes:
        assert "Own has no BatchNorm: there are no statistics to compute anew" in notes


def test_frozen_norms_keep_their_statistics_but_not_their_weights():
    model, recipe = ConvNet(tiny_network()), Recipe(norms="frozen")
    training_mode(model, recipe)
    model(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(norm.num_batches_tracked.item() == 0 for norm in norms_of(model))
    assert all(norm.weight.grad is not None for norm in norms_of(model))


def test_freezing_what_is_not_there_names_what_is():
    with (
        pytest.raises(TrainingError, match=r"no module 'stam'; it has stem, stem.0, stages, stages.0"),
        prepared(ConvNet(tiny_network()), Recipe(freeze=("stam",))),
    ):
        pytest.fail("never reached")


def test_a_frozen_stage_is_the_same_to_the_last_bit_after_training(tmp_path):
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train_tiny(
        tiny_images(tmp_path / "images", train=8), tmp_path / "run", model, epochs=1, freeze=("stem", "stages.0")
    )
    kept = {key for key, value in model.state_dict().items() if torch.equal(value, before[key])}
    frozen = {key for key in before if key.startswith(("stem.", "stages.0."))}
    assert kept == frozen
    assert len(frozen) == 22  # three layers with BatchNorm of 6, two of squeeze-excite of 2


def test_names_to_freeze_are_those_of_the_users_module():
    model = plain_model()
    with prepared(model, Recipe(freeze=("body",))):
        learns = [name for name, p in model.layers.named_parameters() if p.requires_grad]
    assert learns == ["scale", "last.weight", "last.bias"]


def test_while_the_classifier_trains_alone_nothing_else_changes(tmp_path):
    images = tiny_images(tmp_path / "images")
    for made, classifier in ((tiny_model, "head.classifier."), (plain_model, "last.")):
        model = made()
        before = {key: value.clone() for key, value in model.tensors().items()}
        folder = tmp_path / classifier
        train_tiny(images, folder, model, epochs=1, head_epochs=1, weight_decay=0.1)
        changed = {key for key, value in model.tensors().items() if not torch.equal(value, before[key])}
        assert changed == {f"{classifier}weight", f"{classifier}bias"}


def test_after_the_classifiers_epochs_everything_trains(tmp_path):
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    train_tiny(tiny_images(tmp_path / "images", train=8), tmp_path / "run", model, epochs=2, head_epochs=0.5)
    assert not any(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "rmsprop_tf"])
def test_the_switch_is_in_the_middle_of_an_epoch_if_asked(optimiser):
    recipe = Recipe(head_epochs=0.5, epochs=2, batch_size=4, optimiser=optimiser)
    plan = plan_of(recipe, 40)
    assert plan.head_steps == 5
    model = tiny_model()
    made = make_optimiser(model, optimiser, plan.learning_rate, 0.9, 0.01)
    step = Stepper(model, Supervised(), made, recipe, plan)
    for number in range(7):
        before = model.stem[0].conv.weight.clone()
        enter_phase(model, made, recipe, number < plan.head_steps)
        step(number, torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 0]), ["x"])
        assert torch.equal(before, model.stem[0].conv.weight) == (number < 5)
        assert len(made.state) == (2 if number < 5 else len(list(model.parameters())))


def test_a_classifier_that_is_frozen_cannot_train_alone(tmp_path):
    with pytest.raises(TrainingError, match=r"head_epochs trains the classifier alone, which Recipe.freeze holds"):
        train_tiny(tiny_images(tmp_path / "images", train=8), tmp_path / "run", freeze=("head",), head_epochs=1)


def test_learning_rates_fall_by_stage_towards_the_stem():
    model = ConvNet(tiny_network())
    rates = rates_of(model, Recipe(layer_decay=0.5))
    assert [factor for _, factor in rates] == [0.0625, 0.125, 0.25, 0.5, 1.0]
    assert [stage for stage, _ in rates] == [model.stem, *model.stages, model.head]
    with prepared(model, Recipe(layer_decay=0.5)) as notes:
        said = "learning rates, as factors by stage: stem 0.0625, stages.0 0.125, stages.1 0.25, stages.2 0.5, head 1"
        assert said in notes
    with prepared(model, Recipe()) as notes:
        assert notes == ()


def test_a_users_module_falls_by_its_children_and_what_is_in_none_learns_slowest():
    model = plain_model()
    recipe = Recipe(layer_decay=0.5)
    groups = parameter_groups(model, 0.1, rates=rates_of(model, recipe))
    named = {id(p): name for name, p in model.layers.named_parameters()}
    found = {(group["lr_scale"], group["weight_decay"]): [named[id(p)] for p in group["params"]] for group in groups}
    assert found == {
        (0.5, 0.1): ["scale", "body.0.weight"],
        (0.5, 0.0): ["body.0.bias", "body.1.weight", "body.1.bias"],
        (1.0, 0.1): ["last.weight"],
        (1.0, 0.0): ["last.bias"],
    }
