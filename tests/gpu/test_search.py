"""Scores of a search on a GPU. Without one every test here skips; `make test-gpu` runs them."""

import pytest
import torch

from tests.search.helpers import BASELINE
from training.tiny import tiny_images
from triscale.cli.models import open_model
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.search.candidate import Multipliers
from triscale.search.proxy import TrainingScore
from triscale.search.winner import train_winner
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
]

RECIPE = Recipe(epochs=4, batch_size=8, learning_rate=0.02, augmentation=Augmentation(crop_area=(0.6, 1.0)))
SMALL = BASELINE.at(Multipliers(resolution=0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(tiny_images(tmp_path_factory.mktemp("images"), test=2))


def test_candidates_are_trained_and_judged_on_the_gpu_and_score_as_on_a_cpu(dataset):
    there, here = TrainingScore(BASELINE, dataset, RECIPE), TrainingScore(BASELINE, dataset, RECIPE, device="cpu")
    assert next(there.fresh(SMALL, 0).parameters()).is_cuda
    assert there(SMALL, 0, 60).score >= 0.8 and here(SMALL, 0, 60).score >= 0.8
    assert there(SMALL, 0, 1).score == pytest.approx(here(SMALL, 0, 1).score, abs=0.15)


def test_the_winner_is_kept_from_a_gpu_and_read_on_a_cpu(dataset, tmp_path):
    place = train_winner(TrainingScore(BASELINE, dataset, RECIPE), SMALL, 60, tmp_path, SilentProgress())
    assert not next(open_model(str(place)).parameters()).is_cuda
