"""The cache, and what goes wrong on a bad day, through the real client."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_bytes

import triscale as ts
from tests import peers
from tests.models.helpers import answer, photos, small_model
from tests.models.hub.repositories import timm_files
from tests.models.hub.said import digests, refused
from triscale.errors import FileError, MissingExtraError, SpecError, TriscaleError, WeightsError
from triscale.models import tensors
from triscale.models.hub import fetch

B0 = "timm/efficientnet_b0.ra_in1k"


def test_what_was_fetched_once_needs_no_network(published, small, monkeypatch):
    hub, name = published
    first = ts.load(name)
    hub.requests.clear()
    pinned = str(fetch.parse_place(name).at(hub.repositories["me/toys"].branches["main"]))
    assert ts.load(pinned).card == first.card
    assert hub.requests == []  # a commit never changes
    ts.load(name)
    assert hub.requests == ["GET /api/models/me/toys"]  # where is the branch now?
    hub.stop()
    hub.requests.clear()
    again = ts.load(name)
    assert digests(again) == digests(small)
    assert again.card == first.card
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert ts.load(name).card == first.card
    assert hub.requests == []


def test_a_branch_that_moved_is_followed(published, small):
    _, name = published
    ts.load(name)
    torch.nn.init.ones_(small.head.classifier.bias)
    ts.push(small, name, token="hf_writer")
    assert digests(ts.load(name)) == digests(small)


def test_a_file_that_rotted_in_the_cache_is_found_and_fetched_anew(published, small):
    _, name = published
    ts.load(name)
    (path,) = Path(fetch.fetch_weights(name).path.parents[3]).glob("models--me--toys/snapshots/*/model.safetensors")
    blob = path.resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    said = refused(lambda: ts.load(name))
    assert f"has SHA-256 {hashlib.sha256(data).hexdigest()}, but the Hub states {blob.name}" in said
    assert digests(ts.load(name)) == digests(small)


def test_a_name_that_does_not_exist_is_one_line(hub):
    said = refused(lambda: ts.create_model("efficientnet_b0", "hf://timm/efficientnet_b00"))
    assert said == (
        f"hf://timm/efficientnet_b00: no such repository at {hub.endpoint}; check the name, or log in (`hf auth "
        f"login`, or HF_TOKEN) if it is private."
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf://me/toys@v9", "hf://me/toys@v9: has no revision 'v9'; give a branch, a tag or a commit"),
        ("hf://me/toys/other.safetensors", "has no other.safetensors; it has model.safetensors; give one as hf://me"),
        ("hf://me/toys/README.md", "is no file of weights; expected one that ends in .safetensors, .bin, .pth, .pt"),
        ("hf://me/empty", "has no model.safetensors and no pytorch_model.bin; it has notes.txt"),
        ("hf://me/bare", "holds weights but no network"),
        ("hf://me/a--b", "cannot be read: Cannot have -- or .. in repo_id"),
    ],
)
def test_what_a_repository_lacks_is_named(published, name, said):
    hub, _ = published
    hub.add("me/empty", {"notes.txt": b"nothing"})
    hub.add("me/bare", {"model.safetensors": to_bytes({"a": torch.ones(1)})})
    assert said in refused(lambda: ts.load(name), FileError)


def test_a_gated_repository_says_where_its_terms_are(hub, small, tmp_path):
    ts.save(small, tmp_path / "model.safetensors")
    hub.add("me/gated", {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()}, gated=True)
    said = refused(lambda: ts.load("hf://me/gated"))
    assert f"is gated: accept its terms at {hub.endpoint}/me/gated, then log in" in said


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("wrong hash", "model.safetensors has SHA-256"),
        ("truncated", "the transfer broke off (Consistency check failed"),
        ("gone half-way", "the download of model.safetensors broke off ("),
        ("huge", "model.safetensors has 1,099,511,627,776 bytes, more than the"),
        ("proxy", "hf://me/toys: cannot be read: "),
        ("busy", "the Hub cannot be reached ("),
    ],
)
def test_a_download_that_goes_wrong_is_one_line_and_the_model_stays_as_it_was(published, fault, said):
    hub, name = published
    hub.faults.add(fault)
    model = small_model(1)
    before, card, preprocessing = digests(model), model.card, model.preprocessing
    assert said in refused(lambda: ts.load_weights(model, name))
    assert (digests(model), model.card, model.preprocessing) == (before, card, preprocessing)
    if fault != "gone half-way":  # then nobody answers any more
        hub.faults.clear()
        assert ts.load_weights(model, name).numerics_from == "the file"


def test_the_size_is_known_before_anything_is_fetched(published, monkeypatch):
    hub, name = published
    monkeypatch.setattr(tensors, "LARGEST_FILE", 1000)
    assert "more than the 1,000 that it may have" in refused(lambda: ts.load(name))
    assert not any("model.safetensors" in asked for asked in hub.requests)


@pytest.mark.parametrize("offline", [True, False])
def test_without_network_and_cache_it_says_which_file_to_put_where(hub, offline, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    hub.stop()
    said = refused(lambda: ts.create_model("efficientnet_b0", f"hf://{B0}"))
    why = "HF_HUB_OFFLINE is set" if offline else "[Errno 111] Connection refused"
    assert said == (
        f"hf://{B0}: the Hub cannot be reached ({why}), and the cache has no copy; fetch "
        f"{hub.endpoint}/{B0}/resolve/main/model.safetensors and the config.json beside it on another machine, put "
        f"both into one FOLDER, and give weights=FOLDER/model.safetensors (where a model is asked for, "
        f"FOLDER/model.safetensors)."
    )


def test_the_files_put_there_by_hand_serve_as_well(hub, tmp_path):
    _, files = timm_files(peers.timm(), "tf_efficientnet_b0", test_input_size=[3, 256, 256])
    hub.add(B0, files)
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).write_bytes(files[name])
    images = photos(64, 64)
    fetched, placed = ts.load(f"hf://{B0}"), ts.load(tmp_path / "model.safetensors")
    named = ts.create_model("efficientnet_b0", tmp_path / "model.safetensors")
    for model in (placed, named):
        assert torch.equal(answer(model, images), answer(fetched, images))
        assert (model.preprocessing, model.network.resolution) == (fetched.preprocessing, (256, 256))


def test_without_the_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = refused(lambda: ts.load(f"hf://{B0}"), MissingExtraError)
    assert said.endswith("needs huggingface_hub, which is not installed; run: pip install 'triscale[hub]'")


def test_weights_of_another_network_are_refused_after_they_were_fetched(published):
    _, name = published
    with pytest.raises(WeightsError, match="is not efficientnet_lite0 in triscale naming"):
        ts.create_model("efficientnet_lite0", name)
    with pytest.raises(SpecError, match=r"brings its own weights; give the name of its network to load other\.pth"):
        ts.create_model(name, "other.pth")


def test_a_fresh_model_never_asks_for_the_network(hub):
    ts.create_model("efficientnet_lite0")
    ts.create_model("efficientnet_lite0", "pretrained")
    with pytest.raises(TriscaleError):
        ts.create_model("efficientnet_lite0", "timm/efficientnet_lite0")
    assert hub.requests == []


def test_the_environment_decides_where_the_hub_and_the_cache_are(published, tmp_path):
    """In a process of its own, which reads HF_ENDPOINT and HF_HUB_CACHE as it starts; then without a network."""
    hub, name = published
    code = f"import triscale as ts; print(ts.load({name!r}).card.origin)"
    settings = {"HF_HUB_CACHE": str(tmp_path / "mine"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    origin = f"{name}@{hub.repositories['me/toys'].branches['main']} (trained by triscale)\n"
    for more in ({"HF_ENDPOINT": hub.endpoint}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **settings, **more}
        )
        assert (done.stdout, done.stderr) == (origin, "")
    assert (tmp_path / "mine" / "models--me--toys").is_dir()
