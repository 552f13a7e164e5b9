"""Plan: what a recipe comes to on one data set, with all that was scaled or derived said aloud."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from triscale.errors import TrainingError
from triscale.training.recipe import Recipe
from triscale.training.schedule import Schedule

REFERENCE_BATCH = 256
FAR_FEWER = 0.1  # of the images that a recipe was made for


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of one training: a recipe applied to so many images.

    accumulate: parts in which a batch goes through the network.
    head_steps: at the beginning, in which only the classifier trains. learning_rate: peak, scaled to the batch.
    notes: what was derived or scaled, for people.
    """

    batch_size: int
    accumulate: int
    epochs: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    learning_rate: float
    ema_decay: float
    head_steps: int = 0
    notes: tuple[str, ...] = ()

    @property
    def part_size(self) -> int:
        """The most images that go through the network at once."""
        return math.ceil(self.batch_size / self.accumulate)


def plan_of(recipe: Recipe, images: int) -> Plan:
    """What a recipe comes to on so many training images. Raises: TrainingError when there are none."""
    if images < 1:
        raise TrainingError("there are no training images; add some, or make the validation share smaller.")
    batch = min(recipe.batch_size, images)
    steps_per_epoch = images // batch
    epochs = max(recipe.epochs, math.ceil(recipe.least_steps / steps_per_epoch))
    total = steps_per_epoch * epochs
    # Where epochs were added, each is short; the warm-up grows with them, and what comes before it.
    head = min(round(recipe.head_epochs * steps_per_epoch * epochs / recipe.epochs), total)
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch * epochs / recipe.epochs), (total - head) // 2)
    ratio = batch / REFERENCE_BATCH
    factor = ratio**0.5 if recipe.optimiser == "adamw" else ratio
    decay = derived_decay(total) if recipe.ema_decay is None else recipe.ema_decay
    plan = Plan(
        batch_size=batch,
        accumulate=min(recipe.accumulate, batch),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        warmup_steps=warmup,
        learning_rate=recipe.learning_rate * factor,
        ema_decay=decay,
        head_steps=head,
    )
    return replace(plan, notes=tuple(_notes(recipe, images, plan)))


def schedule_of(recipe: Recipe, plan: Plan) -> Schedule:
    """The learning rate of every step. Where epochs were added, each is short, and a stair takes as many more."""
    return Schedule(
        peak=plan.learning_rate,
        warmup_steps=plan.warmup_steps,
        total_steps=plan.total_steps - plan.head_steps,
        kind=recipe.schedule,
        final_share=recipe.final_rate,
        decay_rate=recipe.decay_rate,
        decay_steps=recipe.decay_epochs * plan.steps_per_epoch * plan.epochs / recipe.epochs,
        begins=plan.head_steps,
    )


def _notes(recipe: Recipe, images: int, plan: Plan) -> list[str]:
    batch, epochs, total = plan.batch_size, plan.epochs, plan.total_steps
    law = "square root of batch" if recipe.optimiser == "adamw" else "batch"
    notes = [
        f"learning rate {plan.learning_rate:.3g}: {recipe.learning_rate:g} at a batch of {REFERENCE_BATCH}, "
        f"scaled by the {law} to {batch}"
    ]
    if plan.accumulate > 1:
        notes.append(
            f"each step of {batch} images goes through the network in {plan.accumulate} parts; BatchNorm sees a part"
        )
    if recipe.schedule == "staircase":
        last = schedule_of(recipe, plan).rate(total - 1)
        every = recipe.decay_epochs * epochs / recipe.epochs
        notes.append(f"times {recipe.decay_rate:g} every {every:.3g} epochs: the last learning rate is {last:.3g}")
    wanted = round(recipe.warmup_epochs * plan.steps_per_epoch * epochs / recipe.epochs)
    if plan.warmup_steps < wanted and plan.head_steps < total:
        half = "half of all" if not plan.head_steps else "half of those after the classifier's"
        notes.append(
            f"the warm-up ends after {plan.warmup_steps} steps, {half}, before its {recipe.warmup_epochs:g} epochs"
        )
    if batch < recipe.batch_size:
        notes.append(f"batch {batch} instead of {recipe.batch_size}: there are only {images} training images")
    if plan.ema_decay and recipe.ema_decay is None:
        notes.append(f"EMA decay {plan.ema_decay:.5g}: an average over about a tenth of the {total} steps")
    if epochs > recipe.epochs:
        notes.append(f"{epochs} epochs instead of {recipe.epochs}: {images} images make few steps, {total} are wanted")
    if plan.head_steps:
        share = plan.head_steps / plan.steps_per_epoch
        said = "1 epoch" if share == 1 else f"{share:.3g} epochs"
        then = "then all parts, with the schedule from its beginning" if plan.head_steps < total else "to the end"
        alone = "the classifier trains" if recipe.detection is None else "pyramid and heads train"
        notes.append(f"only {alone} for {plan.head_steps} steps ({said}), {then}")
    if recipe.norms == "recalibrate":
        seen = math.prod(recalibrating_batches(recipe, images))
        notes.append(f"BatchNorm statistics of what is evaluated and saved: anew over {seen:,} training images")
    growing = recipe.progressive
    if growing is not None and epochs < growing.stages:
        notes.append(f"the first {growing.stages - epochs} of {growing.stages} stages are left out: {epochs} epochs")
    if images < FAR_FEWER * recipe.reference_images:
        there = recipe.epochs * max(1, recipe.reference_images // recipe.batch_size)
        notes.append(
            f"this recipe was made for {recipe.reference_images:,} images, where {recipe.epochs} epochs are {there:,} "
            f"steps; {images:,} images give {total:,}: do not expect its published accuracy, "
            f"{'small-data' if recipe.detection is None else 'detection'} is for few images"
        )
    return notes


def recalibrating_batches(recipe: Recipe, images: int) -> tuple[int, int]:
    """(how many, images in each) of the batches over which BatchNorm statistics are computed anew.

    They are whole, at least one, and as large as what goes through the network at once in training.
    """
    batch = math.ceil(min(recipe.batch_size, images) / recipe.accumulate)
    return max(1, min(recipe.norm_images, images) // batch), batch


def derived_decay(total_steps: int) -> float:
    """EMA decay that averages over about a tenth of all steps, between 0.9 and 0.9999."""
    return min(0.9999, max(0.9, 1 - 10 / max(1, total_steps)))
