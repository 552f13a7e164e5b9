"""Repositories in timm's layout, through the real client."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save as to_bytes

import triscale as ts
from tests import peers
from tests.models.helpers import answer, photos, relative_error
from tests.models.hub.repositories import timm_config, timm_files
from tests.models.hub.said import digests, refused
from triscale.errors import FileError, SpecError
from triscale.spec.preprocessing import Preprocessing

B0 = "timm/efficientnet_b0.ra_in1k"


@pytest.mark.parametrize("architecture", ["efficientnet_b0", "tf_efficientnet_b0"])
def test_timms_repository_answers_as_timm_does(hub, architecture):
    peer, files = timm_files(peers.timm(), architecture)
    commit = hub.add(f"timm/{architecture}.test", files)
    model = ts.load(f"hf://timm/{architecture}.test")
    images = photos(97, 64)
    assert relative_error(answer(model, images), answer(peer, images)) <= 1e-5
    assert model.network.numerics == ts.network(architecture).numerics
    assert model.card.origin == f"hf://timm/{architecture}.test@{commit}"
    assert model.card.sha256 == hashlib.sha256(files["model.safetensors"]).hexdigest()
    assert (model.card.licence, model.card.classes[967]) == ("apache-2.0", "espresso")  # ImageNet's, by its tag
    # A name of the other numerics takes the weights', as the repository's architecture decides.
    other = ts.create_model("efficientnet_b0", f"hf://timm/{architecture}.test")
    assert torch.equal(answer(other, images), answer(model, images))
    assert other.card == model.card


def config_model(hub, **changes):
    """What a repository with that config.json says of a freshly made B0's network, preprocessing and card."""
    weights = ts.export_state_dict(ts.create_model("efficientnet_b0", num_classes=changes.get("num_classes", 1000)))
    labels = {key: changes.pop(key) for key in ("label_names", "label_descriptions") if key in changes}
    config = {**json.loads(timm_config("efficientnet_b0", **changes)), **labels}
    hub.add("timm/b0", {"config.json": json.dumps(config).encode(), "model.safetensors": to_bytes(weights)})
    return ts.load("hf://timm/b0")


def test_preprocessing_is_the_repositorys_at_its_test_size(hub):
    changes = {"mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3], "interpolation": "bilinear", "crop_pct": 0.9}
    model = config_model(hub, **changes, test_input_size=[3, 288, 256], test_crop_pct=1.0)
    assert model.preprocessing == Preprocessing(
        (288, 256), (224, 224), (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), "bilinear", "crop", 1.0
    )
    assert model.network.resolution == (288, 256)
    named = ts.create_model("efficientnet_b0", "hf://timm/b0")
    assert (named.preprocessing, named.network.resolution) == (model.preprocessing, (288, 256))
    # A network of a size of its own keeps it, and has the crop that belongs to the size of training.
    own = ts.create_model(ts.network("efficientnet_b0"), "hf://timm/b0")
    assert (own.preprocessing.size, own.preprocessing.crop, own.preprocessing.mean) == (
        (224, 224),
        0.9,
        (0.5, 0.4, 0.3),
    )


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"label_names": ["n1", "n2", "n3"]}, ("n1", "n2", "n3")),
        ({"label_names": {"0": "n1", "1": "n2", "2": "n3"}}, ("n1", "n2", "n3")),
        ({"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "ant", "n3": "cat"}}, ("ant", "n2", "cat")),
        ({"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "a", "n3": "a"}}, ("n1", "n2", "n3")),
        ({}, ()),
    ],
)
def test_classes_are_the_repositorys(hub, labels, expected):
    assert config_model(hub, num_classes=3, **labels).card.classes == expected


def test_imagenets_classes_are_known_by_timms_tag(hub):
    model = config_model(hub)
    assert (len(model.card.classes), model.card.classes[967]) == (1000, "espresso")
    fresh = ts.create_model("hf://timm/b0", num_classes=10, in_channels=4)
    assert (fresh.card.classes, fresh.network.classes, fresh.preprocessing.channels) == ((), 10, 4)
    assert answer(fresh, photos(32, 32, channels=4)).tolist() == [[0.0] * 10]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"crop_mode": "border"}, "pretrained_cfg.crop_mode must be center or squash, got 'border'"),
        ({"interpolation": "lanczos"}, "interpolation: expected one of nearest, bilinear, bicubic"),
        ({"mean": "grey"}, "preprocessing.mean: "),
        ({"input_size": [224, 224]}, "pretrained_cfg.input_size must be channels, height and width"),
        ({"crop_pct": "most"}, "pretrained_cfg.crop_pct must be a number, got 'most'"),
        ({"label_names": ["a"]}, "label_names has 1 names for 1000 classes"),
    ],
)
def test_a_config_that_cannot_be_is_refused_before_the_model_is_touched(hub, change, said):
    weights = ts.export_state_dict(ts.create_model("efficientnet_b0"))
    hub.add(
        "timm/b0", {"config.json": timm_config("efficientnet_b0", **change), "model.safetensors": to_bytes(weights)}
    )
    model = ts.create_model("efficientnet_b0")
    before = digests(model)
    assert said in refused(lambda: ts.load_weights(model, "hf://timm/b0"), FileError)
    assert digests(model) == before


def test_an_architecture_that_we_do_not_know_is_named(hub):
    hub.add("timm/vit", {"config.json": timm_config("vit_tiny"), "model.safetensors": to_bytes({"a": torch.ones(1)})})
    assert "is of the architecture 'vit_tiny', which triscale does not know" in refused(
        lambda: ts.load("hf://timm/vit"), SpecError
    )


def test_arguments_that_change_timms_network_are_named(hub):
    config = {**json.loads(timm_config("efficientnet_b0")), "model_args": {"se_layer": "eca", "in_chans": 3}}
    weights = to_bytes({"a": torch.ones(1)})
    hub.add("timm/b0", {"config.json": json.dumps(config).encode(), "model.safetensors": weights})
    assert "model_args changes se_layer of efficientnet_b0" in refused(lambda: ts.load("hf://timm/b0"), FileError)


def test_safetensors_come_before_pickles_and_a_pickle_never_runs_code(hub, tmp_path):
    from tests.models.test_tensors import MARK, RunsCode

    state = ts.export_state_dict(ts.create_model("efficientnet_b0", num_classes=2))
    config = timm_config("efficientnet_b0", num_classes=2)
    torch.save({**state, "evil": RunsCode()}, tmp_path / "evil.bin")
    torch.save(state, tmp_path / "good.bin")
    evil, good = ((tmp_path / f"{name}.bin").read_bytes() for name in ("evil", "good"))
    hub.add("a/both", {"config.json": config, "pytorch_model.bin": evil, "model.safetensors": to_bytes(state)})
    hub.add("a/good", {"config.json": config, "pytorch_model.bin": good})
    hub.add("a/evil", {"config.json": config, "pytorch_model.bin": evil})
    assert digests(ts.load("hf://a/both")) == digests(ts.load("hf://a/good"))
    assert "holds Python objects (posix.system)" in refused(lambda: ts.load("hf://a/evil"), FileError)
    assert not MARK.exists()
