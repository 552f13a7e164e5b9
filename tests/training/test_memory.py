"""What a training takes, told and measured."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.models.recompute import recomputing
from triscale.training.memory import kept_by_stage, measured_activations, predicted_memory
from triscale.training.plan import plan_of
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.run import read_log


class Lines(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def plan(recipe):
    return plan_of(recipe, 1000)


def test_prediction_and_measurement_agree_for_the_images_at_once():
    model, recipe = tiny_model(), Recipe(batch_size=64, accumulate=4)
    predicted = predicted_memory(model, recipe, plan(recipe))
    measured = measured_activations(model, 16)
    assert list(predicted.stages) == list(measured) == ["stem", "stage 1", "stage 2", "stage 3", "head"]
    assert predicted.activations == pytest.approx(sum(measured.values()), rel=0.1)  # small maps and vectors
    assert predicted.average == predicted.weights > 0


def test_what_arithmetic_cannot_tell_is_not_predicted():
    recipe = Recipe(checkpoint_activations="block")
    assert predicted_memory(tiny_model(), recipe, plan(recipe)) is None


def test_measuring_leaves_the_model_and_the_random_numbers_alone():
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    measured_activations(model, 8)
    assert torch.equal(torch.rand(2), expected)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_recomputed_blocks_are_measured_as_they_are():
    model = tiny_model()
    whole = sum(measured_activations(model, 8).values())
    with recomputing(model, "block"):
        assert sum(measured_activations(model, 8).values()) < 0.6 * whole


def test_what_autograd_keeps_by_hand():
    model = nn.Sequential(nn.Linear(5, 4, bias=False), nn.Sigmoid())
    # The linear layer keeps its input, 3 x 5 numbers; the sigmoid its output, 3 x 4.
    assert kept_by_stage(model, lambda: model(torch.zeros(3, 5))) == {"0": 4 * 15, "1": 4 * 12}


def test_the_peak_counts_from_when_it_began():
    """In a process of its own: a long one may have the room already."""
    code = (
        "import torch\n"
        "from triscale.training.memory import Peak\n"
        "early = bytearray(200 * 2**20)\n"
        "del early\n"
        "peak = Peak(torch.device('cpu'))\n"
        "block = bytearray(64 * 2**20)\n"
        "del block\n"
        "print(peak.grown())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 60 * 2**20 < int(said) < 120 * 2**20


def test_a_run_says_and_logs_both(tmp_path):
    progress = Lines()
    train_tiny(tiny_images(tmp_path / "images", train=8), tmp_path / "run", progress=progress, epochs=1)
    said = [line for line in progress.lines if line.startswith("memory: ")]
    assert said[0].startswith("memory: about ")
    assert "(stem 0." in said[0]
    assert said[1].endswith(" MB at the peak of training, measured")
    log = {line["event"]: line for line in read_log(tmp_path / "run")}
    assert log["memory"]["images"] == 8
    assert set(log["memory"]["predicted"]) == set(log["memory"]["measured"])
    assert log["memory_peak"]["bytes"] > 0
