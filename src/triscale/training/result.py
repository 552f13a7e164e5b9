"""What training leaves behind: the best weights as a file, their figures, and TrainResult."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from triscale.models.files import save
from triscale.models.model import Model
from triscale.training.calibration import Calibration
from triscale.training.plan import Plan
from triscale.training.run import RunFolder
from triscale.training.state import Best, TrainState
from triscale.training.task import Judged, Split, Task
from triscale.training.world import ALONE, World

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class TrainResult(Generic[M]):
    """A finished training.

    model: with the best weights, in evaluation mode. source: whether those are the "raw" weights or their average
    ("ema"). best_epoch counts from 1; epochs: how many were trained. val, test: the best weights' evaluation; test is
    None where the data has no test split. seconds: of training. metrics: what `metrics.json` says.
    calibration: of the same images as `evaluation`; None of a detector.
    """

    model: M
    source: str
    best_epoch: int
    epochs: int
    val: Judged
    test: Judged | None
    seconds: float
    plan: Plan
    metrics: dict[str, Any]
    calibration: Calibration | None

    @property
    def evaluation(self) -> Judged:
        """On the test split where there is one, else on the validation split."""
        return self.val if self.test is None else self.test


def ship(
    model: M,
    task: Task[Any],
    plan: Plan,
    run: RunFolder,
    state: TrainState,
    best: Best,
    world: World = ALONE,
) -> TrainResult[M]:
    """Load the best weights into the model, evaluate them, and write the model and its figures."""
    with torch.no_grad():
        for key, value in model.state_dict().items():
            value.copy_(best.tensors[key])
    model.eval()
    dataset = task.dataset
    val = _evaluate(model, task, "val", plan, world)
    test = task.on_terms_of(val, _evaluate(model, task, "test", plan, world)) if dataset.test else None
    shown = val if test is None else test
    told = task.told(shown, val)
    split = "val" if test is None else "test"
    metrics = _metrics(model, split, shown, {f"val_{task.score_name}": val.score}, state, best) | dict(told.metrics)
    model.card = replace(
        model.card,
        classes=dataset.classes,
        origin=f"trained by triscale, beginning with {model.card.origin}"
        if model.card.origin
        else "trained by triscale",
        metrics=shown.rates(),
        **told.card,
    )
    if run.writes:
        save(model, run.path / "model.safetensors")
    run.write_json("evaluation.json", told.details)
    run.write_json("metrics.json", metrics)
    run.update(shipped=run.record.shipped or "model.safetensors")
    return TrainResult(
        model, best.source, best.epoch, state.epoch, val, test, state.seconds, plan, metrics, told.calibration
    )


def _evaluate(model: Model, task: Task[Any], split: Split, plan: Plan, world: World) -> Judged:
    batches = task.judging_batches(split, model.preprocessing, plan.part_size, world)
    return task.evaluate_all([model], batches, None, world)[0]


def _metrics(
    model: Model, split: str, shown: Judged, chosen_by: dict[str, float], state: TrainState, best: Best
) -> dict[str, Any]:
    params, macs = model.costs(model.preprocessing.size)
    return {
        "split": split,
        **shown.metrics(),
        "images": shown.count,
        **chosen_by,
        "weights": best.source,
        "best_epoch": best.epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "params": params,
        "macs": macs,
    }
