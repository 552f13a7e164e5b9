"""What is seen inside a model is what it computes there."""

import pytest
import torch
from torch import nn

from training.tiny import plain_model, tiny_model
from triscale.errors import TrainingError
from triscale.modules.plain import Origin, PlainModel
from triscale.spec.preprocessing import Preprocessing
from triscale.training.taps import Tap, channels_at, tapped, taps_of


def test_maps_are_those_that_features_gives():
    model, images = tiny_model().eval(), torch.randn(2, 3, 32, 32)
    with tapped(taps_of(model, (2, 4))) as seen:
        model(images)
    expected = model.features(images)
    assert torch.equal(seen["stride 2"], expected[2])
    assert torch.equal(seen["stride 4"], expected[4])


def test_pooled_features_are_those_before_dropout():
    model, images = tiny_model(), torch.randn(4, 3, 32, 32)
    model.eval()
    model.head.dropout.train()
    with tapped(taps_of(model, ())) as seen:
        model(images)
        first = seen["pooled"]
        model(images)
    assert torch.equal(first, seen["pooled"])
    torch.testing.assert_close(model.eval()(images), model.head.classifier(first))


def test_a_users_classifier_reads_the_pooled_features():
    model, images = plain_model().eval(), torch.randn(2, 3, 32, 32)
    with tapped(taps_of(model, ())) as seen:
        answer = model(images)
    assert torch.equal(model.module.last(seen["pooled"]), answer)


def test_nothing_is_left_behind_also_after_an_error():
    model = tiny_model()
    with pytest.raises(RuntimeError), tapped(taps_of(model, (4,))):
        model(torch.randn(1, 5, 32, 32))
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in model.modules())


def test_channels_are_counted_and_other_shapes_refused():
    assert channels_at(tiny_model(), taps_of(tiny_model(), ())) == {}  # taps of another model see nothing
    model = tiny_model()
    assert channels_at(model, taps_of(model, (2, 4))) == {"stride 2": 8, "stride 4": 16}
    tokens = nn.Sequential(nn.Flatten(2), nn.Linear(32 * 32, 8), nn.Flatten(1), nn.Linear(24, 3))
    strange = PlainModel(tokens, Preprocessing(size=(32, 32)), Origin(outputs=3))
    with pytest.raises(TrainingError, match=r"what is pooled has shape \(1, 3, 1024\)"):
        channels_at(strange, {"pooled": Tap(tokens[1], reads=True)})
