"""What a recipe changes in a model, and what is put back."""

import pytest
import torch
from torch import nn

from training.tiny import tiny_network
from triscale.errors import TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.layers import DropConnect
from triscale.training.prepare import norms_of, prepared, training_mode
from triscale.training.recipe import Recipe


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
