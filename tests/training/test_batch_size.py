"""`--batch auto`: what it chooses fits."""

import json
import math
import os
import resource
import subprocess
import sys

import pytest

from training.tiny import tiny_images, tiny_model
from triscale.data.dataset import read_dataset
from triscale.errors import TrainingError
from triscale.training import batch_size
from triscale.training.batch_size import Line, choose_batch, train_with_what_fits
from triscale.training.config import read_config
from triscale.training.out_of_memory import OutOfMemoryError, is_out_of_memory
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.room import Room, Usage
from triscale.training.run import RunFolder, read_log

MB = 10**6
FIXED, EACH = 400 * MB, 10 * MB  # of the machine below


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture
def machine(monkeypatch):
    """A machine with so much memory, where a training takes FIXED and EACH for every image at once."""
    tried = []

    def with_memory(size, known=True):
        def run(self, at_once):
            tried.append(at_once)
            most = Usage(0, 0, FIXED + EACH * at_once)
            return batch_size._Probe(Usage(0, 0, 0), most, 0, 0) if known or most.resident <= size else None

        monkeypatch.setattr(batch_size, "rooms", lambda: [Room(size, "free memory", "resident")])
        monkeypatch.setattr(batch_size._Probing, "run", run)
        return tried

    return with_memory


def choose(images, batch=64, lines=None, **settings):
    recipe = Recipe(batch_size=batch, **settings)
    return choose_batch(tiny_model(), read_dataset(images), recipe, (lines if lines is not None else []).append)


@pytest.mark.parametrize(
    ("memory", "parts"),
    # of 64 images: 92 % of the memory must hold 400 MB and 10 MB for each image at once
    [(2000, 1), (1200, 1), (1100, 2), (700, 3), (500, 11)],
)
@pytest.mark.parametrize("known", [True, False], ids=["measured", "killed"])
def test_the_fewest_parts_are_chosen_that_fit(images, machine, memory, parts, known):
    tried = machine(memory * MB, known)
    choice = choose(images)
    at_once = math.ceil(64 / choice.recipe.accumulate)
    assert choice.recipe.accumulate == parts
    assert FIXED + EACH * at_once <= 0.92 * memory * MB
    assert parts == 1 or FIXED + EACH * math.ceil(64 / (parts - 1)) > 0.92 * memory * MB
    assert tried[:2] == [4, 8]
    assert tried[-1] == at_once  # what is chosen was tried
    assert len(tried) <= 4
    assert choice.recipe.batch_size == 64


def test_what_does_not_fit_one_by_one_is_refused_with_its_need(images, machine):
    machine(430 * MB)
    with pytest.raises(OutOfMemoryError, match=r"not even one image at a time fits: training needs .*there are 430 MB"):
        choose(images)
    machine(200 * MB, known=False)
    with pytest.raises(
        OutOfMemoryError, match="checkpoint_activations=block, a smaller --batch-size, a smaller --size"
    ):
        choose(images)


def test_a_line_goes_on_from_its_largest_two_points():
    line = Line()
    assert math.isnan(line(4))
    line.points |= {4: 500.0, 8: 520.0}
    assert line(16) == 560.0
    line.points |= {16: 700.0, 64: math.inf}
    assert (line(16), line(24)) == (700.0, 880.0)
    assert line(64) == line(80) == math.inf


def test_a_probe_that_fails_for_another_reason_says_it(images, monkeypatch):
    dataset = read_dataset(images)
    recipe = Recipe(batch_size=8, freeze=("nowhere",))
    with pytest.raises(TrainingError, match="the model has no module 'nowhere'"):
        choose_batch(tiny_model(), dataset, recipe, lambda line: None)


def test_a_probe_that_comes_to_no_end_did_not_fit(images, monkeypatch):
    monkeypatch.setattr(batch_size, "LONGEST", 0.05)
    with pytest.raises(OutOfMemoryError, match="not even one image at a time fits"):
        choose(images, batch=2)


