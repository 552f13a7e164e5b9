"""Whatever stops a training, the same call again ends with the same weights, to the last bit."""

import itertools
import os
import random
import resource
import signal
import time

import pytest
import torch

from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.data.augment import Augmentation
from triscale.errors import FileError, RunError
from triscale.training.progress import SilentProgress
from triscale.training.progressive import Progressive
from triscale.training.run import read_log, read_run


class StopAt(SilentProgress):
    """Sends a signal to this process after so many steps."""

    def __init__(self, step, number=signal.SIGINT):
        self.left, self.number = step, number

    def advance(self, steps=1, detail=""):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def undisturbed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    train_tiny(images, folder)
    return weights(folder)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def steps_logged(folder):
    path = folder / "log.jsonl"
    return path.read_bytes().count(b'"event":"step"') if path.exists() else 0


def training(images, folder):
    return f"train_tiny({str(images)!r}, {str(folder)!r}, epochs=12, checkpoint_steps=4)"


def test_killed_three_times_at_random_it_ends_the_same(images, tmp_path, forks):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert forks.run(training(images, undisturbed)) == (0, "")
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    for _ in range(3):
        wanted = steps_logged(killed) + dice.randint(1, 20)
        process = forks.begin(training(images, killed))
        patience = time.monotonic() + 60
        while steps_logged(killed) < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        forks.kill(process)
        assert forks.end() == (-9, ""), f"it ended before it was killed, for seed {seed}"
    assert forks.run(training(images, killed)) == (0, "")
    assert weights(killed) == weights(undisturbed), f"differs for seed {seed}"
    assert (killed / "log.jsonl").read_text().count('"resumed"') == 3
    assert read_run(killed).state == "done"


@pytest.mark.parametrize(
    ("step", "number"),
    [(1, signal.SIGINT), (14, signal.SIGTERM), (18, signal.SIGINT), (36, signal.SIGINT)],  # 9 steps an epoch
)
def test_stopped_and_called_again_it_ends_the_same(images, undisturbed, tmp_path, step, number):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, folder, progress=StopAt(step, number))
    assert read_run(folder).state == "interrupted"
    assert not (folder / "model.safetensors").exists()
    torch.manual_seed(99)  # nothing may depend on what happened in between
    train_tiny(images, folder)
    assert weights(folder) == undisturbed
    epochs = [line["epoch"] for line in read_log(folder) if line["event"] == "epoch"]
    assert epochs == [1, 2, 3, 4]


def test_stopped_while_evaluating_it_ends_the_same(images, undisturbed, tmp_path, monkeypatch):
    import triscale.training.labels as labels

    original = labels.evaluate_all

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(labels, "evaluate_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run")
    monkeypatch.setattr(labels, "evaluate_all", original)
    train_tiny(images, tmp_path / "run")
    assert weights(tmp_path / "run") == undisturbed


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": "sgd"},
        {"optimiser": "rmsprop_tf"},
        {"norms": "frozen"},
        {"accumulate": 3},
        {"precision": "fp16"},
        {"checkpoint_activations": "block"},
    ],
)
def test_every_optimiser_resumes_exactly(images, tmp_path, settings):
    settings = {"learning_rate": 0.02, "epochs": 2, **settings}
    train_tiny(images, tmp_path / "a", **settings)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "b", progress=StopAt(5), **settings)
    train_tiny(images, tmp_path / "b", **settings)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


GROWING = {
    "progressive": Progressive(stages=2, smallest=16, randaugment=(3, 9), mixup=(0, 0.4), dropout=(0, 0.3)),
    "augmentation": Augmentation(crop_area=(0.6, 1.0), randaugment_layers=1),
    "cutmix": 0.5,
    "schedule": "staircase",
    "balance": "sampling",
}


@pytest.mark.parametrize("step", [5, 18, 19])  # the second stage begins after step 18
def test_growing_stages_mixing_and_sampling_resume_exactly(images, growing, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(step), **GROWING)
    torch.manual_seed(99)
    train_tiny(images, tmp_path / "run", **GROWING)
    assert weights(tmp_path / "run") == growing


