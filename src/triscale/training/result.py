"""What training leaves behind: the best weights as a file, their figures, and TrainResult."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from triscale.data.dataset import Dataset, Sample
from triscale.data.loader import Batches
from triscale.models.files import save
from triscale.models.model import Model
from triscale.training.evaluate import Evaluation, evaluate
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe
from triscale.training.run import RunFolder
from triscale.training.state import Best, TrainState
from triscale.training.world import ALONE, World

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class TrainResult(Generic[M]):
    """A finished training.

    model: with the best weights, in evaluation mode. source: whether those are the "raw" weights or their average
    ("ema"). best_epoch counts from 1; epochs: how many were trained. val, test: the best weights' evaluation; test is
    None where the data has no test split. seconds: of training. metrics: what `metrics.json` says.
    """

    model: M
    source: str
    best_epoch: int
    epochs: int
    val: Evaluation
    test: Evaluation | None
    seconds: float
    plan: Plan
    metrics: dict[str, Any]

    @property
    def evaluation(self) -> Evaluation:
        """On the test split where there is one, else on the validation split."""
        return self.val if self.test is None else self.test


def ship(
    model: M,
    dataset: Dataset,
    recipe: Recipe,
    plan: Plan,
    run: RunFolder,
    state: TrainState,
    best: Best,
    world: World = ALONE,
) -> TrainResult[M]:
    """Load the best weights into the model, evaluate them, and write model.safetensors and metrics.json."""
    with torch.no_grad():
        for key, value in model.state_dict().items():
            value.copy_(best.tensors[key])
    model.eval()
    val = _evaluate(model, dataset, dataset.val, plan, world)
    test = _evaluate(model, dataset, dataset.test, plan, world) if dataset.test else None
    shown = val if test is None else test
    metrics = _metrics(model, "val" if test is None else "test", shown, val, state, best)
    model.card = replace(
        model.card,
        classes=dataset.classes,
        origin=f"trained by triscale, beginning with {model.card.origin}"
        if model.card.origin
        else "trained by triscale",
        metrics={"top1": shown.top1, "top5": shown.top5},
    )
    if run.writes:
        save(model, run.path / "model.safetensors")
    run.write_json("metrics.json", metrics)
    run.update(shipped=run.record.shipped or "model.safetensors")
    return TrainResult(model, best.source, best.epoch, state.epoch, val, test, state.seconds, plan, metrics)


def _evaluate(model: Model, dataset: Dataset, samples: tuple[Sample, ...], plan: Plan, world: World) -> Evaluation:
    batches = Batches(samples, model.preprocessing, plan.batch_size, workers=world.workers, part=world.part)
    return evaluate(model, batches.epoch(0), dataset.classes, world)


def _metrics(
    model: Model, split: str, shown: Evaluation, val: Evaluation, state: TrainState, best: Best
) -> dict[str, Any]:
    params, macs = model.costs(model.preprocessing.size)
    return {
        "split": split,
        "top1": shown.top1,
        "top5": shown.top5,
        "loss": shown.loss,
        "per_class": shown.per_class,
        "images": shown.count,
        "val_top1": val.top1,
        "weights": best.source,
        "best_epoch": best.epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "params": params,
        "macs": macs,
    }
