import json
import resource
import signal
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.helpers import answer, in_child, photos, randomised, small_model
from triscale.errors import FileError, WeightsError
from triscale.models.create import create_model
from triscale.models.files import load, save
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.network import stage

SLOW = {"efficientnet_b8", "efficientnet_l2"}
SIZES = "b0 b1 b2 b3 b4 b5 b6 b7 b8 l2 lite0 lite1 lite2 lite3 lite4"
FAMILY = [f"efficientnet_{size}" for size in SIZES.split()]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in FAMILY])
def test_a_saved_model_answers_the_same_to_the_last_bit(tmp_path, name):
    model = randomised(create_model(f"tf_{name}"))
    save(model, tmp_path / "model.safetensors")
    images = photos(64, 64)
    expected = answer(model, images)
    del model
    assert torch.equal(answer(load(tmp_path / "model.safetensors"), images), expected)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def rewritten(path, change):
    """The file again, with its description changed by `change`."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        description = json.loads(json.loads(file.read(length))["__metadata__"]["triscale"])
    change(description)
    save_file(load_file(path), path, {"triscale": json.dumps(description)})


def test_everything_that_belongs_to_a_model_comes_back(path):
    model = small_model()
    model.card = ModelCard(("a", "b"), "here", "CC0-1.0", "f" * 64, {"top1": 0.5}, "notes")
    save(model, path)
    back = load(path)
    assert (back.network, back.network.name) == (model.network, "small")
    assert (back.preprocessing, back.card) == (model.preprocessing, model.card)
    assert not back.training


def test_a_trained_swish_beta_survives(path):
    model = small_model(stages=(stage(Block("mbconv", 8, 3, 2, 4, activation="swish"), 1),))
    torch.nn.init.constant_(model.stages[0][0].expand.act.beta, 2.5)
    save(model, path)
    assert load(path).stages[0][0].expand.act.beta.item() == 2.5


def test_a_model_in_channels_last_is_saved_too(path):
    model = small_model().to(memory_format=torch.channels_last)
    save(model, path)
    torch.testing.assert_close(answer(load(path), photos(32, 32)), answer(model, photos(32, 32)))


def test_the_same_model_gives_the_same_file(path, tmp_path):
    save(small_model(), path)
    save(small_model(), tmp_path / "again.safetensors")
    assert path.read_bytes() == (tmp_path / "again.safetensors").read_bytes()


def test_another_version_is_refused(path):
    save(small_model(), path)
    rewritten(path, lambda description: description.update(version=2))
    with pytest.raises(FileError, match="is of format version 2, this triscale reads 1"):
        load(path)


@pytest.mark.parametrize("part", ["network", "preprocessing", "card"])
def test_a_damaged_description_is_refused(path, part):
    save(small_model(), path)
    rewritten(path, lambda description: description.pop(part))
    with pytest.raises(FileError, match="its description of the network is damaged"):
        load(path)


def test_bare_weights_say_how_to_use_them(path):
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(FileError, match="holds weights but no network; say which they are of: create_model"):
        load(path)


def test_tensors_of_another_network_are_refused(path):
    save(small_model(), path)
    rewritten(path, lambda description: description["network"].update(classes=7))
    with pytest.raises(WeightsError, match="its tensors are not those of its network"):
        load(path)


def test_a_missing_file_says_what_is_nearby(path):
    save(small_model(), path)
    with pytest.raises(FileError, match=r"no such file; nearby: model\.safetensors"):
        load(path.with_name("modell.safetensors"))


def test_a_full_disk_is_one_line_and_leaves_the_old_file(path):
    save(small_model(), path)
    before = path.read_bytes()

    def save_with_little_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(FileError, match="cannot be written: the file would exceed the size limit"):
            save(small_model(1), path)

    assert in_child(save_with_little_room)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_description_that_asks_for_more_than_the_file_holds_is_refused_before_anything_is_built(path):
    save(small_model(), path)

    def vast(description):
        description["network"]["stages"] = [{"block": {"kind": "basic", "channels": 1 << 20, "kernel": 1023}}]

    rewritten(path, vast)
    with pytest.raises(WeightsError, match=r"parameters, its tensors .*; the file is damaged"):
        load(path)