@pytest.fixture(scope="module")
def growing(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("growing") / "run"
    train_tiny(images, folder, **GROWING)
    return weights(folder)


def test_killed_about_a_change_of_stage_it_ends_the_same(images, growing, tmp_path, forks):
    """As -9 comes: with no chance to save; checkpoints are of step 4, 8, 12, 16 and so on."""
    folder = tmp_path / "run"
    code = f"""
from training.test_resume import GROWING
train_tiny({str(images)!r}, {str(folder)!r}, checkpoint_steps=4, **GROWING)
"""
    killed_at(forks, code, folder, (17, 20))
    assert forks.run(code) == (0, "")
    assert weights(folder) == growing
    assert (folder / "log.jsonl").read_text().count('"resumed"') == 2


TRANSFER = {"head_epochs": 1.5, "layer_decay": 0.7, "norms": "recalibrate", "freeze": ("stages.0",)}


@pytest.fixture(scope="module")
def transferred(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transferred") / "run"
    train_tiny(images, folder, **TRANSFER)
    return weights(folder)


@pytest.mark.parametrize("step", [4, 14, 15, 18])  # everything begins to train after step 14, within an epoch
def test_a_head_that_trains_first_resumes_exactly(images, transferred, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(step), **TRANSFER)
    train_tiny(images, tmp_path / "run", **TRANSFER)
    assert weights(tmp_path / "run") == transferred


def test_killed_on_both_sides_of_the_switch_it_ends_the_same(images, transferred, tmp_path, forks):
    folder = tmp_path / "run"
    code = f"""
from training.test_resume import TRANSFER
train_tiny({str(images)!r}, {str(folder)!r}, checkpoint_steps=4, **TRANSFER)
"""
    killed_at(forks, code, folder, (13, 16))  # checkpoints are of step 12 and 16
    assert forks.run(code) == (0, "")
    assert weights(folder) == transferred


def test_killed_with_a_teacher_and_adapters_it_ends_the_same(images, tmp_path, forks):
    train_tiny(images, tmp_path / "teacher", epochs=1)
    code = """
from triscale.training.distillation import Distillation
taught = Distillation({teacher!r}, features=0.5, maps=(2, 4))
settings = {{"distillation": taught, "mixup": 0.4, "optimiser": {optimiser!r}}}
train_tiny({images!r}, {folder!r}, epochs=2, checkpoint_steps=4, **settings)
"""
    for optimiser in ("adamw", "sgd"):
        folders = [tmp_path / f"{optimiser} {name}" for name in ("undisturbed", "killed")]
        given = {"teacher": str(tmp_path / "teacher"), "images": str(images), "optimiser": optimiser}
        codes = [code.format(folder=str(folder), **given) for folder in folders]
        assert forks.run(codes[0]) == (0, "")
        killed_at(forks, codes[1], folders[1], (6, 11))
        assert forks.run(codes[1]) == (0, "")
        assert weights(folders[0]) == weights(folders[1])
        assert (folders[1] / "log.jsonl").read_text().count('"resumed"') == 2


def killed_at(forks, code, folder, steps):
    """Run it again and again, each time killed when so many steps are logged, before it can save."""
    for wanted in steps:
        process = forks.begin(code)
        patience = time.monotonic() + 60
        while steps_logged(folder) < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        forks.kill(process)
        assert forks.end()[0] == -9


def test_a_damaged_newest_checkpoint_costs_only_time(images, undisturbed, tmp_path):
    folder, lines = tmp_path / "run", []
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, folder, progress=StopAt(20), checkpoint_steps=6)
    newest = max((folder / "checkpoints").glob("step-*.safetensors"))
    assert newest.name == "step-00000020.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])

    class Listening(SilentProgress):
        def say(self, line):
            lines.append(line)

    train_tiny(images, folder, progress=Listening(), checkpoint_steps=6)
    assert any("step-00000020.json: is damaged" in line for line in lines)
    assert next(line for line in read_log(folder) if line["event"] == "resumed")["step"] == 18
    assert weights(folder) == undisturbed


def test_a_checkpoint_of_another_network_is_refused(images, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(3))
    other = tiny_model(channels=24)
    with pytest.raises(RunError, match="the checkpoint is of another network"):
        train_tiny(images, tmp_path / "run", model=other)


def test_a_full_disk_is_one_line_and_nothing_written_is_lost(images, tmp_path, forks):
    folder = tmp_path / "run"
    code = f"""
from training.test_resume import FullAt
train_tiny({str(images)!r}, {str(folder)!r}, progress=FullAt(7), checkpoint_steps=4)
"""
    status, said = forks.run(code)
    assert status == 2
    assert "step-00000008.safetensors: cannot be written: the file would exceed the size limit" in said
    assert "\n" not in said
    assert sorted(each.stem for each in (folder / "checkpoints").glob("*.json")) == ["step-00000000", "step-00000004"]
    train_tiny(images, folder, checkpoint_steps=4)
    assert next(line for line in read_log(folder) if line["event"] == "resumed")["step"] == 4
    assert read_run(folder).state == "done"


class FullAt(SilentProgress):
    """After so many steps no file may grow beyond 20 kB."""

    def __init__(self, step):
        self.left = step

    def advance(self, steps=1, detail=""):
        self.left -= 1
        if self.left == 0:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_folder_that_cannot_be_written_is_said_before_training(images, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((RunError, FileError), match="choose another"):
        train_tiny(images, tmp_path / "file")


def test_a_clock_that_jumps_changes_nothing(images, undisturbed, tmp_path, monkeypatch):
    """An hour back, a day ahead, and a time zone that changes: between two steps, and between two parts of a run."""
    jumps = itertools.cycle([0.0, -3600.0, 86400.0])
    clock, folder = time.time, tmp_path / "run"
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, folder, progress=StopAt(14), checkpoint_steps=4)
    monkeypatch.setattr(time, "time", lambda: clock() - 10 * 86400.0)
    train_tiny(images, folder, checkpoint_steps=4)
    assert weights(folder) == undisturbed
    assert next(line for line in read_log(folder) if line["event"] == "resumed")["step"] == 14
    assert read_run(folder).state == "done"


def test_a_checkpoint_without_its_json_costs_only_time(images, undisturbed, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, folder, progress=StopAt(20), checkpoint_steps=6)
    (folder / "checkpoints" / "step-00000020.json").unlink()
    train_tiny(images, folder, checkpoint_steps=6)
    assert next(line for line in read_log(folder) if line["event"] == "resumed")["step"] == 18
    assert weights(folder) == undisturbed
