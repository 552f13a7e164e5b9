from dataclasses import replace

import pytest
import torch

from tests.detection.helpers import effdet_model, shaken, small_detector, small_model
from tests.models import helpers as of_networks
from tests.models.helpers import answer, photos
from triscale.detection.create import create_detector
from triscale.detection.detector import DetectorNet
from triscale.detection.weights import export_state_dict, load_weights
from triscale.errors import FileError, WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.files import save
from triscale.models.weights import export_state_dict as export_network
from triscale.spec.card import ModelCard
from triscale.spec.detector import Anchors, Heads
from triscale.spec.families import network
from triscale.spec.families.efficientdet import SYMMETRIC_PYRAMID, detector
from triscale.spec.network import Head, Numerics
from triscale.spec.owners import GOOGLE, TIMM
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.pyramid import Node, Pyramid
from triscale.spec.pyramids import PYRAMIDS, bifpn

NAMED = [name for name in PYRAMIDS if name not in ("one_map", "ssd", "nas_fpn")]


def equal(one, other):
    """The same tensors under the same names."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def fresh(**changes):
    torch.manual_seed(9)
    return DetectorNet(small_detector(**changes)).eval()


@pytest.mark.parametrize("naming", ["triscale", "effdet"])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("kind", NAMED)
def test_every_tensor_goes_out_and_comes_back(kind, biased, naming):
    pyramid = PYRAMIDS[kind](16, 2, fusion="fast")
    model, back = small_model(pyramid=pyramid, redundant_bias=biased), fresh(pyramid=pyramid, redundant_bias=biased)
    report = load_weights(back, export_state_dict(model, naming))
    assert (report.naming, report.adapted, report.new, report.ignored, report.part) == (naming, (), (), (), "")
    assert equal(model.state_dict(), back.state_dict())


def test_effdets_names_are_its_models():
    model = create_detector("efficientdet_d0")
    tensors = export_state_dict(model)
    peer = effdet_model("tf_efficientdet_d0", (128, 128), tensors)
    assert {key: tuple(value.shape) for key, value in tensors.items()} == {
        key: tuple(value.shape) for key, value in peer.state_dict().items()
    }


def test_boxes_are_told_in_our_order():
    model = small_model()
    ours, theirs = model.box_head.final.bias, export_state_dict(model)["box_net.predict.conv_pw.bias"]
    assert theirs.view(-1, 4).tolist() == ours.view(-1, 4)[:, [1, 0, 3, 2]].tolist()  # (y, x, height, width)


@pytest.mark.parametrize("given", [True, False])
def test_the_biases_of_the_weights_are_the_models_after_loading(given):
    model, other = small_model(redundant_bias=given), fresh(redundant_bias=not given)
    report = load_weights(other, export_state_dict(model))
    assert other.detector.redundant_bias is given
    expected = (GOOGLE, small_detector().numerics) if given else (TIMM, SYMMETRIC_PYRAMID)
    assert (other.detector.backbone.numerics, other.detector.numerics.padding) == (expected[0], expected[1].padding)
    assert (report.numerics, report.numerics_from) == (expected[0], "the naming")
    assert equal(model.state_dict(), other.state_dict())


def test_the_caller_says_the_backbones_numerics():
    model, other = small_model(), fresh()
    report = load_weights(other, export_state_dict(model), numerics=Numerics())
    assert (report.numerics_from, other.detector.backbone.numerics) == ("the caller", Numerics())
    assert other.detector.numerics == model.detector.numerics


def test_another_number_of_classes_keeps_all_but_the_last_convolution():
    model, other = small_model(), fresh(classes=7)
    before = other.class_head.final.weight.clone()
    report = load_weights(other, export_state_dict(model))
    assert report.adapted == ("class_head.final.weight", "class_head.final.bias")
    assert torch.equal(other.class_head.final.weight, before)
    kept = {key: value for key, value in model.state_dict().items() if not key.startswith("class_head.final.")}
    assert equal(kept, {key: other.state_dict()[key] for key in kept})


def test_other_anchors_keep_all_but_both_last_convolutions():
    made = small_detector().anchors
    model, other = small_model(), fresh(anchors=type(made)(octaves=(0.0,)))
    report = load_weights(other, export_state_dict(model))
    assert {key.rpartition(".")[0] for key in report.adapted} == {"class_head.final", "box_head.final"}


def test_as_many_answers_of_other_anchors_and_classes_are_fresh():
    made = small_detector().anchors
    model, other = small_model(classes=2), fresh(classes=4, anchors=type(made)(octaves=(0.0,)))  # 6 x 2 are 3 x 4
    before = {key: value.clone() for key, value in other.state_dict().items() if ".final." in key}
    report = load_weights(other, export_state_dict(model))
    assert set(report.adapted) == set(before)
    assert equal(before, {key: other.state_dict()[key] for key in before})


def test_grey_images_adapt_the_first_convolution():
    grey = small_detector(backbone=replace(small_detector().backbone, in_channels=1))
    model, other = small_model(), DetectorNet(grey)
    report = load_weights(other, export_state_dict(model))
    assert report.adapted == ("backbone.stem.0.conv.weight",)
    expected = model.backbone.stem[0].conv.weight.sum(1, keepdim=True)
    torch.testing.assert_close(other.backbone.stem[0].conv.weight, expected)


def test_effdets_benches_are_read_without_their_anchors():
    model, other = small_model(), fresh()
    bench = {f"model.{key}": value for key, value in export_state_dict(model).items()}
    report = load_weights(other, {**bench, "anchors.boxes": torch.zeros(3, 4)})
    assert report.naming == "effdet"
    assert equal(model.state_dict(), other.state_dict())


def backbone_of(made, **changes):
    """A classifier whose stem and stages are the detector's backbone."""
    torch.manual_seed(4)
    whole = replace(made.backbone, head=Head(32), classes=11, **changes)
    return of_networks.randomised(ConvNet(whole))


