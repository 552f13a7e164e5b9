import json

import pytest
import torch

from tests.models.helpers import SAME, answer, photos, small_model, small_network
from triscale.errors import WeightsError
from triscale.models.adapt import adapt_channels
from triscale.models.assembler import ConvNet
from triscale.models.files import save
from triscale.models.weights import export_state_dict, load_weights
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.network import Numerics, stage
from triscale.spec.preprocessing import Preprocessing

NATIVE = Numerics("symmetric", 1e-5, 0.1)


def state(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def refused(model, source):
    """The message with which weights are refused; the model must be as it was."""
    before, numerics = state(model), model.network.numerics
    with pytest.raises(WeightsError) as caught:
        load_weights(model, source)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert model.network.numerics == numerics
    return str(caught.value)


def test_loading_says_what_it_did():
    report = load_weights(small_model(1), export_state_dict(small_model(0), "timm"))
    assert (len(report.loaded), report.adapted, report.new, report.naming) == (118, (), (), "timm")
    assert str(report) == (
        "118 tensors loaded in timm naming; 0 new; numerics same padding, eps 0.001 (from the model, small)"
    )


def test_missing_tensors_are_named():
    weights = export_state_dict(small_model(), "timm")
    del weights["blocks.1.0.conv_dw.weight"], weights["classifier.bias"]
    assert "2 missing (blocks.1.0.conv_dw.weight, classifier.bias)" in refused(small_model(1), weights)


def test_tensors_of_a_deeper_network_are_named():
    deeper = small_network(stages=(*small_network().stages, stage(Block("mbconv", 24), 1)))
    message = refused(small_model(1), export_state_dict(ConvNet(deeper), "timm"))
    assert "is not small in timm naming: 12 not part of it (blocks.3.0.conv_dw.weight" in message


def test_tensors_of_a_wider_network_are_named_with_both_shapes():
    weights = export_state_dict(small_model(), "timm")
    weights["blocks.1.0.conv_pwl.weight"] = torch.zeros(20, 32, 1, 1)
    message = refused(small_model(1), weights)
    assert "1 of other shapes (stages.1.0.project.conv.weight 20x32x1x1 instead of 16x32x1x1)" in message


@pytest.mark.parametrize(("one", "other"), [("timm", "torchvision"), ("efficientnet_pytorch", "triscale")])
def test_two_namings_mixed_are_called_so(one, other):
    """Half of the layers in one library's names, half in another's: neither of them can say which network it is."""
    first, second = (list(export_state_dict(small_model(), naming).items()) for naming in (one, other))
    message = refused(small_model(1), dict(first[:59] + second[59:]))
    assert "two namings mixed, " in message
    for naming in (one, other):
        assert f"59 of its names are {naming}'s" in message


def test_names_that_nobody_uses_are_shown():
    message = refused(small_model(), {"layer1.0.weight": torch.ones(1)})
    assert "none of its 1 names belongs to small (it begins with layer1.0.weight)" in message


@pytest.mark.parametrize(
    "odd", [torch.zeros(5, dtype=torch.int64), torch.zeros(5).to_sparse(), torch.empty(5, device="meta")]
)
def test_a_tensor_that_is_no_plain_number_is_refused(odd):
    weights = export_state_dict(small_model(), "timm") | {"classifier.bias": odd}
    assert "head.classifier.bias is no plain tensor of torch.float32" in refused(small_model(1), weights)


def test_other_classes_keep_the_fresh_classifier():
    model = small_model(1, classes=3)
    fresh = model.head.classifier.weight.clone()
    report = load_weights(model, export_state_dict(small_model(0)))
    assert report.adapted == ("head.classifier.weight", "head.classifier.bias")
    assert torch.equal(model.head.classifier.weight, fresh)
    assert "adapted: head.classifier.weight" in str(report)


def test_weights_for_colours_answer_the_same_for_grey_images():
    colour, grey = small_model(0), small_model(1, in_channels=1)
    report = load_weights(grey, export_state_dict(colour))
    assert report.adapted == ("stem.0.conv.weight",)
    picture = photos(32, 32, channels=1)
    torch.testing.assert_close(answer(grey, picture), answer(colour, picture.expand(-1, 3, -1, -1)))


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_more_channels_share_the_old_weights(channels):
    weight = torch.arange(1.0, 4.0).reshape(1, 3, 1, 1)
    expected = {1: [6.0], 2: [2.5, 3.5], 4: [0.5, 2.0, 3.0, 0.5], 6: [0.5, 1.0, 1.5, 0.5, 1.0, 1.5]}
    assert adapt_channels(weight, channels).flatten().tolist() == expected[channels]  # each sums to 1 + 2 + 3


def test_counters_that_old_files_lack_are_new():
    weights = {k: v for k, v in export_state_dict(small_model()).items() if not k.endswith("num_batches_tracked")}
    report = load_weights(small_model(1), weights)
    assert len(report.new) == 16 and all(key.endswith("num_batches_tracked") for key in report.new)


def test_the_naming_of_efficientnet_pytorch_brings_its_numerics():
    model = small_model(1, numerics=NATIVE)
    report = load_weights(model, export_state_dict(small_model(0), "efficientnet_pytorch"))
    assert (report.numerics, report.numerics_from) == (Numerics("same", 1e-3, 0.01), "the naming")
    assert model.network.numerics == report.numerics
    torch.testing.assert_close(answer(model, photos(32, 32)), answer(small_model(0), photos(32, 32)))


def test_the_caller_knows_the_numerics_best():
    model = small_model(1)
    report = load_weights(model, export_state_dict(small_model(0), "efficientnet_pytorch"), NATIVE)
    assert (model.network.numerics, report.numerics_from) == (NATIVE, "the caller")


def test_torchvisions_naming_is_symmetric():
    report = load_weights(small_model(1), export_state_dict(small_model(0), "torchvision"))
    assert (report.numerics, report.numerics_from) == (NATIVE, "the naming")


@pytest.mark.parametrize(
    ("architecture", "padding", "eps"),
    [("tf_efficientnet_b0", "same", 1e-3), ("efficientnet_b0", "symmetric", 1e-5), ("tf_unheard_of", "same", 1e-3)],
)
def test_timms_config_beside_a_file_decides_the_numerics(tmp_path, architecture, padding, eps):
    path = tmp_path / "pytorch_model.bin"
    torch.save(export_state_dict(small_model(0)), path)
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture}))
    model = small_model(1)
    report = load_weights(model, path)
    assert report.numerics_from == "config.json beside the file"
    assert (model.network.numerics.padding, model.network.numerics.eps) == (padding, eps)


