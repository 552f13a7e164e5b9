import re
from dataclasses import replace

import pytest
import torch

from tests import peers
from tests.models.helpers import answer, photos, randomised, small_model, small_network
from triscale.errors import WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.weights import export_state_dict, load_weights
from triscale.spec.families import network
from triscale.spec.network import Numerics

NATIVE, GOOGLE = Numerics("symmetric", 1e-5, 0.1), Numerics("same", 1e-3, 0.01)


def headless(seed=0, **changes):
    return small_model(seed, head=None, **changes)


def refused(model, source):
    """The message with which weights are refused; the model must be as it was."""
    before, numerics = {key: tensor.clone() for key, tensor in model.state_dict().items()}, model.network.numerics
    with pytest.raises(WeightsError) as caught:
        load_weights(model, source)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert model.network.numerics == numerics
    assert "\n" not in str(caught.value)
    return str(caught.value)


def detector(seed=0, pyramid=("fpn.resample.3.conv.conv.weight", "fpn.resample.3.conv.conv.bias")):
    """A state dict as effdet's detectors have: a backbone, and what reads it."""
    rest = [*pyramid, "class_net.predict.conv_pw.bias", "box_net.predict.conv_pw.bias"]
    return export_state_dict(small_model(seed), "effdet") | {key: torch.zeros(3) for key in rest}


def test_what_only_a_detector_has_is_reported_and_its_head_is_new():
    model = small_model(1)
    report = load_weights(model, detector())
    assert report.naming == "effdet"
    assert report.ignored[:2] == ("fpn.resample.3.conv.conv.weight", "fpn.resample.3.conv.conv.bias")
    assert len(report.ignored) == 4
    assert report.new == tuple(key for key in model.state_dict() if key.startswith("head."))
    assert "8 new, 4 of the source not used; numerics same padding, eps 0.001 (from the naming)" in str(report)


def test_a_network_without_a_head_takes_a_detectors_backbone_completely():
    model = headless(1)
    report = load_weights(model, detector())
    assert (report.new, len(report.loaded)) == ((), len(model.state_dict()))
    assert torch.equal(answer(model, photos(32, 32)), answer(headless(0, numerics=GOOGLE), photos(32, 32)))


@pytest.mark.parametrize(
    ("pyramid", "numerics", "how"),
    [
        (("fpn.resample.3.conv.conv.weight", "fpn.resample.3.conv.conv.bias"), GOOGLE, "the naming"),
        (("fpn.resample.3.conv.conv.weight", "fpn.resample.3.conv.bn.bias"), NATIVE, "the naming"),
        ((), Numerics("symmetric", 1e-4, 0.2), "the model, small"),
    ],
)
def test_biases_before_a_pyramids_batchnorms_tell_google_from_effdet(pyramid, numerics, how):
    model = small_model(1, numerics=Numerics("symmetric", 1e-4, 0.2))
    report = load_weights(model, detector(pyramid=pyramid))
    assert (report.numerics, model.network.numerics, report.numerics_from) == (numerics, numerics, how)


@pytest.mark.parametrize(
    ("name", "biased"), [("tf_efficientdet_d0", True), ("efficientdet_d0", False), ("tf_efficientdet_lite0", True)]
)
def test_effdets_own_detectors_have_those_biases_where_google_trained_them(name, biased):
    keys = peers.effdet().create_model(name, pretrained=False, pretrained_backbone=False).state_dict()
    assert any(key.startswith("fpn.") and key.endswith("conv.bias") for key in keys) == biased


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
def test_what_a_trainer_put_before_every_name_is_taken_off(prefix):
    weights = {f"{prefix}{key}": tensor for key, tensor in detector().items()}
    assert load_weights(small_model(1), weights).naming == "effdet"


@pytest.mark.parametrize("naming", ["timm", "torchvision", "efficientnet_pytorch"])
def test_a_backbone_takes_a_classifiers_weights_and_reports_the_head_that_it_has_no_use_for(naming):
    model = headless(1)
    report = load_weights(model, export_state_dict(small_model(0), naming))
    assert (report.naming, report.new, len(report.ignored)) == (naming, (), 8)
    assert len(report.loaded) == len(model.state_dict())


def test_a_backbone_takes_the_weights_of_a_mobilenet_v3_and_of_a_resnet():
    for name, ignored in (("mobilenet_v3_small", 10), ("resnet18", 2)):
        full = randomised(ConvNet(network(name)))
        bare = ConvNet(replace(network(name), head=None))
        report = load_weights(bare, export_state_dict(full))
        assert (report.new, len(report.ignored), len(report.loaded)) == ((), ignored, len(bare.state_dict()))


@pytest.mark.parametrize("naming", ["timm", "torchvision", "efficientnet_pytorch"])
def test_a_classifier_takes_a_backbone_alone_and_its_head_is_new(naming):
    model = small_model(1)
    report = load_weights(model, export_state_dict(headless(0), naming))
    assert report.naming == naming
    assert report.new == tuple(key for key in model.state_dict() if key.startswith("head."))


def test_a_detector_in_a_file_becomes_a_classifier_that_is_quiet_until_it_is_trained(tmp_path):
    torch.save({"state_dict": {f"model.{key}": tensor for key, tensor in detector().items()}}, tmp_path / "d0.pth")
    model = create_model(small_network(), tmp_path / "d0.pth")
    assert torch.equal(model.stem[0].conv.weight, small_model(0).stem[0].conv.weight)
    assert torch.equal(answer(model, photos(32, 32)), torch.zeros(1, 5))


def test_half_a_head_is_missing_tensors():
    weights = export_state_dict(small_model())
    del weights["classifier.weight"], weights["classifier.bias"]
    assert "2 missing (classifier.weight, classifier.bias)" in refused(small_model(1), weights)


def test_a_detector_that_lacks_a_tensor_of_its_backbone_is_refused():
    weights = detector()
    del weights["backbone.blocks.1.0.conv_dw.weight"]
    message = refused(small_model(1), weights)
    assert "is not small in effdet naming: 1 missing (backbone.blocks.1.0.conv_dw.weight)" in message


def test_a_detector_of_another_backbone_is_refused_by_its_shape():
    weights = detector() | {"backbone.conv_stem.weight": torch.zeros(9, 3, 3, 3)}
    assert "1 of other shapes (stem.0.conv.weight 9x3x3x3 instead of 8x3x3x3)" in refused(small_model(1), weights)


def test_what_neither_library_has_is_named():
    weights = detector() | {"segmentation.weight": torch.zeros(1)}
    assert "1 not part of it (segmentation.weight)" in refused(small_model(1), weights)


@pytest.mark.parametrize("other", ["torchvision", "efficientnet_pytorch", "effdet", "triscale"])
def test_two_namings_in_one_state_dict_are_refused_in_one_line(other):
    timms, theirs = export_state_dict(small_model()), export_state_dict(small_model(), other)
    names = dict(zip(timms, theirs, strict=False))
    mixed = {(names.get(key, key) if number % 3 == 0 else key): timms[key] for number, key in enumerate(timms)}
    message = refused(small_model(1), mixed)
    assert "two namings mixed" in message
    assert all(re.search(rf"\d+ of its names are {naming}'s", message) for naming in ("timm", other))


def test_the_whole_of_two_namings_together_is_refused_too():
    both = export_state_dict(small_model(), "timm") | export_state_dict(small_model(), "torchvision")
    assert "two namings mixed" in refused(small_model(1), both)
