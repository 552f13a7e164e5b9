"""Plan: what a recipe comes to on one data set, with all that was scaled or derived said aloud."""

from __future__ import annotations

import math
from dataclasses import dataclass

from triscale.errors import TrainingError
from triscale.training.recipe import Recipe

REFERENCE_BATCH = 256


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of one training: a recipe applied to so many images.

    accumulate: parts in which a batch goes through the network.
    learning_rate: peak, scaled to the batch. notes: what was derived or scaled, for people.
    """

    batch_size: int
    accumulate: int
    epochs: int
    steps_per_epoch: int
    total_steps: int
    warmup_steps: int
    learning_rate: float
    ema_decay: float
    notes: tuple[str, ...]

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
    # Where epochs were added, each is short; the warm-up grows with them.
    warmup = min(round(recipe.warmup_epochs * steps_per_epoch * epochs / recipe.epochs), total // 2)
    ratio = batch / REFERENCE_BATCH
    factor = ratio**0.5 if recipe.optimiser == "adamw" else ratio
    decay = derived_decay(total) if recipe.ema_decay is None else recipe.ema_decay
    return Plan(
        batch_size=batch,
        accumulate=min(recipe.accumulate, batch),
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        warmup_steps=warmup,
        learning_rate=recipe.learning_rate * factor,
        ema_decay=decay,
        notes=tuple(_notes(recipe, images, batch, factor, epochs, total, decay)),
    )


def _notes(recipe: Recipe, images: int, batch: int, factor: float, epochs: int, total: int, decay: float) -> list[str]:
    law = "square root of batch" if recipe.optimiser == "adamw" else "batch"
    notes = [
        f"learning rate {recipe.learning_rate * factor:.3g}: {recipe.learning_rate:g} at a batch of {REFERENCE_BATCH}, "
        f"scaled by the {law} to {batch}"
    ]
    if recipe.accumulate > 1:
        parts = min(recipe.accumulate, batch)
        notes.append(f"each step of {batch} images goes through the network in {parts} parts; BatchNorm sees a part")
    if batch < recipe.batch_size:
        notes.append(f"batch {batch} instead of {recipe.batch_size}: there are only {images} training images")
    if decay and recipe.ema_decay is None:
        notes.append(f"EMA decay {decay:.5g}: an average over about a tenth of the {total} steps")
    if epochs > recipe.epochs:
        notes.append(f"{epochs} epochs instead of {recipe.epochs}: {images} images make few steps, {total} are wanted")
    return notes


def derived_decay(total_steps: int) -> float:
    """EMA decay that averages over about a tenth of all steps, between 0.9 and 0.9999."""
    return min(0.9999, max(0.9, 1 - 10 / max(1, total_steps)))
