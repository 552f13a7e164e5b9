import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.models.helpers import in_child
from triscale.errors import FileError, WeightsError
from triscale.models import tensors
from triscale.models.tensors import read_tensors, state_dict_in

MARK = Path("/tmp/triscale-must-never-run")
WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class RunsCode:
    def __reduce__(self):
        return os.system, (f"touch {MARK}",)


def refused(path):
    """The one line with which a file is refused."""
    with pytest.raises(FileError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "good.pth"
    torch.save(WEIGHTS, path)
    return path


@pytest.mark.parametrize("kind", ["pth", "legacy", "safetensors", "without suffix"])
def test_every_format_gives_the_same_tensors(tmp_path, kind):
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights")
    if kind in ("safetensors", "without suffix"):
        save_file(WEIGHTS, path, {"who": "we"})
    else:
        torch.save(WEIGHTS, path, _use_new_zipfile_serialization=kind == "pth")
    found = read_tensors(path)
    assert {key: tensor.tolist() for key, tensor in found.tensors.items()} == {
        "a.weight": [[0, 1, 2], [3, 4, 5]],
        "a.bias": [1, 1],
    }
    assert found.metadata.get("who") == (None if kind in ("pth", "legacy") else "we")


def test_the_hash_is_that_of_the_file(tmp_path):
    import hashlib

    path = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, path)
    assert read_tensors(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_code_in_a_pickle_is_named_and_never_run(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"a": RunsCode()}, path)
    assert "holds Python objects (posix.system) that only running its code could load" in refused(path)
    assert not MARK.exists()


def test_a_pickled_module_is_refused(tmp_path):
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    assert "torch.nn.modules.linear.Linear" in refused(path)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_one_line(good, share):
    data = good.read_bytes()
    good.write_bytes(data[: int(len(data) * share)])
    assert "truncated, damaged, or no file of PyTorch weights" in refused(good)


def test_a_truncated_safetensors_file_is_one_line(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-8])
    assert "damaged or truncated" in refused(path)
    path.write_bytes(path.read_bytes()[:20])
    assert "is truncated, or no safetensors file" in refused(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><title>403</title>", "is a web page, not weights"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer"),
        (b"weights, honestly\n", "no file of PyTorch weights"),
        (bytes(range(256)), "no file of PyTorch weights"),
    ],
)
def test_what_is_no_weights_is_called_what_it_is(tmp_path, content, says):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert says in refused(path)


def test_a_missing_file_says_what_is_nearby(good):
    assert "no such file; nearby: good.pth" in refused(good.with_name("god.pth"))


def test_a_folder_is_no_file_and_the_one_in_it_is_named(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    assert refused(run) == f"{run}: is a folder; give the file of the weights."
    (run / "model.safetensors").touch()
    assert refused(run) == f"{run}: is a folder; give {run / 'model.safetensors'}."


def test_an_unreadable_file_is_one_line(good):
    good.chmod(0)

    def read_as_nobody():
        if os.getuid() == 0:
            os.setuid(65534)
        assert "Permission denied" in refused(good)

    assert in_child(read_as_nobody)


def test_a_huge_header_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "LARGEST_HEADER", 1000)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", 2000) + b"{" + b" " * 3000)
    assert "its header has 2,000 bytes" in refused(path)


def test_a_huge_file_is_not_read(good, monkeypatch):
    monkeypatch.setattr(tensors, "LARGEST_FILE", 100)
    assert "more than the 100 that weights may have" in refused(good)


def test_a_zip_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/data/0", bytes(2**26))
    assert "would unpack to 67,108,864 bytes" in refused(path)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema"])
def test_a_checkpoint_keeps_its_weights_under_a_usual_key(key):
    assert set(state_dict_in({"epoch": 3, key: WEIGHTS}, "here")) == {"a.weight", "a.bias"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_leave_no_trace_in_the_names(prefix):
    assert set(state_dict_in({prefix + key: tensor for key, tensor in WEIGHTS.items()}, "here")) == set(WEIGHTS)


@pytest.mark.parametrize(
    ("loaded", "found"),
    [
        ({}, "a dictionary with nothing"),
        ([1], "a list"),
        ({"epoch": 3}, "a dictionary with 'epoch'"),
        (None, "a NoneType"),
    ],
)
def test_what_holds_no_weights_by_name_is_said(loaded, found):
    with pytest.raises(WeightsError, match=f"^here: holds no weights by name .found {found}"):
        state_dict_in(loaded, "here")
