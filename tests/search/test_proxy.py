"""Scores by brief training."""

from dataclasses import replace

import pytest
import torch

from tests.search.helpers import BASELINE, asker
from training.tiny import tiny_images
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.errors import DataError, TrainingError
from triscale.search.candidate import Multipliers
from triscale.search.proxy import TrainingScore, for_search
from triscale.training.brief import brief_plan
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe

RECIPE = Recipe(
    epochs=4, batch_size=8, learning_rate=0.02, warmup_epochs=0.5, augmentation=Augmentation(crop_area=(0.6, 1.0))
)
SMALL = BASELINE.at(Multipliers(resolution=0.5))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(tiny_images(tmp_path_factory.mktemp("images"), test=2))


def test_more_steps_score_more_and_the_same_question_has_the_same_answer(dataset):
    score = TrainingScore(BASELINE, dataset, RECIPE)
    early, late = score(SMALL, 0, 2), score(SMALL, 0, 60)
    assert late.score > early.score + 0.2 and late.score >= 0.8
    assert late.beside is None
    torch.manual_seed(99)  # nothing may depend on what was done before
    assert score(SMALL, 0, 60) == late
    assert score(SMALL, 0, 2) == early


def test_every_step_is_told_and_the_test_split_is_read_only_where_asked_for(dataset):
    told = []
    unread = replace(dataset, test=tuple(replace(each, path=each.path.with_name("gone.png")) for each in dataset.test))
    TrainingScore(BASELINE, unread, RECIPE, each_step=lambda: told.append(1))(SMALL, 0, 5)
    assert len(told) == 5
    with pytest.raises(DataError, match="gone"):
        TrainingScore(BASELINE, unread, RECIPE, split="test")(SMALL, 0, 1)


def test_one_training_is_judged_on_test_and_validation_images(dataset):
    val = TrainingScore(BASELINE, dataset, RECIPE)(SMALL, 1, 9)
    both = TrainingScore(BASELINE, dataset, RECIPE, split="test")(SMALL, 1, 9)
    assert both.beside == val.score and 0 <= both.score <= 1


def test_a_recipe_that_needs_epochs_is_a_failure_that_the_ledger_tells(dataset, tmp_path):
    growing = replace(RECIPE, progressive=Progressive(stages=2, smallest=32))
    entry = asker(tmp_path, TrainingScore(BASELINE, dataset, growing))(SMALL, 0, 3)
    assert entry.score is None
    assert "Recipe.progressive has no place in a brief training" in entry.failure


def test_the_plan_is_stretched_with_as_large_a_share_of_warm_up():
    plan = brief_plan(RECIPE, 80, 100)
    assert (plan.total_steps, plan.epochs, plan.steps_per_epoch, plan.warmup_steps) == (100, 10, 10, 12)
    assert brief_plan(RECIPE, 80, 3).warmup_steps == 0
    with pytest.raises(TrainingError, match="at least 1 step"):
        brief_plan(RECIPE, 80, 0)


def test_few_images_of_each_class_train_and_others_judge(dataset):
    few = for_search(dataset, per_class=5, most_judged=30)
    labels = [sample.label for sample in few.train]
    assert [labels.count(number) for number in range(3)] == [5, 5, 5]
    judged = [sample.label for sample in few.val]
    assert [judged.count(number) for number in range(3)] == [10, 10, 10]
    assert not {each.path for each in few.train} & {each.path for each in few.val}
    assert {each.path for each in few.val} <= {each.path for each in (*dataset.train, *dataset.val)}
    assert few.test == dataset.test
    assert few == for_search(dataset, per_class=5, most_judged=30)
    assert few.train != for_search(dataset, per_class=5, most_judged=30, seed=1).train
    assert few.fingerprint != dataset.fingerprint
    assert for_search(dataset).train == dataset.train


def test_a_class_that_nothing_judges_is_named(dataset):
    poor = replace(dataset, val=tuple(each for each in dataset.val if each.label != 1))
    with pytest.raises(DataError, match=f"no validation image is of class '{dataset.classes[1]}'"):
        for_search(poor)