@pytest.mark.parametrize("naming", ["triscale", "timm", "efficientnet_pytorch", "effdet"])
def test_a_classifiers_weights_fill_the_backbone_alone(naming):
    model = fresh()
    heads = {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("backbone.")}
    classifier = backbone_of(model.detector)
    report = load_weights(model, export_network(classifier, naming))
    assert (report.part, report.naming, report.adapted) == ("the backbone alone", naming, ())
    assert str(report).startswith(f"the backbone alone: {len(report.loaded)} tensors loaded in {naming} naming")
    assert set(report.new) == set(heads)
    images = photos(64, 64)
    with torch.no_grad():
        for stride, found in model.backbone.features(images).items():
            assert torch.equal(found, classifier.features(images)[stride])
    assert equal(heads, {key: model.state_dict()[key] for key in heads})


def test_a_file_of_a_classifier_brings_its_colours_numerics_and_origin(tmp_path):
    model = fresh()
    classifier = backbone_of(model.detector, numerics=Numerics())
    classifier.preprocessing = Preprocessing(mean=(0.1,) * 3, std=(0.2,) * 3, fit="crop")
    classifier.card = ModelCard(tuple("abcdefghijk"), "mine", "MIT", metrics={"top1": 0.5})
    save(classifier, tmp_path / "classifier.safetensors")
    report = load_weights(model, tmp_path / "classifier.safetensors")
    assert (report.part, report.numerics_from) == ("the backbone alone", "the file")
    assert (model.detector.backbone.numerics, model.detector.numerics.padding) == (Numerics(), "same")
    assert (model.preprocessing.mean, model.preprocessing.fit) == ((0.1,) * 3, "letterbox")
    assert (model.card.origin, model.card.licence, model.card.classes) == ("backbone: mine", "MIT", ())


def test_our_file_brings_preprocessing_numerics_and_card(tmp_path):
    model, other = small_model(), fresh()
    model.set_numerics(SYMMETRIC_PYRAMID, backbone=TIMM)
    model.preprocessing = Preprocessing((96, 96), mean=(0.1,) * 3, std=(0.2,) * 3, fit="letterbox")
    model.card = ModelCard(("a", "b", "c", "d", "e"), "mine", metrics={"map": 0.5})
    save(model, tmp_path / "model.safetensors")
    report = load_weights(other, tmp_path / "model.safetensors")
    assert (report.numerics_from, other.detector) == ("the file", model.detector)
    assert other.preprocessing == model.preprocessing
    assert (other.card.classes, other.card.origin, other.card.metrics) == (model.card.classes, "mine", {"map": 0.5})
    assert torch.equal(answer(other, photos(96, 96))[0], answer(model, photos(96, 96))[0])


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("pyramid.fusion", {"pyramid": bifpn(16, 2, fusion="softmax")}),
        ("pyramid.activation", {"pyramid": bifpn(16, 2, activation="relu6")}),
        ("heads.activation", {"heads": Heads(2, activation="relu6")}),
    ],
)
def test_our_file_of_equal_shapes_that_answers_differently_is_refused(tmp_path, field, changes):
    save(small_model(), tmp_path / "model.safetensors")
    other = fresh(**changes)
    before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
    with pytest.raises(WeightsError, match=rf"was trained with {field} .*ts\.load\(path\)"):
        load_weights(other, tmp_path / "model.safetensors")
    assert equal(other.state_dict(), before)


