"""Training whose images are augmented on the network's device, beside one where the loader does it."""

import os
import signal

import pytest
import torch
from safetensors.torch import load_file

from training.test_spreading import SETTLED, last_tensors, losses
from training.tiny import tiny_images, train_tiny
from triscale.data.augment import Augmentation
from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.errors import TrainingError
from triscale.training.progress import SilentProgress
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.tasks import task_of

VARIED = Augmentation(crop_area=(0.6, 1.0), randaugment_layers=2, randaugment_magnitude=9, erase=0.3, flip_vertical=0.2)
GROWING = {
    "augmentation": VARIED,
    "augment_on": "device",
    "progressive": Progressive(stages=2, smallest=16, randaugment=(3, 9), mixup=(0, 0.4)),
    "checkpoint_steps": 4,
}
TOGETHER = SETTLED | {"augmentation": VARIED, "augment_on": "device"}


class StopAt(SilentProgress):
    """Asks this process to stop after so many steps."""

    def __init__(self, step):
        self.left = step

    def advance(self, steps=1, detail=""):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), val=5)


@pytest.fixture(scope="module")
def growing(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("growing") / "run"
    train_tiny(images, folder, **GROWING)
    return folder


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_it_learns_what_the_other_place_learns(images, growing, tmp_path):
    train_tiny(images, tmp_path / "host", **GROWING | {"augment_on": "host"})
    assert losses(growing) == pytest.approx(losses(tmp_path / "host"), rel=0.02)
    host, device = (load_file(each / "model.safetensors") for each in (tmp_path / "host", growing))
    apart = max(float((host[name] - device[name]).abs().max()) for name in host)
    assert apart < 0.05


@pytest.mark.parametrize("step", [5, 18, 19])  # the second stage begins after step 18
def test_stopped_and_called_again_it_ends_the_same(images, growing, tmp_path, step):
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(step), **GROWING)
    torch.manual_seed(99)
    train_tiny(images, tmp_path / "run", **GROWING)
    assert weights(tmp_path / "run") == weights(growing)


def test_two_processes_draw_what_one_draws(images, tmp_path, forks):
    for size in (1, 2):
        code = f"""
from training.pairs import together
together('''
from training.test_augment_on import TOGETHER
from training.tiny import train_tiny
train_tiny({str(images)!r}, {str(tmp_path / str(size))!r}, **TOGETHER)
''', {size})
"""
        assert forks.run(code) == (0, "")
    assert len(losses(tmp_path / "1")) >= 20
    assert losses(tmp_path / "2") == pytest.approx(losses(tmp_path / "1"), abs=1e-4)
    one, two = last_tensors(tmp_path / "1"), last_tensors(tmp_path / "2")
    assert max(float((one[name] - two[name]).abs().max()) for name in one if name.startswith("model.")) < 1e-4


def test_another_place_is_refused():
    with pytest.raises(TrainingError, match=r"Recipe.augment_on must be one of host, device, got 'gpu'"):
        Recipe(augment_on="gpu")


def test_images_with_boxes_are_refused(images):
    box = BoxLabel(1.0, 2.0, 20.0, 30.0, 0)
    sample = BoxSample(images / "train" / "apple" / "000.png", (32, 32), (box,))
    boxed = BoxDataset(images, ("apple",), (sample,), (sample,), (), "")
    with pytest.raises(TrainingError, match=r"Recipe.augment_on is 'device', and .* has boxes"):
        task_of(boxed, Recipe(augment_on="device"))
