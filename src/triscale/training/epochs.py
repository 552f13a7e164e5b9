"""The epochs of one training: steps, evaluation, the best weights, checkpoints, and stopping when asked."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from triscale.data.device_augment import DeviceAugment
from triscale.data.loader import Batch, Batches
from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.checkpoint import Checkpoints
from triscale.training.compiled import Compiled
from triscale.training.distillation import Distilled
from triscale.training.ema import AveragedModel, ramped_decay
from triscale.training.evaluate import place
from triscale.training.interrupt import StopRequest
from triscale.training.metrics import MetricsLog
from triscale.training.optim import make_optimiser, parameter_groups
from triscale.training.plan import Plan, schedule_of
from triscale.training.prepare import enter_phase, rates_of
from triscale.training.progress import Progress
from triscale.training.recalibrate import recalibrate
from triscale.training.recipe import Recipe
from triscale.training.replicas import Replica, share_statistics
from triscale.training.run import RunFolder
from triscale.training.scaling import LossScale
from triscale.training.stage import Stage, stage_at
from triscale.training.state import Best, EpochSums, TrainState, copied
from triscale.training.step import NonFiniteError, Stepper
from triscale.training.task import Judged, Task
from triscale.training.together import newest_of_all
from triscale.training.world import ALONE, World

LOGGED_STEPS = 200  # of one training, about
DATA_BOUND = 0.1  # share of the time waiting for data above which that is the bottleneck; an epoch's start always waits


@dataclass(slots=True)
class Training:
    """One call of `train`: the parts that do not change, and the state that does."""

    model: Model
    task: Task[Any]
    plan: Plan
    run: RunFolder
    progress: Progress
    stop: StopRequest
    world: World = ALONE
    state: TrainState = field(init=False)
    step: Stepper = field(init=False)
    stage: Stage | None = field(init=False, default=None)
    train_batches: Batches = field(init=False)
    device_augment: DeviceAugment | None = field(init=False, default=None)
    val_batches: Batches = field(init=False)
    log: MetricsLog = field(init=False)
    checkpoints: Checkpoints = field(init=False)
    saved: tuple[float, int] = (0.0, -1)  # when and at which step the last checkpoint was written

    def __post_init__(self) -> None:
        recipe, model = self.task.recipe, self.model
        optimiser = make_optimiser(
            model,
            recipe.optimiser,
            self.plan.learning_rate,
            recipe.momentum,
            recipe.weight_decay,
            recipe.decay_biases,
            rates_of(model, recipe),
        )
        average = AveragedModel(model) if self.plan.ema_decay else None
        objective, weigh = self.task.objective(model)
        adapters = objective.adapters if isinstance(objective, Distilled) else None
        if adapters is not None:
            self.world.broadcast(adapters.parameters())
        for group in () if adapters is None else parameter_groups(adapters, recipe.weight_decay):
            optimiser.add_param_group(group)
        scale = LossScale() if recipe.precision == "fp16" else None
        self.state = TrainState(model, optimiser, average, adapters=adapters, scale=scale)
        network = Compiled(model, self.progress.say) if recipe.compile else model
        network = network if self.world.is_alone else Replica(network, self.world, recipe.compress)
        classes = len(self.task.dataset.classes)
        self.step = Stepper(model, objective, optimiser, recipe, self.plan, classes, network, scale, self.world, weigh)
        self.val_batches = self.task.judging_batches("val", model.preprocessing, self.plan.part_size, self.world)
        self.checkpoints = Checkpoints(self.run.path / "checkpoints")

    def resume(self) -> None:
        """Go on from the newest intact checkpoint; without one, write the first, so that a full disk shows now."""
        checkpoint, notes = newest_of_all(self.checkpoints, self.world)
        notes = (*self.task.notes(self.step.objective), *notes)
        for note in (*self.plan.notes, *self.run.notes, *notes):
            self.progress.say(note)
        self.saved = (time.monotonic(), -1)
        if checkpoint is None:
            self.run.log("started", {"step": 0, "plan": self.plan, "notes": notes})
            self._save()
            return
        self.state.restore(checkpoint)
        state = self.state
        self.saved = (time.monotonic(), state.step)
        self.run.log("resumed", {"step": state.step, "epochs": state.epoch, "notes": (*self.run.notes, *notes)})

    def run_epochs(self) -> None:
        """Train until the last epoch, or until patience is out."""
        state = self.state
        if self.log.note and state.step == 0:
            self.progress.say(self.log.note)
        self.progress.start("training", self.plan.total_steps, state.step)
        try:
            while not state.finished:
                self._train_epoch()
                self._evaluate_epoch()
        finally:
            self.progress.finish()

    def _train_epoch(self) -> None:
        """The steps of this epoch that are not done yet."""
        state = self.state
        if state.batch == self.plan.steps_per_epoch:
            return
        self._enter_stage()
        self._enter_phase()
        batches = self.train_batches.epoch(state.epoch, start_batch=state.batch)
        with closed_after(batches):
            while state.batch < self.plan.steps_per_epoch:
                if state.step == self.plan.head_steps:
                    self._enter_phase()
                self._one_step(batches)
                self._save_if_due()

    def _enter_phase(self) -> None:
        """Train the heads alone in the first `head_steps`, then everything."""
        enter_phase(self.model, self.state.optimiser, self.recipe, self.state.step < self.plan.head_steps)

    def _enter_stage(self) -> None:
        """What this epoch trains with. A new stage reads its images anew: those of the one before are let go."""
        preprocessing = self.model.preprocessing
        full = preprocessing.train_size or preprocessing.size
        stage = stage_at(self.recipe, self.state.epoch, self.plan.epochs, full)
        if stage == self.stage:
            return
        begins, self.stage = self.stage is None, stage
        self.train_batches = self.task.training_batches(preprocessing, self.plan, stage, self.world)
        bytes_come = self.train_batches.as_bytes
        augment = DeviceAugment(stage.augmentation, preprocessing, self.recipe.seed) if bytes_come else None
        self.device_augment = augment
        notes = self.model.regularise(stage.dropout, None)
        if stage.of > 1:
            for note in (*(notes if begins else ()), f"epoch {self.state.epoch + 1}: {stage}"):
                self.progress.say(note)

    def _one_step(self, iterator: Iterator[Batch]) -> None:
        state, began = self.state, time.perf_counter()
        images, labels, indices = next(iterator)
        waited = time.perf_counter() - began
        files = [str(self.task.dataset.train[i].path) for i in indices.tolist()]
        images = place(images, self.model)
        if self.device_augment is not None:
            images = self.device_augment(images, state.epoch, indices)
        try:
            result = self.step(state.step, images, labels, files)
        except NonFiniteError as error:
            self.run.log("not_finite", {"step": state.step, "message": str(error), "files": error.files})
            raise TrainingError(f"{error}; the last good state is {self._newest_name()}.") from None
        if not self.recipe.sync_norms:
            share_statistics(self.model, self.world)
        if state.average is not None:
            state.average.update(ramped_decay(state.step, self.plan.ema_decay))
        state.step += 1
        state.batch += 1
        seconds = time.perf_counter() - began
        state.sums.add(result, seconds, waited)
        state.seconds += seconds
        if state.step % max(1, self.plan.total_steps // LOGGED_STEPS) == 0:
            self.log.write("step", state.step, {"loss": result.loss, "learning_rate": result.learning_rate})
        best = f"  best {state.best.score:.1%}" if state.best else ""
        self.progress.advance(1, f"epoch {state.epoch + 1}/{self.plan.epochs}  loss {result.loss:.3f}{best}")

    def _evaluate_epoch(self) -> None:
        """Evaluate raw and averaged weights on the validation images; remember the best; begin the next epoch."""
        state, began = self.state, time.perf_counter()
        models = {"raw": self.model} if state.average is None else {"raw": self.model, "ema": state.average.model}
        if self.recipe.norms == "recalibrate" and state.step > self.plan.head_steps:
            recalibrate(list(models.values()), self.task.dataset.train, self.recipe, self._stop_if_asked)
        judged, batches = list(models.values()), self.val_batches
        found = self.task.evaluate_all(judged, batches, self._stop_if_asked, self.world, quick=True)
        state.seconds += time.perf_counter() - began
        improved = False
        for (source, model), each in zip(models.items(), found, strict=True):
            candidate = Best(state.step, state.epoch + 1, source, each.score, each.loss, {})
            if math.isfinite(each.loss) and candidate.is_better_than(state.best):
                candidate.tensors = copied(model)
                state.best, improved = candidate, True
        state.stale = 0 if improved else state.stale + 1
        self._log_epoch(dict(zip(models, found, strict=True)))
        state.epoch, state.batch, state.sums = state.epoch + 1, 0, EpochSums()
        out_of_patience = 0 < self.recipe.patience <= state.stale
        state.finished = state.epoch == self.plan.epochs or out_of_patience
        if out_of_patience and state.epoch < self.plan.epochs:
            self.progress.say(f"stopped after epoch {state.epoch}: no better result for {state.stale} epochs")
        if state.finished:
            self._save()
        else:
            self._save_if_due()

    def _log_epoch(self, found: Mapping[str, Judged]) -> None:
        """One line for the epoch that ends; both raw and averaged weights are in it."""
        state, sums = self.state, self.state.sums
        # The slowest to get its images holds up all others.
        waiting = self.world.most(sums.waited / sums.seconds if sums.seconds else 0.0)
        bottleneck = "data" if waiting > DATA_BOUND else "computing"
        fields: dict[str, object] = {
            "epoch": state.epoch + 1,
            "learning_rate": self.optimiser_rate,
            "train": self.task.figures(sums),
            "images_per_second": sums.images / sums.seconds if sums.seconds else 0.0,
            "data_wait": waiting,
            "bottleneck": bottleneck,
            "seconds": state.seconds,
        }
        fields |= {name: {"loss": each.loss, **each.rates()} for name, each in found.items()}
        skipped = ""
        if state.scale is not None:
            fields |= {"loss_scale": state.scale.value, "skipped_steps": state.scale.skipped}
            skipped = f", {state.scale.skipped} steps skipped so far" if state.scale.skipped else ""
        self.log.write("epoch", state.step, fields)
        figures = "  ".join(f"{name} {each.said()}" for name, each in found.items())
        self.progress.say(
            f"epoch {state.epoch + 1}/{self.plan.epochs}: loss {sums.mean():.3f}, "
            f"validation {figures}, {fields['images_per_second']:.0f} images/s, "
            f"{waiting:.0%} of the time waiting for data: {bottleneck} is the bottleneck{skipped}"
        )

    @property
    def recipe(self) -> Recipe:
        """How it trains."""
        return self.task.recipe

    @property
    def optimiser_rate(self) -> float:
        """The learning rate of the last step."""
        return schedule_of(self.recipe, self.plan).rate(max(0, self.state.step - 1))

    def _save_if_due(self) -> None:
        """Stop if asked; else write a checkpoint when enough time or steps have passed."""
        self._stop_if_asked()
        saved_at, saved_step = self.saved
        steps = self.recipe.checkpoint_steps
        due = steps > 0 and self.state.step >= saved_step + steps
        if due or time.monotonic() - saved_at >= self.recipe.checkpoint_seconds:
            self._save()

    def _stop_if_asked(self) -> None:
        if self.world.any(self.stop.asked):
            self._save()
            self.run.update(state="interrupted")
            self.progress.say(f"stopped at step {self.state.step}; the same command goes on from there")
            self.world.barrier()  # whoever ends first makes torchrun end the others, and one is still writing
            raise KeyboardInterrupt

    def _save(self) -> None:
        state, best = self.state, self.state.best
        if self.run.writes:
            weights, step = (None, 0) if best is None else (best.tensors, best.step)
            self.checkpoints.write(state.step, state.tensors(), state.values(), weights, step)
        self.saved = (time.monotonic(), state.step)

    def _newest_name(self) -> str:
        return f"the checkpoint of step {self.saved[1]} in {self.checkpoints.folder}"


@contextlib.contextmanager
def closed_after(batches: Iterator[Batch]) -> Generator[None]:
    """Stop the threads that read ahead when the block ends, however it ends."""
    try:
        yield
    finally:
        if isinstance(batches, Generator):
            batches.close()
