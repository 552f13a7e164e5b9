"""Detectors on the Hub, through its real client and a server on this machine."""

import pytest
import torch

import triscale as ts
from tests.detection.helpers import small_detector, small_model
from tests.hub import hub  # noqa: F401
from tests.models.helpers import answer, photos
from tests.models.hub.said import refused
from triscale.detection.weights import export_state_dict
from triscale.errors import FileError, SpecError
from triscale.spec.card import ModelCard


@pytest.fixture
def published(hub, tmp_path):  # noqa: F811
    """(hub, a detector, the name of the repository that holds it)."""
    model = small_model()
    model.card = ModelCard(("a", "b", "c", "d", "e"), "mine", "MIT")
    ts.save(model, tmp_path / "model.safetensors")
    hub.add("me/boxes", {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()})
    return hub, model, "hf://me/boxes"


def equal(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(answer(one, photos(64, 96)), answer(other, photos(64, 96)), strict=True)
    )


def test_a_detector_is_pulled_bit_for_bit(published):
    server, model, name = published
    loaded = ts.load(name)
    assert (loaded.detector, loaded.card.classes) == (model.detector, model.card.classes)
    commit = server.repositories["me/boxes"].branches["main"]
    assert loaded.card.origin == f"hf://me/boxes@{commit} (mine)"
    assert equal(loaded, model)
    made = ts.create_detector(name)
    assert (made.detector, made.card) == (model.detector, loaded.card)
    assert equal(made, model)
    assert equal(ts.create_detector(small_detector(), name), model)


def test_its_classes_can_be_others_but_not_its_weights(published):
    _, _, name = published
    assert ts.create_detector(name, num_classes=2).outputs == 2
    assert "brings its own weights" in refused(lambda: ts.create_detector(name, "other.pth"), SpecError)


def test_weights_that_say_nothing_of_their_detector_need_its_name(hub, tmp_path):  # noqa: F811
    model = small_model()
    torch.save(export_state_dict(model), tmp_path / "pytorch_model.bin")
    hub.add("me/theirs", {"pytorch_model.bin": (tmp_path / "pytorch_model.bin").read_bytes()})
    said = refused(lambda: ts.create_detector("hf://me/theirs"), FileError)
    assert said.endswith("give it as weights: create_detector(NAME, 'hf://me/theirs').")
    assert equal(ts.create_detector(small_detector(), "hf://me/theirs"), model)


def test_a_detector_is_not_pushed_and_the_line_says_what_to_do(hub):  # noqa: F811
    said = refused(lambda: ts.push(small_model(), "hf://me/boxes", token="hf_writer"))
    assert "small is a DetectorNet" in said and "write it with ts.save and upload the file" in said
    assert hub.repositories == {}
