"""What a recipe comes to on a data set."""

import pytest

from triscale.data.augment import Augmentation
from triscale.errors import TrainingError
from triscale.training.plan import derived_decay, plan_of, schedule_of
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.recipes import RECIPES, recipe


@pytest.mark.parametrize(
    ("optimiser", "batch", "expected"),
    [("sgd", 256, 0.1), ("sgd", 64, 0.025), ("rmsprop_tf", 512, 0.2), ("adamw", 64, 0.05)],
)
def test_the_learning_rate_follows_the_batch(optimiser, batch, expected):
    plan = plan_of(Recipe(optimiser=optimiser, batch_size=batch, learning_rate=0.1), 10_000)
    assert plan.learning_rate == pytest.approx(expected)
    assert f"learning rate {expected:.3g}: 0.1 at a batch of 256, scaled by the" in plan.notes[0]


def test_steps_come_from_images_and_batch():
    plan = plan_of(Recipe(epochs=3, batch_size=64, warmup_epochs=0.5), 1000)
    assert (plan.steps_per_epoch, plan.total_steps, plan.warmup_steps) == (15, 45, 8)


def test_a_set_smaller_than_the_batch_is_one_batch_and_said():
    plan = plan_of(Recipe(epochs=4, batch_size=64), 10)
    assert (plan.batch_size, plan.steps_per_epoch, plan.total_steps) == (10, 1, 4)
    assert "batch 10 instead of 64: there are only 10 training images" in plan.notes


def test_warm_up_never_takes_more_than_half():
    plan = plan_of(Recipe(epochs=1, batch_size=10, warmup_epochs=5), 100)
    assert plan.warmup_steps == 5
    assert "the warm-up ends after 5 steps, half of all, before its 5 epochs" in plan.notes


def test_the_classifier_trains_alone_for_its_share_of_the_steps_and_the_schedule_follows():
    plan = plan_of(Recipe(epochs=4, batch_size=10, warmup_epochs=1, head_epochs=1.5), 100)
    assert (plan.head_steps, plan.warmup_steps, plan.total_steps) == (15, 10, 40)
    said = "only the classifier trains for 15 steps (1.5 epochs), then all parts, with the schedule from its beginning"
    assert said in plan.notes
    assert schedule_of(Recipe(epochs=4, head_epochs=1.5), plan).total_steps == 25


def test_the_classifier_may_train_alone_to_the_end():
    plan = plan_of(Recipe(epochs=2, batch_size=10, head_epochs=2), 100)
    assert (plan.head_steps, plan.warmup_steps) == (20, 0)
    assert "only the classifier trains for 20 steps (2 epochs), to the end" in plan.notes
    assert not any("warm-up" in note for note in plan.notes)


def test_the_classifiers_epochs_grow_with_those_that_are_added():
    assert plan_of(Recipe(epochs=4, batch_size=64, head_epochs=1, least_steps=200), 320).head_steps == 50


def test_a_small_set_is_gone_through_until_there_are_steps_enough():
    plan = plan_of(Recipe(epochs=4, batch_size=64, warmup_epochs=1, least_steps=200), 320)
    assert (plan.epochs, plan.steps_per_epoch, plan.total_steps, plan.warmup_steps) == (40, 5, 200, 50)
    assert "40 epochs instead of 4: 320 images make few steps, 200 are wanted" in plan.notes
    assert plan_of(Recipe(epochs=4, batch_size=64, least_steps=200), 6400).epochs == 4


@pytest.mark.parametrize(("steps", "decay"), [(10, 0.9), (1000, 0.99), (10_000, 0.999), (10_000_000, 0.9999)])
def test_the_average_is_over_a_tenth_of_the_steps(steps, decay):
    assert derived_decay(steps) == pytest.approx(decay)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("momentum", 1.0),
        ("label_smoothing", -0.1),
        ("norm_momentum", -0.1),
        ("norm_images", 0),
        ("norms", "none"),
        ("head_epochs", -1.0),
        ("layer_decay", 0.0),
        ("layer_decay", 1.5),
        ("learning_rate", float("inf")),
        ("weight_decay", float("nan")),
        ("schedule", "linear"),
        ("decay_rate", 0.0),
        ("decay_epochs", 0.0),
        ("mixup", -1.0),
        ("balance", "classes"),
        ("reference_images", -1),
        ("ema_decay", 1.0),
        ("optimiser", "lion"),
        ("norms", "off"),
        ("precision", "fp8"),
        ("final_rate", 1.5),
    ],
)
def test_impossible_values_are_refused_with_name_and_value(field, value):
    with pytest.raises(TrainingError, match=rf"Recipe.{field} must be .*{value}"):
        Recipe(**{field: value})


def test_progressive_learning_is_refused_where_it_could_not_work():
    growing = Progressive(randaugment=(5, 10))
    layers = Augmentation(randaugment_layers=2)
    with pytest.raises(TrainingError, match=r"Recipe\.patience must be 0 in progressive learning, got 3"):
        Recipe(progressive=growing, augmentation=layers, patience=3)
    with pytest.raises(TrainingError, match=r"randaugment_layers must be above 0 \(2 as published\)"):
        Recipe(progressive=growing)
    assert Recipe(progressive=growing, augmentation=layers).progressive is growing


def test_no_images_and_unknown_names_are_refused():
    with pytest.raises(TrainingError, match="no training images"):
        plan_of(Recipe(), 0)
    with pytest.raises(TrainingError, match=f"choose one of {', '.join(RECIPES)}"):
        recipe("imagenet")
