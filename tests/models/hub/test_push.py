"""A model of ours to the Hub and back, through the real client."""

import hashlib
import json
from dataclasses import replace

import torch

import triscale as ts
from tests.models.helpers import answer, photos, small_network
from tests.models.hub.said import digests, refused
from triscale.models.hub.readme import readme

B0 = "timm/efficientnet_b0.ra_in1k"


def test_a_model_is_pushed_and_pulled_bit_for_bit(hub, small, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    pushed = ts.push(small, "hf://me/toys", private=False)
    repository = hub.repositories["me/toys"]
    assert pushed == f"hf://me/toys@{repository.branches['main']}"
    assert len(repository.commits) == 2  # the empty one of the repository, and ours
    assert sorted(repository.files("main")) == ["README.md", "config.json", "model.safetensors"]
    back = ts.load("hf://me/toys")
    assert digests(back) == digests(small)
    assert torch.equal(answer(back, photos(32, 32)), answer(small, photos(32, 32)))
    assert (back.network, back.preprocessing) == (small.network, small.preprocessing)
    assert (back.card.classes, back.card.metrics, back.card.notes) == (tuple("abcde"), {"top1": 0.75}, "on toys")
    assert back.card.origin == f"{pushed} (trained by triscale)"
    assert back.card.licence == "cc-by-4.0"
    assert back.card.sha256 == hashlib.sha256(repository.files("main")["model.safetensors"]).hexdigest()


def test_the_model_card_says_what_how_and_whence(published):
    hub, _ = published
    card = hub.repositories["me/toys"].files("main")["README.md"].decode()
    import yaml

    header, text = card.split("---\n")[1:]
    assert yaml.safe_load(header) == {
        "library_name": "triscale",
        "pipeline_tag": "image-classification",
        "license": "cc-by-4.0",
        "tags": ["image-classification", "triscale", "small"],
    }
    for said in (
        "`small` with 5 classes",
        "75.00%",
        'model = ts.load("hf://me/toys")',
        "triscale predict hf://me/toys photo.jpg",
        "3 channels at 32 x 32 pixels: the whole image, resized (bilinear)",
        "In output order: a, b, c, d, e.",
        "| top1 | 0.7500 |",
        "- origin: trained by triscale",
        "- on toys",
    ):
        assert said in text, said


def test_the_model_card_of_several_labels_shows_sigmoids(small):
    card = replace(small.card, several=True)
    text = readme(small.network, small.preprocessing, card, "me/toys")
    assert "for images that may have several labels" in text
    assert ".sigmoid()[0]" in text
    assert "softmax" not in text


def test_a_config_json_alone_tells_the_network(published):
    hub, name = published
    config = json.loads(hub.repositories["me/toys"].files("main")["config.json"])
    assert (config["library_name"], config["network"]["name"]) == ("triscale", "small")
    from triscale.cli.names import resolve

    assert resolve(name) == small_network()
    assert not any("model.safetensors" in asked for asked in hub.requests)


def test_a_repository_that_is_there_gets_a_commit_more_and_keeps_its_history(published, small, monkeypatch):
    hub, name = published
    before = ts.load(name)
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    torch.nn.init.ones_(small.head.classifier.bias)
    first = hub.repositories["me/toys"].branches["main"]
    pushed = ts.push(small, name)
    assert digests(ts.load(name)) == digests(ts.load(pushed)) == digests(small)
    assert digests(ts.load(f"{name}@{first}")) == digests(before)
    assert not hub.repositories["me/toys"].private  # it was public


def test_a_repository_is_private_unless_said_otherwise(hub, small, monkeypatch):
    ts.push(small, "hf://me/secret", token="hf_writer")
    assert hub.repositories["me/secret"].private
    assert "no such repository" in refused(lambda: ts.load("hf://me/secret"))
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    assert digests(ts.load("hf://me/secret")) == digests(small)


def test_a_push_without_an_account_is_one_line(hub, small):
    assert "no such repository" in (said := refused(lambda: ts.push(small, "hf://me/toys"))) or "log in" in said
    assert hub.repositories == {}
    assert "a model is pushed to a repository" in refused(lambda: ts.push(small, "hf://me/toys/model.safetensors"))


def test_a_push_to_nobody_is_one_line(hub, small):
    hub.stop()
    assert "the Hub cannot be reached (" in (said := refused(lambda: ts.push(small, "hf://me/toys", token="hf_writer")))
    assert said.endswith("; nothing was pushed.")


def test_a_revision_and_a_file_can_be_named(hub, small, tmp_path):
    ts.save(small, tmp_path / "a.safetensors")
    torch.nn.init.ones_(small.head.classifier.bias)
    ts.save(small, tmp_path / "b.safetensors")
    one, two = ((tmp_path / f"{name}.safetensors").read_bytes() for name in "ab")
    commit = hub.add("me/toys", {"model.safetensors": one, "runs/2/b.safetensors": two})
    hub.repositories["me/toys"].commit({"model.safetensors": two}, "main")
    hub.repositories["me/toys"].branches["feature/one"] = commit
    names = ("", f"@{commit}", "@feature%2Fone", "/runs/2/b.safetensors", f"@{commit}/model.safetensors")
    biases = [ts.load(f"hf://me/toys{name}").head.classifier.bias.sum().item() for name in names]
    assert biases == [5.0, 0.0, 0.0, 5.0, 0.0]
