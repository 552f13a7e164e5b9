"""Two processes that train together do what one does, and one line says what goes wrong between them."""

import pytest
from safetensors.torch import load_file

from training.forks import Forks
from training.tiny import tiny_images
from triscale.data.augment import Augmentation
from triscale.training.run import read_log, read_run

# What the number of processes may not change: no random numbers are drawn in the network. 20 steps and more.
SETTLED = {
    "optimiser": "sgd",
    "learning_rate": 0.5,
    "epochs": 3,
    "dropout": 0.0,
    "drop_connect": 0.0,
    "augmentation": Augmentation(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0), flip=0.0),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), val=5)  # 15: no multiple of a batch, nor of two


@pytest.fixture(scope="module")
def forks():
    with Forks("import torch.distributed, torch.nn.parallel") as made:
        yield made


def train(forks, images, folder, size=2, settings="SETTLED", more=""):
    code = f"""
from training.pairs import together
together('''
from training.test_spreading import *
from training.tiny import train_tiny
train_tiny({str(images)!r}, {str(folder)!r}, **{settings} | dict({more}))
''', {size})
"""
    return forks.run(code)


def losses(folder):
    return [each["loss"] for each in read_log(folder) if each["event"] == "step"]


def last_tensors(folder):
    return load_file(max((folder / "checkpoints").glob("step-*.safetensors")))


def furthest(first, second, kind):
    """The largest difference between tensors of two checkpoints whose names contain `kind`."""
    pairs = [(first[name], second[name]) for name in first if kind in name and first[name].is_floating_point()]
    assert pairs
    return max(float((one - other).abs().max()) for one, other in pairs)


@pytest.mark.parametrize("batch", [8, 9])  # of 9, one process takes four and the other five
def test_two_processes_do_what_one_does(images, tmp_path, forks, batch):
    assert train(forks, images, tmp_path / "one", 1, more=f"batch_size={batch}") == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more=f"batch_size={batch}") == (0, "")
    one, two = last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two")
    assert len(losses(tmp_path / "one")) >= 20
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert one.keys() == two.keys()
    assert furthest(one, two, "model.") < 1e-4
    assert furthest(one, two, "running_") < 1e-4
    assert furthest(one, two, "ema.") < 1e-4
    assert read_run(tmp_path / "two").state == "done"


def test_without_synchronisation_they_do_not(images, tmp_path, forks):
    assert train(forks, images, tmp_path / "one", 1) == (0, "")
    assert train(forks, images, tmp_path / "two", 2, more="sync_norms=False") == (0, "")
    one, two = last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two")
    assert furthest(one, two, "model.") > 1e-2
    assert losses(tmp_path / "two") != pytest.approx(losses(tmp_path / "one"), abs=1e-2)
