"""Training from shards: as from the folder; and a kill in the middle of a shard costs nothing."""

import json
import random
import time

import pytest

from tests.data.shards.server import serving
from training.forks import Forks
from training.tiny import tiny_images, train_tiny
from triscale.data.shards.pack import pack

IMPORTS = "import triscale.data.shards.order as order\norder.WINDOW_BYTES = 100_000  # three shards of 30 kB, of 14\n"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def shards(images, tmp_path_factory):
    return pack(images, tmp_path_factory.mktemp("shards"), 30_000).folder


@pytest.fixture(scope="module")
def from_folder(images, tmp_path_factory):
    """The run of a training from the folder."""
    run = tmp_path_factory.mktemp("from_folder") / "run"
    train_tiny(images, run)
    return run


@pytest.fixture(scope="module")
def forks(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("no_proxy", "127.0.0.1")
        with Forks(IMPORTS) as made:
            yield made


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def steps_logged(folder):
    path = folder / "log.jsonl"
    return path.read_bytes().count(b'"event":"step"') if path.exists() else 0


def test_shards_teach_what_the_folder_teaches_to_the_last_bit(from_folder, shards, tmp_path):
    """What fits into one window is shuffled like files, so that not even the order differs."""
    train_tiny(shards, tmp_path / "run")
    assert weights(tmp_path / "run") == weights(from_folder)


def test_a_set_of_many_windows_is_learnt_as_well_as_the_folder(from_folder, shards, tmp_path, forks):
    assert forks.run(f"train_tiny({str(shards)!r}, {str(tmp_path / 'run')!r})") == (0, "")
    top1 = [json.loads((run / "metrics.json").read_text())["top1"] for run in (from_folder, tmp_path / "run")]
    assert weights(tmp_path / "run") != weights(from_folder)  # it was another order
    assert abs(top1[0] - top1[1]) <= 0.01
    assert top1[0] > 0.9


def killed_and_undisturbed(data, folder, forks):
    """Train twice, once killed three times at random steps; the shards are read in windows all the while."""
    code = "train_tiny({!r}, {!r}, epochs=12, checkpoint_steps=4)"
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    assert forks.run(code.format(data, str(undisturbed))) == (0, "")
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    for _ in range(3):
        wanted = steps_logged(killed) + dice.randint(1, 20)
        process = forks.begin(code.format(data, str(killed)))
        patience = time.monotonic() + 60
        while steps_logged(killed) < wanted and time.monotonic() < patience:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.03))
        forks.kill(process)
        assert forks.end() == (-9, ""), f"it ended before it was killed, for seed {seed}"
    assert forks.run(code.format(data, str(killed))) == (0, "")
    assert weights(killed) == weights(undisturbed), f"differs for seed {seed}"
    assert (killed / "log.jsonl").read_text().count('"resumed"') == 3


def test_killed_in_the_middle_of_shards_it_ends_the_same(shards, tmp_path, forks):
    killed_and_undisturbed(str(shards), tmp_path, forks)


def test_killed_while_shards_come_over_the_network_it_ends_the_same(shards, tmp_path, forks):
    with serving(shards) as (server, address):
        killed_and_undisturbed(address, tmp_path, forks)
    assert sum(path.endswith(".tar") for path in server.asked) >= 14
