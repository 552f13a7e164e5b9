"""`hf://OWNER/REPO` wherever a model is named on the command line, against a Hub on this machine."""

import json

import pytest
import torch
from safetensors.torch import save as to_bytes

import triscale as ts
from tests.fitted import refusal, triscale
from tests.hub import hub  # noqa: F401
from tests.images import make_folder
from tests.models.hub.repositories import timm_config
from tests.training.tiny import tiny_model
from triscale.spec.card import ModelCard
from triscale.training.run import read_run

NAME = "hf://me/photos"


@pytest.fixture
def photos(tmp_path):
    return make_folder(tmp_path / "photos", classes=3, per_class=6)


@pytest.fixture
def pushed(hub, tmp_path, monkeypatch):  # noqa: F811
    """(hub, what `triscale push` said) with a tiny model of three classes on it."""
    model = tiny_model()
    model.card = ModelCard(("apple", "bridge", "cloud"), "trained by triscale", "CC0-1.0", metrics={"top1": 0.5})
    ts.save(model, tmp_path / "model.safetensors")
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    done = triscale("push", tmp_path / "model.safetensors", NAME, "--public")
    monkeypatch.delenv("HF_TOKEN")
    return hub, done


def test_push_says_where_the_model_is_now(pushed):
    hub, done = pushed  # noqa: F811
    commit = hub.repositories["me/photos"].branches["main"]
    assert (done.code, done.out, done.err) == (0, f"pushed: {NAME}@{commit}\n", "")
    assert not hub.repositories["me/photos"].private


def test_push_without_a_login_is_one_line(hub, tmp_path):  # noqa: F811
    ts.save(tiny_model(), tmp_path / "model.safetensors")
    assert "log in" in refusal("push", tmp_path / "model.safetensors", NAME)
    assert "photos: no such file or run folder" in refusal("push", tmp_path / "photos", NAME)
    assert "is no name of a model on the Hub" in refusal("push", tmp_path / "model.safetensors", "me/photos")


def test_a_pushed_model_answers_wherever_a_model_is_named(pushed, photos, tmp_path):
    hub, _ = pushed  # noqa: F811
    info = json.loads(triscale("info", NAME, "--json").out)
    assert (info["name"], info["network"]["classes"], info["size"]) == ("tiny", 3, [32, 32])
    assert not any("model.safetensors" in asked for asked in hub.requests if "resolve" in asked)
    file = photos / "apple" / "000.png"
    (found,) = json.loads(triscale("predict", NAME, file, "--json").out)
    (local,) = json.loads(triscale("predict", tmp_path / "model.safetensors", file, "--json").out)
    assert {each["name"]: each["score"] for each in found["labels"]} == pytest.approx(
        {each["name"]: each["score"] for each in local["labels"]}, abs=1e-5
    )
    assert json.loads(triscale("eval", NAME, photos, "--split", "all", "--json").out)["images"] == 18
    assert triscale("scale", NAME, "--width", "2").code == 0
    done = triscale("export", NAME, tmp_path / "model.onnx", "--count", "4")
    assert done.code == 0, done
    assert (tmp_path / "model.onnx").is_file()


@pytest.mark.parametrize("by", ["name", "weights"])
def test_training_begins_with_the_weights_of_a_repository_and_says_so(pushed, photos, tmp_path, by):
    hub, _ = pushed  # noqa: F811
    more = {"name": (NAME,), "weights": (tmp_path / "model.safetensors",)}[by]
    options = ("--epochs", "1", "--out", tmp_path / "run", *(("--weights", NAME) if by == "weights" else ()))
    done = triscale("train", *more, photos, *options)
    assert done.code == 0, done
    loaded = f"weights: {len(tiny_model().state_dict())} tensors loaded in triscale naming; 0 new; numerics same"
    assert loaded in " ".join(done.err.split())
    commit = hub.repositories["me/photos"].branches["main"]
    card = ts.load(tmp_path / "run" / "model.safetensors").card
    assert card.origin == f"trained by triscale, beginning with {NAME}@{commit} (trained by triscale)"
    assert (card.licence, card.classes) == ("cc0-1.0", ("apple", "bridge", "cloud"))
    assert read_run(tmp_path / "run").arguments["weights"] == NAME
    again = triscale("train", *more, photos, *options)
    assert (again.code, again.err) == (0, f"{tmp_path / 'run'}: is done already\n")


def test_timms_weights_for_other_classes_are_said_to_be_adapted(hub, tmp_path):  # noqa: F811
    photos = make_folder(tmp_path / "photos", classes=2, per_class=4)
    model = ts.create_model("efficientnet_lite0")
    config = timm_config("efficientnet_lite0", mean=[0.5] * 3, std=[0.5] * 3)
    hub.add("timm/lite", {"config.json": config, "model.safetensors": to_bytes(ts.export_state_dict(model))})
    arguments = ("train", "hf://timm/lite", photos, "--size", "32", "--epochs", "1", "--out", tmp_path / "run")
    done = triscale(*arguments)
    assert done.code == 0, done
    said = " ".join(done.err.split())
    assert "loaded in timm naming; adapted: head.classifier.weight, head.classifier.bias; 0 new" in said
    assert "eps 1e-05 (from config.json beside the file)" in said
    trained = ts.load(tmp_path / "run" / "model.safetensors")
    assert (trained.preprocessing.mean, trained.preprocessing.size) == ((0.5, 0.5, 0.5), (32, 32))
    (found,) = json.loads(triscale("predict", tmp_path / "run", photos / "apple" / "000.png", "--json").out)
    assert len(found["labels"]) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong hash", "model.safetensors has SHA-256"),
        ("truncated", "the transfer broke off"),
        ("proxy", "cannot be read: "),
        ("busy", "the Hub cannot be reached"),
        ("", "hf://me/nobody: no such repository"),
        ("stopped", "the Hub cannot be reached"),
    ],
)
def test_what_goes_wrong_is_one_line_wherever_a_model_is_named(pushed, photos, tmp_path, fault, said):
    hub, _ = pushed  # noqa: F811
    name = NAME if fault else "hf://me/nobody"
    hub.faults.add(fault)
    if fault == "stopped":
        hub.stop()
    net = tmp_path / "net.json"
    ts.write_network(tiny_model().network, net)
    for command in (
        ("predict", name, photos),
        ("eval", name, photos),
        ("export", name, tmp_path / "model.onnx"),
        ("train", net, photos, "--weights", name, "--out", tmp_path / "run"),
    ):
        assert said in refusal(*command), command
    # Nothing was made, so that the folder is free for the same command on a better day.
    assert read_run(tmp_path / "run").state == "failed"
    assert not (tmp_path / "model.onnx").exists()


def test_two_namings_mixed_and_a_web_page_are_told_apart_from_weights(photos, tmp_path):
    net, model = tmp_path / "net.json", tiny_model()
    ts.write_network(model.network, net)
    one, other = (list(ts.export_state_dict(model, naming).items()) for naming in ("timm", "torchvision"))
    torch.save(dict(one[:30] + other[30:]), tmp_path / "mixed.pth")
    (tmp_path / "page.pth").write_text("<!DOCTYPE html><title>404</title>")
    for file, said in (("mixed.pth", "two namings mixed, 30 of its names are timm's"), ("page.pth", "is a web page")):
        assert said in refusal("train", net, photos, "--weights", tmp_path / file, "--out", tmp_path / "run")
