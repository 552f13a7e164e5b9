"""Checkpoints are whole or not there, and a damaged one costs only itself."""

import json
import subprocess
import sys
import textwrap

import pytest
import torch

from triscale.errors import FileError
from triscale.training.checkpoint import Checkpoints


def write(checkpoints, step, best_step=None):
    best = None if best_step is None else {"weight": torch.full((4,), float(best_step))}
    tensors = {"model.weight": torch.full((4,), float(step)), "model.count": torch.tensor(step)}
    checkpoints.write(step, tensors, {"epoch": step // 2, "loss": 0.1 + 0.2}, best, best_step or 0)


def names(folder):
    return sorted(each.name for each in folder.iterdir())


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    write(Checkpoints(tmp_path), 3, best_step=2)
    found, notes = Checkpoints(tmp_path).newest()
    assert notes == ()
    assert found.step == 3
    assert found.tensors["model.weight"].tolist() == [3.0] * 4
    assert found.tensors["model.count"].item() == 3
    assert found.state == {"epoch": 1, "loss": 0.1 + 0.2}
    assert found.best["weight"].tolist() == [2.0] * 4


def test_nothing_there_is_none(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints").newest() == (None, ())


def test_the_newest_two_are_kept_and_the_best_that_they_mean(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step, best_step in [(1, None), (2, 2), (3, 2), (4, 4), (5, 4)]:
        write(checkpoints, step, best_step)
    assert names(tmp_path) == [
        "best-00000004.safetensors",
        "step-00000004.json",
        "step-00000004.safetensors",
        "step-00000005.json",
        "step-00000005.safetensors",
    ]
    write(checkpoints, 6, 6)
    assert {"best-00000004.safetensors", "best-00000006.safetensors"} <= set(names(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "step-00000002.safetensors").write_bytes(b"short"),
        lambda folder: (folder / "step-00000002.safetensors").write_bytes(b""),
        lambda folder: (folder / "step-00000002.safetensors").unlink(),
        lambda folder: (folder / "step-00000002.json").write_bytes(b""),
        lambda folder: (folder / "step-00000002.json").write_text("{"),
        lambda folder: (folder / "step-00000002.json").write_text('{"format_version": 2}'),
        lambda folder: flip_a_bit(folder / "step-00000002.safetensors"),
        lambda folder: flip_a_bit(folder / "best-00000002.safetensors"),
    ],
)
def test_a_damaged_newest_falls_back_to_the_one_before_and_says_so(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 1, best_step=1)
    write(checkpoints, 2, best_step=2)
    damage(tmp_path)
    checkpoints = Checkpoints(tmp_path)
    found, notes = checkpoints.newest()
    assert found.step == 1
    assert found.best["weight"].tolist() == [1.0] * 4
    assert len(notes) == 1
    assert "step-00000002.json: is damaged" in notes[0]
    assert "going back to the one before it" in notes[0]
    write(checkpoints, 2, best_step=2)  # going on writes them anew
    assert Checkpoints(tmp_path).newest()[0].step == 2


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_going_on_from_an_older_one_drops_the_damaged_newer_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for step in (2, 4):
        write(checkpoints, step)
    (tmp_path / "step-00000004.json").write_text("{")
    write(checkpoints, 3)
    assert [name for name in names(tmp_path) if name.endswith("json")] == ["step-00000002.json", "step-00000003.json"]


def test_tensors_without_their_json_do_not_count(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    write(checkpoints, 1)
    write(checkpoints, 2)
    (tmp_path / "step-00000002.json").unlink()
    assert checkpoints.newest()[0].step == 1


def test_a_newer_format_is_not_called_damaged(tmp_path):
    write(Checkpoints(tmp_path), 1)
    path = tmp_path / "step-00000001.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 3}))
    with pytest.raises(FileError, match="is of format 3, this triscale reads 2"):
        Checkpoints(tmp_path).newest()


def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path):
    code = textwrap.dedent(f"""
        import resource, torch
        from triscale.errors import FileError
        from triscale.training.checkpoint import Checkpoints
        checkpoints = Checkpoints({str(tmp_path)!r})
        checkpoints.write(1, {{"w": torch.zeros(10)}}, {{}})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            checkpoints.write(2, {{"w": torch.zeros(100_000)}}, {{}})
        except FileError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert "step-00000002.safetensors: cannot be written: the file would exceed the size limit" in done.stdout
    assert names(tmp_path) == ["step-00000001.json", "step-00000001.safetensors"]
    assert Checkpoints(tmp_path).newest()[0].step == 1
