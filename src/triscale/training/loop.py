"""`train`: a model, a data set and a recipe in; the best weights and their figures out, in one run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.allocator import freed_memory_kept
from triscale.training.deterministic import deterministic
from triscale.training.distillation import teacher_arguments
from triscale.training.epochs import Training
from triscale.training.interrupt import stop_on_signal
from triscale.training.memory import Peak, measured_activations, predicted_memory
from triscale.training.metrics import MetricsLog
from triscale.training.out_of_memory import told_in_one_line
from triscale.training.plan import Plan, plan_of
from triscale.training.prepare import prepared
from triscale.training.progress import Progress, SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.replicas import in_step
from triscale.training.result import M, TrainResult, ship
from triscale.training.run import RunFolder
from triscale.training.task import AnyDataset, Task
from triscale.training.tasks import task_of
from triscale.training.together import open_run, require_the_same
from triscale.training.world import World, joined, lost_ones_told


def train(
    model: M,
    dataset: AnyDataset,
    recipe: Recipe,
    folder: RunFolder | str | Path,
    progress: Progress | None = None,
) -> TrainResult[M]:
    """Train a model, or go on where an earlier call in the same folder stopped, however it stopped.

    model: on the device where it is to train; it comes back with the best weights, in evaluation mode. Its fresh
        weights must come from a seed if a run that is killed before its first checkpoint is to end the same.
    dataset: with labels for a classifier, with boxes for a detector.
    folder: a run folder that is held, or a path: then the folder is opened, and marked done at the end.
    Training reads `dataset.train`; best, EMA and early stopping see `dataset.val` only; `dataset.test` is read once, by
    the final evaluation, where there is one.
    Writes model.safetensors, metrics.json, log.jsonl, config.toml and checkpoints/ into the folder.
    Returns: the best model and its figures. The same call on the same data, on a CPU and with as many threads, gives
        the same weights to the last bit, also when it was killed and called again.
    Raises: TrainingError for an empty split, classes that do not agree, or a value that is not finite;
        KeyboardInterrupt after Ctrl-C or SIGTERM, with a checkpoint written; FileError when the disk is full.
    """
    require_splits(dataset)
    task = task_of(dataset, recipe)
    task.check(model)
    with joined() as world:
        if isinstance(folder, RunFolder):
            return _train(model, task, folder, progress, world)
        arguments = {"network": model.name, "recipe": recipe.to_table(), **teacher_arguments(recipe.distillation)}
        with open_run(world, folder, "train", arguments, dataset.fingerprint) as run:
            result = _train(model, task, run, progress, world)
            run.update(state="done", shipped="model.safetensors")
        return result


def _train(model: M, task: Task[Any], run: RunFolder, progress: Progress | None, world: World) -> TrainResult[M]:
    if progress is None or not world.is_main:
        progress = SilentProgress()
    with lost_ones_told(world), deterministic(task.recipe.deterministic):
        return _train_together(model, task, run, progress, world)


def _train_together(model: M, task: Task[Any], run: RunFolder, progress: Progress, world: World) -> TrainResult[M]:
    recipe = task.recipe
    plan = _plan(model, task, world)
    if not (run.path / "config.toml").exists():
        run.write_config({"recipe": recipe.to_table()})
    spare = recipe.checkpoint_activations != "none"  # then memory is dearer than time
    with (
        prepared(model, recipe) as notes,
        in_step(model, world, recipe.sync_norms),
        freed_memory_kept(not spare),
        stop_on_signal(patient=not world.is_alone) as stop,
    ):
        for note in notes:
            progress.say(note)
        training = Training(model, task, plan, run, progress, stop, world)
        training.resume()
        peak = _tell_memory(model, recipe, plan, training)
        with MetricsLog(run, training.state.step) as training.log, told_in_one_line(recipe, plan):
            training.run_epochs()
            grown = peak.grown()
            if grown is not None:
                training.log.write("memory_peak", training.state.step, {"bytes": grown})
                progress.say(f"memory: {grown / 1e6:.0f} MB at the peak of training, measured")
        stop.asked = world.any(stop.asked)
        best = training.state.best
    if best is None:
        raise TrainingError("no epoch gave finite values on the validation images; lower learning_rate.")
    return ship(model, task, plan, run, training.state, best, world)


def _plan(model: Model, task: Task[Any], world: World) -> Plan:
    """The plan, the same in all processes. Raises: TrainingError where they were asked for different things."""
    dataset, recipe = task.dataset, task.recipe
    plan = plan_of(recipe, len(dataset.train))
    if world.is_alone:
        return plan
    require_the_same(
        world,
        {"network": model.name, "data set": dataset.fingerprint[:12], "recipe": recipe.to_table()},
    )
    if plan.batch_size < world.size * plan.accumulate:
        parts = f" in {plan.accumulate} parts each" if plan.accumulate > 1 else ""
        raise TrainingError(
            f"a batch of {plan.batch_size} cannot be shared by {world.size} processes{parts}; "
            f"raise batch_size, or start fewer of them."
        )
    most = -(-plan.batch_size // world.size)
    note = f"{world.size} processes: each takes {most} images of every batch of {plan.batch_size}, or one less"
    return replace(plan, notes=(note, *plan.notes))


def _tell_memory(model: Model, recipe: Recipe, plan: Plan, training: Training) -> Peak:
    """Say what a step should take, log what it keeps, and begin to watch the peak."""
    predicted = predicted_memory(model, recipe, plan)
    if predicted is not None:
        training.progress.say(f"memory: {predicted}")
    measured = measured_activations(model, plan.part_size)
    told = None if predicted is None else predicted.stages
    training.run.log("memory", {"images": plan.part_size, "predicted": told, "measured": measured})
    return Peak(next(model.parameters()).device)


def require_splits(dataset: AnyDataset) -> None:
    """Refuse what nothing can be learnt from. Raises: TrainingError without images to train on or to choose by."""
    if not dataset.train:
        raise TrainingError(f"{dataset.root}: has no training images; add some.")
    if not dataset.val:
        raise TrainingError(
            f"{dataset.root}: has no validation images, so nothing could choose the best weights; "
            f"add a val folder, or more images, of which a share is then kept for it."
        )
