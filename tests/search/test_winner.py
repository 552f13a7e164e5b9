"""What a search found is kept: a run that other commands take."""

import json
from dataclasses import replace

import pytest
import torch

from tests.fitted import triscale
from tests.search.helpers import BASELINE
from training.tiny import tiny_images
from triscale.cli.models import open_model
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.errors import RunError
from triscale.modules.factory import load_factory
from triscale.search.candidate import Multipliers
from triscale.search.on_ray import OnRay
from triscale.search.own import ModuleBaseline
from triscale.search.proxy import TrainingScore
from triscale.search.spread import Alone
from triscale.search.winner import keep_winner, train_winner
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.run import read_log, read_run

RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=0.02, augmentation=Augmentation(crop_area=(0.6, 1.0)))
SMALL = BASELINE.at(Multipliers(resolution=0.5))
OWN = """
from torch import nn


def net(num_classes=3):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, num_classes),
    )
"""


class Told(SilentProgress):
    """Keeps what is said."""

    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), test=2)


@pytest.fixture(scope="module")
def score(images):
    return TrainingScore(BASELINE, read_dataset(images), RECIPE)


@pytest.fixture(scope="module")
def kept(score, tmp_path_factory):
    return train_winner(score, SMALL, 60, tmp_path_factory.mktemp("search"), SilentProgress())


def test_it_is_trained_as_long_as_its_score_and_answers_like_any_run(kept, images):
    record, metrics = read_run(kept), json.loads((kept / "metrics.json").read_text())
    assert (record.state, record.shipped) == ("done", "model.safetensors")
    epochs = [line for line in read_log(kept) if line["event"] == "epoch"]
    assert len(epochs) == 7 and epochs[-1]["step"] == 63, "60 steps at 9 an epoch, in whole epochs"
    assert metrics["top1"] >= 0.8
    model = open_model(str(kept))
    assert model.preprocessing.size == SMALL.size and len(model.card.classes) == 3
    assert replace(model.network, name="") == replace(SMALL.network, name="", classes=3)
    told = triscale("eval", kept, images, "--json")
    assert told.code == 0 and json.loads(told.out)["split"] == "test"


def test_test_images_stay_unread(score, tmp_path):
    gone = tuple(replace(each, path=each.path.with_name("gone.png")) for each in score.dataset.test)
    unread = replace(score, dataset=replace(score.dataset, test=gone))
    place = train_winner(unread, SMALL, 2, tmp_path, SilentProgress())
    assert json.loads((place / "metrics.json").read_text())["split"] == "val"


def test_what_is_done_is_left_as_it_is_and_another_winner_is_refused(score, kept):
    before = (kept / "model.safetensors").stat().st_mtime_ns
    assert train_winner(score, SMALL, 60, kept.parent, SilentProgress()) == kept
    assert (kept / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"multipliers\.width"):
        train_winner(score, BASELINE.at(Multipliers(width=2)), 60, kept.parent, SilentProgress())


def test_a_module_of_ones_own_is_kept_with_its_weights(score, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    baseline = ModuleBaseline(load_factory(f"{tmp_path / 'own.py'}:net"), (32, 32))
    wide = baseline.at(Multipliers(width=2))
    place = train_winner(replace(score, baseline=baseline), wide, 9, tmp_path / "search", SilentProgress())
    model = open_model(str(place), code=f"{tmp_path / 'own.py'}:net")
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    assert model.costs((32, 32))[0] == wide.params


def test_a_search_outlives_a_winner_that_cannot_be_trained_again(score, tmp_path):
    told, wild = Told(), replace(score, recipe=replace(RECIPE, learning_rate=1e30, clip=0.0))
    assert keep_winner(wild, SMALL, 9, tmp_path, Alone(), told) == "network.json"
    assert told.lines[-1].startswith("the winner was not kept trained: ")
    assert not (tmp_path / "winner" / "model.safetensors").exists()


def test_where_a_cluster_trains_nothing_is_trained_here(score, tmp_path):
    told = Told()
    assert keep_winner(score, SMALL, 2, tmp_path, OnRay(), told) == "network.json"
    assert not list(tmp_path.iterdir()) and told.lines == [
        "the winner is not trained here: the trainings of this search are the cluster's"
    ]