def test_offsets_from_other_anchors_are_left_out(tmp_path):
    model, other = small_model(), fresh(anchors=Anchors(octaves=(0.1, 0.6)))
    save(model, tmp_path / "model.safetensors")
    before = other.box_head.final.weight.detach().clone()
    report = load_weights(other, tmp_path / "model.safetensors")
    assert report.adapted == ("box_head.final.weight", "box_head.final.bias")
    assert torch.equal(other.box_head.final.weight, before)
    assert torch.equal(other.class_head.final.weight, model.class_head.final.weight)


def test_weights_of_another_detector_are_refused_and_change_nothing():
    model = fresh()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    odd = export_state_dict(small_model(redundant_bias=False)) | {
        "fpn.cell.0.fnode.1.combine.edge_weights": torch.zeros(3)
    }
    told = r"is not small: 1 of other shapes \(pyramid\.cells\.0\.nodes\.1\.weights 3 instead of 2\)"
    with pytest.raises(WeightsError, match=told):
        load_weights(model, odd)
    longer = export_state_dict(small_model(pyramid=bifpn(16, 3)))
    with pytest.raises(WeightsError, match=r"is not small in effdet naming: \d+ not part of it \(fpn\.cell\.2"):
        load_weights(model, longer)
    with pytest.raises(WeightsError, match="none of its 1 names belongs to"):
        load_weights(model, {"a": torch.zeros(1)})
    assert equal(before, model.state_dict())
    assert model.detector == small_detector()


def test_a_detectors_file_is_refused_by_a_classifier_in_one_line(tmp_path):
    save(small_model(), tmp_path / "model.safetensors")
    with pytest.raises(FileError, match=r"model\.safetensors: holds a detector, no classifier; read it with ts\.load"):
        load_weights(of_networks.small_model(), tmp_path / "model.safetensors")


def test_effdet_has_no_names_for_pyramids_that_it_cannot_build():
    with pytest.raises(WeightsError, match="effdet has no names for the pyramid of small"):
        export_state_dict(small_model(pyramid=PYRAMIDS["nas_fpn"](16, 1)))
    half = Pyramid("half", (Node(3, (0, 1)),), (3, 7), 16, 1)
    with pytest.raises(WeightsError, match="every level has one"):
        export_state_dict(small_model(pyramid=half))
    with pytest.raises(WeightsError, match="timm has no detectors, small is one; use naming 'effdet' or 'triscale'"):
        export_state_dict(small_model(), "timm")


def test_networks_are_still_taken():
    model = of_networks.small_model()
    report = load_weights(of_networks.small_model(seed=1), export_state_dict(model))
    assert (report.naming, report.part) == ("timm", "")


def test_google_weights_keep_their_biases_and_effdets_own_have_none():
    google, own = export_state_dict(create_detector("efficientdet_d0")), detector("effdet_efficientdet_d0")
    native = export_state_dict(shaken(create_detector(own)))
    parameters = [
        sum(t.numel() for key, t in each.items() if "running_" not in key and "num_batches" not in key)
        for each in (google, native)
    ]
    assert parameters == [3880067, 3877763]  # facts: exact.params, effdet_native_configs.D0


def test_create_model_takes_a_headless_network_and_pretrained_weights():
    headless = create_model(replace(network("tf_efficientnet_lite0"), head=None), "pretrained")
    whole = create_model("tf_efficientnet_lite0", "pretrained")
    images = photos(64, 64)
    with torch.no_grad():
        assert torch.equal(headless(images), whole.features(images)[32])
