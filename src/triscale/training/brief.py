"""A brief training: so many steps in memory, without a run folder, for a score of how well a network learns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.allocator import freed_memory_kept
from triscale.training.evaluate import place
from triscale.training.optim import make_optimiser
from triscale.training.plan import Plan, plan_of
from triscale.training.prepare import prepared, rates_of, training_mode
from triscale.training.recipe import Recipe
from triscale.training.stage import stage_at
from triscale.training.step import Stepper
from triscale.training.task import Judged, Split, Task
from triscale.training.world import ALONE


def train_briefly(
    model: Model,
    task: Task[Any],
    steps: int,
    splits: Sequence[Split] = ("val",),
    each_step: Callable[[], None] | None = None,
) -> list[Judged]:
    """Train a model for so many steps of its task's recipe, and judge it on each of the splits.

    The schedule is the recipe's, stretched to the steps, with as large a share of warm-up, so that the learning rate
    has run down at the end; weights are judged as they are, without an average. The same call gives the same figures on
    a CPU with as many threads.
    each_step: called after every step.
    Raises: TrainingError for a recipe that a brief training has no place for, an empty split, or a value that is not
        finite.
    """
    recipe = task.recipe
    _require_plain(recipe)
    plan = brief_plan(recipe, len(task.dataset.train), steps)
    task.check(model)
    full = model.preprocessing.train_size or model.preprocessing.size
    with prepared(model, recipe), freed_memory_kept(recipe.checkpoint_activations == "none"):
        optimiser = make_optimiser(
            model,
            recipe.optimiser,
            plan.learning_rate,
            recipe.momentum,
            recipe.weight_decay,
            recipe.decay_biases,
            rates_of(model, recipe),
        )
        objective, weigh = task.objective(model)
        step = Stepper(model, objective, optimiser, recipe, plan, len(task.dataset.classes), weigh=weigh)
        batches = task.training_batches(model.preprocessing, plan, stage_at(recipe, 0, plan.epochs, full), ALONE)
        training_mode(model, recipe)
        for epoch in range(plan.epochs):
            with closing(batches.epoch(epoch)) as images_of_epoch:
                for number, (images, labels, indices) in enumerate(images_of_epoch, epoch * plan.steps_per_epoch):
                    if number == steps:
                        break
                    files = [str(task.dataset.train[index].path) for index in indices.tolist()]
                    step(number, place(images, model), labels, files)
                    if each_step is not None:
                        each_step()
    judging = (task.judging_batches(split, model.preprocessing, plan.part_size, ALONE) for split in splits)
    return [task.evaluate_all([model], each, None, ALONE, quick=True)[0] for each in judging]


def brief_plan(recipe: Recipe, images: int, steps: int) -> Plan:
    """The recipe's plan, stretched or shortened to so many steps."""
    if steps < 1:
        raise TrainingError(f"a brief training has at least 1 step, got {steps}.")
    plan = plan_of(recipe, images)
    warmup = round(steps * recipe.warmup_epochs / recipe.epochs)
    epochs = math.ceil(steps / plan.steps_per_epoch)
    return replace(plan, epochs=epochs, total_steps=steps, warmup_steps=min(warmup, steps // 2), ema_decay=0.0)


def brief_recipe(recipe: Recipe, images: int, steps: int) -> Recipe:
    """The recipe with as many epochs as so many steps take, for a training of the same length with a run folder."""
    plan = brief_plan(recipe, images, steps)
    warmup = recipe.warmup_epochs * plan.epochs / recipe.epochs
    return replace(recipe, epochs=plan.epochs, warmup_epochs=warmup, least_steps=0, ema_decay=0.0)


def _require_plain(recipe: Recipe) -> None:
    """Refuse what needs epochs, an average or another network to mean anything."""
    given = {
        "progressive": recipe.progressive is not None,
        "distillation": recipe.distillation is not None,
        "head_epochs": recipe.head_epochs > 0,
        "patience": recipe.patience > 0,
        "precision": recipe.precision == "fp16",
        "augment_on": recipe.augment_on == "device",
        "norms": recipe.norms == "recalibrate",
        "compile": recipe.compile,
    }
    wrong = [name for name, is_given in given.items() if is_given]
    if wrong:
        raise TrainingError(f"Recipe.{wrong[0]} has no place in a brief training, whose steps are few; leave it out.")