class Lines(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_the_choice_is_written_before_training_and_never_made_again(images, tmp_path, machine, monkeypatch):
    tried = machine(480 * MB)
    recipe, dataset = Recipe(batch_size=8, epochs=1), read_dataset(images)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch_size, "train", killed)
        with pytest.raises(KeyboardInterrupt), RunFolder.open(tmp_path / "run", "train", {}) as run:
            train_with_what_fits(tiny_model(), dataset, recipe, run, SilentProgress())
    assert read_config(tmp_path / "run" / "config.toml")["recipe"]["accumulate"] == 2  # 4 at once: 440 of 441.6 MB
    asked = len(tried)
    machine(10**12)
    with RunFolder.open(tmp_path / "run", "train", {}) as run:
        result = train_with_what_fits(tiny_model(), dataset, recipe, run, SilentProgress())
    assert len(tried) == asked
    assert result.plan.accumulate == 2
    assert read_log(tmp_path / "run")[0]["event"] == "batch"


def test_memory_that_runs_out_all_the_same_costs_a_step_down_and_nothing_else(images, tmp_path, machine, monkeypatch):
    machine(10**12)
    from triscale.training.step import Stepper

    original = Stepper.__call__

    def failing(self, step, images, labels, files):
        if step == 5 and self.plan.part_size > 3:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 42 bytes.")
        return original(self, step, images, labels, files)

    monkeypatch.setattr(Stepper, "__call__", failing)
    progress, recipe = Lines(), Recipe(batch_size=8, epochs=1, checkpoint_steps=2)
    with RunFolder.open(tmp_path / "run", "train", {}) as run:
        result = train_with_what_fits(tiny_model(), read_dataset(images), recipe, run, progress)
    assert result.plan.accumulate == 3
    said = [line for line in progress.lines if "memory ran out" in line]
    assert len(said) == 2  # 8 at once, then 4
    assert said[0].endswith("Going on from the last checkpoint with 4 images at once.")
    resumed = [line["step"] for line in read_log(tmp_path / "run") if line["event"] == "resumed"]
    assert resumed == [4, 4]
    assert read_config(tmp_path / "run" / "config.toml")["recipe"]["accumulate"] == 3


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"), True),
        (OSError(12, "Cannot allocate memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_which_errors_say_that_memory_ran_out(error, expected):
    assert is_out_of_memory(error) is expected


def train_within(images, folder, limit, network="efficientnet_b0", size=64, batch=64):
    """`triscale train --batch auto` in a process whose RLIMIT_DATA is so many bytes."""
    command = ["train", network, str(images), "--size", str(size), "--batch", "auto", "--out", str(folder)]
    # Two steps or more, each of as many images as `batch` says.
    command += ["--set", "epochs=2", "--set", "least_steps=0", "--set", f"batch_size={batch}", "--device", "cpu"]
    return subprocess.run(
        [sys.executable, "-m", "triscale", *command],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def check_run(done, folder, limit):
    assert done.returncode == 0, done.stderr
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["epochs"] == 2
    log = read_log(folder)
    first = log[0]
    assert first["event"] == "batch"
    assert first["need"] <= 0.92 * limit == pytest.approx(0.92 * first["room"])
    assert [line for line in log if line["event"] == "batch"] == [first], done.stderr  # never had to step down
    return first["accumulate"]


def test_under_a_limit_it_trains(images, tmp_path):
    limit = 850 * MB
    done = train_within(images, tmp_path / "run", limit, size=96, batch=32)
    assert check_run(done, tmp_path / "run", limit) >= 2


@pytest.mark.slow
def test_ten_limits_of_ten_are_kept(tmp_path):
    images = tiny_images(tmp_path / "images", train=44)
    parts = []
    for number, megabyte in enumerate((800, 840, 880, 920, 960, 1050, 1150, 1300, 1500, 1900)):
        folder = tmp_path / f"run-{number}"
        parts.append(check_run(train_within(images, folder, megabyte * MB, size=96), folder, megabyte * MB))
    assert parts[0] >= 3  # the tightest makes many parts of a batch,
    assert parts[-1] == 1  # the widest needs none
    assert parts == sorted(parts, reverse=True)
