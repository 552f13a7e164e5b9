"""Whatever stops a fit (kill -9, Ctrl-C, a full disk, another process), the same command again ends the same."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch

from tests.commands import Commands
from tests.fitted import fit_arguments, refusal
from tests.images import make_folder

BUDGET = "macs<=10M, params<=500K"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("data") / "photos", classes=2, per_class=6)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    with Commands(tmp_path_factory.mktemp("commands")) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(photos, commands, tmp_path_factory):
    """(run folder, seconds) of a fit that nothing stopped."""
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    commands.start(*fit_arguments(photos, run, BUDGET))
    began = time.monotonic()  # now that everything is imported
    assert commands.wait().code == 0
    return run, time.monotonic() - began


def assert_ended_alike(run, undisturbed):
    tensors, expected = (safetensors.torch.load_file(each / "model.safetensors") for each in (run, undisturbed[0]))
    assert tensors.keys() == expected.keys()
    assert [key for key in expected if not torch.equal(tensors[key], expected[key])] == []
    assert json.loads((run / "run.json").read_text())["state"] == "done"
    assert (run / "choice.json").read_bytes() == (undisturbed[0] / "choice.json").read_bytes()
    assert sorted(each.name for each in run.iterdir()) == sorted(each.name for each in undisturbed[0].iterdir())


def kill_often(times, photos, commands, undisturbed, run):
    """kill -9 at random moments of a fit, again and again; then let it end."""
    seed = random.randrange(2**32)
    dice, chosen = random.Random(seed), None
    for _ in range(times):
        commands.start(*fit_arguments(photos, run, BUDGET))
        time.sleep(dice.uniform(0, undisturbed[1]))
        done = commands.strike(signal.SIGKILL)
        assert done.code in (-9, 0), (seed, done)
        if chosen is not None:
            assert (run / "choice.json").stat().st_ino == chosen, f"chosen again, for seed {seed}"
        with contextlib.suppress(FileNotFoundError):
            if json.loads((run / "run.json").read_text())["network"]:
                chosen = (run / "choice.json").stat().st_ino
    assert commands.do(*fit_arguments(photos, run, BUDGET)).code == 0, seed
    assert_ended_alike(run, undisturbed)


def test_killed_three_times_at_random_it_ends_with_the_same_weights(photos, commands, undisturbed, tmp_path):
    kill_often(3, photos, commands, undisturbed, tmp_path / "run")


@pytest.mark.slow
def test_killed_forty_times_at_random_it_ends_with_the_same_weights(photos, undisturbed, tmp_path):
    with Commands(tmp_path, whole=True) as commands:
        for number in range(8):
            kill_often(5, photos, commands, undisturbed, tmp_path / f"run{number}")


def test_ctrl_c_is_one_line_at_every_stage_and_the_same_command_goes_on(photos, commands, undisturbed, tmp_path):
    run = tmp_path / "run"
    for stage in ("run.json", "choice.json", "config.toml", "checkpoints", "model.safetensors", "exports/model.xml"):
        commands.start(*fit_arguments(photos, run, BUDGET))
        commands.when(run / stage)
        done = commands.strike(signal.SIGINT)
        assert (done.code, done.out) == (130, ""), (stage, done)
        assert done.complaint == "triscale: interrupted; the same command again goes on where it stopped."
        # Stopped while run.json itself is written, the run is still said to be running; it goes on all the same.
        states = ("running", "interrupted") if stage == "run.json" else ("interrupted",)
        assert json.loads((run / "run.json").read_text())["state"] in states, stage
    assert commands.do(*fit_arguments(photos, run, BUDGET)).code == 0
    assert_ended_alike(run, undisturbed)


STARTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import triscale.cli.main as command
run = command._run
def heeding(given):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return run(given)
command._run = heeding
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # one that comes now is for the command, not for this
print("ready", flush=True)
sys.exit(command.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.5])
def test_ctrl_c_while_a_command_starts_is_one_line(photos, tmp_path, delay):
    program = [sys.executable, "-c", STARTING, *fit_arguments(photos, tmp_path / "run", BUDGET)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert said.endswith("triscale: interrupted; the same command again goes on where it stopped.\n")
    assert "Traceback" not in said


def test_a_folder_in_use_is_refused_and_its_run_is_not_disturbed(photos, commands, undisturbed, tmp_path):
    arguments = fit_arguments(photos, tmp_path / "run", BUDGET)
    process = commands.start(*arguments)
    commands.when(tmp_path / "run" / "choice.json")
    assert f"{tmp_path / 'run'}: in use by process {process}; wait for it, or choose another" in refusal(*arguments)
    assert commands.wait().code == 0
    assert_ended_alike(tmp_path / "run", undisturbed)


def test_a_file_that_may_not_grow_is_one_line_and_the_same_command_goes_on(photos, commands, undisturbed, tmp_path):
    arguments = fit_arguments(photos, tmp_path / "run", BUDGET)
    for largest, file in ((2_000, "choice.json"), (100_000, "checkpoints/step-00000000.safetensors")):
        done = commands.do(*arguments, largest=largest)
        assert (done.code, done.out) == (2, "")
        assert f"{tmp_path / 'run' / file}: cannot be written: the file would exceed the size limit" in done.complaint
        assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "failed"
    assert commands.do(*arguments).code == 0
    assert_ended_alike(tmp_path / "run", undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a tmpfs of so many bytes; called again, it makes the same one larger."""
    place = tmp_path / "disk"
    place.mkdir()

    def disk(size):
        mounted = os.path.ismount(place)
        options = f"{'remount,' if mounted else ''}size={size}"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True).returncode:
            pytest.skip("this user may not mount a tmpfs; the limit on a file's size stands for the full disk")
        return place

    yield disk
    subprocess.run(["umount", place], capture_output=True)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(photos, commands, undisturbed, small_disk):
    """Room for checkpoints and the model, and not for what is exported from it."""
    files = [each for each in undisturbed[0].rglob("*") if each.is_file()]
    exported = sum(each.stat().st_size for each in files if each.parent.name == "exports")
    room = sum(each.stat().st_size + 4096 for each in files) - exported + exported // 8
    run = small_disk(room) / "run"
    done = commands.do(*fit_arguments(photos, run, BUDGET))
    assert done.code == 2
    assert f"{run}/exports/model.onnx: cannot be written: the disk is full; free some space" in done.complaint
    assert [each for each in run.rglob("*") if each.suffix == ".part"] == []
    shutil.copy(run / "model.safetensors", run.parents[1] / "trained")
    small_disk("100m")
    assert commands.do(*fit_arguments(photos, run, BUDGET)).code == 0
    assert_ended_alike(run, undisturbed)
    assert (run.parents[1] / "trained").read_bytes() == (run / "model.safetensors").read_bytes()