def test_a_file_of_ours_brings_numerics_preprocessing_and_card(tmp_path):
    trained = small_model(0)
    trained.preprocessing = Preprocessing(size=(32, 32), mean=(0.1,) * 3, std=(0.2,) * 3)
    trained.card = ModelCard(("a", "b", "c", "d", "e"), "trained by triscale", "CC0-1.0")
    save(trained, tmp_path / "model.safetensors")
    model = small_model(1, numerics=NATIVE)
    report = load_weights(model, tmp_path / "model.safetensors")
    assert (report.naming, report.numerics, report.numerics_from) == ("triscale", SAME, "the file")
    assert model.preprocessing == trained.preprocessing
    assert (model.card.classes, model.card.licence) == (("a", "b", "c", "d", "e"), "CC0-1.0")


def test_class_names_do_not_come_along_to_other_classes(tmp_path):
    trained = small_model(0)
    trained.card = ModelCard(("a", "b", "c", "d", "e"))
    save(trained, tmp_path / "model.safetensors")
    model = small_model(1, classes=2)
    load_weights(model, tmp_path / "model.safetensors")
    assert model.card.classes == ()


def test_a_trained_swish_beta_cannot_be_lost_in_another_naming():
    model = small_model(stages=(stage(Block("mbconv", 8, activation="swish"), 1),))
    assert "stages.0.0.depthwise.act.beta" in export_state_dict(model, "triscale")
    export_state_dict(model, "timm")  # all are still 1, as timm computes
    torch.nn.init.constant_(model.stages[0][0].depthwise.act.beta, 2.0)
    with pytest.raises(WeightsError, match=r"timm has no place for stages.0.0.depthwise.act.beta=2.0"):
        export_state_dict(model, "timm")


def test_an_unknown_naming_is_refused():
    with pytest.raises(WeightsError, match="'keras' is no known naming; expected one of triscale, timm"):
        export_state_dict(small_model(), "keras")


def test_exported_weights_are_copies():
    model = small_model()
    export_state_dict(model)["conv_stem.weight"].zero_()
    assert model.stem[0].conv.weight.abs().sum() > 0
