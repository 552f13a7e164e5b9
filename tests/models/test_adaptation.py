"""Weights for other classes and other images than they were made for: what is kept, what is fitted, what is new."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.helpers import answer, photos, small_model, small_network
from triscale.models.adapt import adapt_channels
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model, create_with_report
from triscale.models.files import load, save
from triscale.models.weights import export_state_dict, load_weights
from triscale.spec.network import Head
from triscale.spec.preprocessing import Preprocessing

NAMINGS = ("triscale", "timm", "efficientnet_pytorch", "torchvision")
FITTED = ("stem.0.conv.weight", "head.classifier.weight", "head.classifier.bias")


@settings(deadline=None)
@given(old=st.integers(1, 6), channels=st.integers(1, 20), seed=st.integers(0, 9))
def test_a_grey_picture_gives_the_first_convolution_the_same_response_whatever_the_channels(old, channels, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(4, old, 3, 3, generator=generator)
    grey = torch.randn(1, 1, 9, 9, generator=generator)
    expected = torch.nn.functional.conv2d(grey.expand(-1, old, -1, -1), weight)
    found = torch.nn.functional.conv2d(grey.expand(-1, channels, -1, -1), adapt_channels(weight, channels))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", [32, 512])
def test_fresh_logits_are_as_large_for_two_classes_as_for_twenty_thousand(inputs):
    images = photos(32, 32, count=64)
    scales = {}
    for classes in (2, 10, 1000, 20_000):
        torch.manual_seed(0)
        model = ConvNet(small_network(classes=classes, head=Head(inputs)))
        with torch.no_grad():  # each feature has a mean square of one, as after the batch statistics of training
            features = torch.randn(256, inputs)
            scales[classes] = model.head.classifier(features).std().item()
        assert answer(model.eval(), images).shape == (64, classes)
    # The variance of the uniform distribution in +-1 / sqrt(inputs) is 1 / (3 inputs): the logits' is 1 / 3.
    assert all(scale == pytest.approx(3**-0.5, rel=0.15) for scale in scales.values()), scales


@pytest.mark.parametrize("naming", NAMINGS)
@pytest.mark.parametrize("channels", [1, 4, 13])
def test_weights_in_every_naming_serve_other_images_and_classes(naming, channels):
    source, model = small_model(0), small_model(1, in_channels=channels, classes=2)
    report = load_weights(model, export_state_dict(source, naming), source.network.numerics)
    assert (report.adapted, report.new, report.naming) == (FITTED, (), naming)
    assert len(report.loaded) == len(model.state_dict()) - len(FITTED)
    assert f"adapted: {', '.join(FITTED)}; 0 new" in str(report)
    grey = photos(32, 32, channels=1)
    found, expected = (each.features(grey.expand(-1, each.network.in_channels, -1, -1))[2] for each in (model, source))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(answer(model, photos(33, 32, channels=channels))).all()


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("classes", [2, 5])
def test_an_adapted_model_is_saved_and_read_bit_for_bit_with_its_preprocessing(tmp_path, channels, classes):
    trained = small_model(0)
    trained.preprocessing = Preprocessing((32, 32), None, (0.1, 0.2, 0.3), (0.2, 0.3, 0.4), "bilinear", "squash")
    save(trained, tmp_path / "colour.safetensors")
    model, report = create_with_report(small_network(), tmp_path / "colour.safetensors", classes, channels)
    assert report.adapted == (FITTED if classes == 2 else FITTED[:1])
    assert model.preprocessing.mean == pytest.approx((0.2,) * channels)
    assert model.preprocessing.std == pytest.approx((0.3,) * channels)
    save(model, tmp_path / "adapted.safetensors")
    back = load(tmp_path / "adapted.safetensors")
    images = photos(31, 32, channels=channels)
    assert torch.equal(answer(back, images), answer(model, images))
    assert back.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[key]) for key, tensor in back.state_dict().items())
    assert (back.preprocessing, back.network) == (model.preprocessing, model.network)


def test_a_model_for_thirteen_channels_comes_back_to_colours():
    """From three channels to 13 and back, a grey picture is seen as it was."""
    weight = torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    back = adapt_channels(adapt_channels(weight, 13), 3)
    torch.testing.assert_close(back.sum(1), weight.sum(1))


def test_real_weights_serve_a_two_class_problem_in_grey():
    model, report = create_with_report("efficientnet_lite0", "pretrained", num_classes=2, in_channels=1)
    assert report.adapted == FITTED
    assert answer(model, photos(64, 64, channels=1)).tolist() == [
        [0.0, 0.0]
    ]  # neither class is preferred before training
    colour = create_model("efficientnet_lite0", "pretrained")
    grey = photos(64, 64, channels=1)
    with torch.no_grad():
        found, expected = model.stem(grey), colour.stem(grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
