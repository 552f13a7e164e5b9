import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

import triscale as ts
from tests.detection.helpers import shaken, small_model
from tests.models import helpers as of_networks
from tests.models.helpers import answer, photos
from triscale.detection.create import create_detector
from triscale.detection.files import holds_detector, load
from triscale.errors import FileError, WeightsError
from triscale.models.files import load as load_network
from triscale.models.files import save
from triscale.spec.card import ModelCard
from triscale.spec.owners import TIMM
from triscale.spec.pyramids import PYRAMIDS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def rewritten(path, change, tensors=None):
    """The file again, with its description changed by `change`."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        description = json.loads(json.loads(file.read(length))["__metadata__"]["triscale"])
    change(description)
    save_file(tensors or load_file(path), path, {"triscale": json.dumps(description)})


def same_answers(one, other, size=(96, 128)):
    images = photos(*size)
    return all(torch.equal(a, b) for a, b in zip(answer(one, images), answer(other, images), strict=True))


@pytest.mark.parametrize("kind", PYRAMIDS)
@pytest.mark.parametrize("biased", [True, False])
def test_a_saved_detector_answers_the_same_to_the_last_bit(path, kind, biased):
    model = small_model(pyramid=PYRAMIDS[kind](16, 2, fusion="fast"), redundant_bias=biased)
    ts.save(model, path)
    back = ts.load(path)
    assert (back.detector, back.name, back.training) == (model.detector, "small", False)
    assert same_answers(back, model)


@pytest.mark.parametrize("name", ["efficientdet_d0", "efficientdet_lite0", "effdet_efficientdet_d0"])
def test_released_detectors_come_back_too(path, name):
    model = shaken(create_detector(name, num_classes=3))
    save(model, path)
    assert same_answers(load(path), model)


def test_everything_that_belongs_to_a_detector_comes_back(path):
    model = small_model()
    model.set_numerics(model.detector.numerics, backbone=TIMM)
    model.card = ModelCard(("a", "b", "c", "d", "e"), "here", "CC0-1.0", "f" * 64, {"map": 0.5}, "notes")
    model.preprocessing = type(model.preprocessing)((64, 128), mean=(0.1,) * 3, std=(0.2,) * 3, fit="letterbox")
    save(model, path)
    back = load(path)
    assert (back.detector, back.preprocessing, back.card) == (model.detector, model.preprocessing, model.card)


def test_a_trained_swish_beta_survives(path):
    model = small_model(pyramid=PYRAMIDS["bifpn"](16, 2, activation="swish"))
    torch.nn.init.constant_(model.pyramid.cells[0].nodes[0].act.beta, 2.5)
    save(model, path)
    assert load(path).pyramid.cells[0].nodes[0].act.beta.item() == 2.5


def test_networks_and_detectors_are_told_apart_by_the_file(path):
    network = of_networks.small_model()
    save(network, path)
    assert not holds_detector(path)
    assert torch.equal(answer(load(path), photos(32, 32)), answer(network, photos(32, 32)))
    save(small_model(), path)
    assert holds_detector(path)
    with pytest.raises(FileError, match="holds a detector, no classifier"):
        load_network(path)


def test_a_plain_state_dict_says_nothing_of_itself(tmp_path):
    torch.save(small_model().state_dict(), tmp_path / "weights.pth")
    assert not holds_detector(tmp_path / "weights.pth")
    with pytest.raises(FileError, match="holds weights but no network"):
        load(tmp_path / "weights.pth")
    with pytest.raises(FileError, match=r"no such file; nearby: weights\.pth"):
        load(tmp_path / "weight.pth")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["detector"].update(classes=0), r"description of the detector is damaged: .*classes"),
        (lambda d: d["detector"].pop("backbone"), r"description of the detector is damaged: .*backbone"),
        (lambda d: d.update(version=2), "is of format version 2, this triscale reads 1"),
        (lambda d: d.update(preprocessing=None), "damaged: preprocessing must be an object"),
        (lambda d: d["preprocessing"].update(mean=[0.5], std=[0.5]), "reads 3 channels, but its preprocessing makes 1"),
    ],
)  # fmt: skip
def test_a_damaged_description_is_told_in_one_line(path, change, told):
    save(small_model(), path)
    rewritten(path, change)
    with pytest.raises(FileError, match=told):
        load(path)


def test_tensors_of_another_detector_are_told(path):
    save(small_model(), path)
    rewritten(path, lambda d: d["detector"].update(classes=4))
    with pytest.raises(WeightsError, match=r"are not those of its detector \(class_head\.final\.weight"):
        load(path)
    save(small_model(), path)
    few = {key: value for key, value in load_file(path).items() if key.startswith("backbone.stem")}
    rewritten(path, lambda d: None, few)
    with pytest.raises(
        WeightsError, match=r"its detector has [\d,]+ parameters, its tensors [\d,]+; the file is damaged"
    ):
        load(path)


def test_a_description_cannot_ask_for_all_memory(path):
    save(small_model(), path)
    rewritten(path, lambda d: d["detector"]["pyramid"].update(channels=4096, repeats=64))
    with pytest.raises(WeightsError, match="the file is damaged"):
        load(path)
