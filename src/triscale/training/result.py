"""What training leaves behind: the best weights as a file, their figures, and TrainResult."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import torch

from triscale.data.dataset import Dataset, Sample
from triscale.data.loader import Batches
from triscale.models.files import save
from triscale.models.model import Model
from triscale.training.calibration import Calibration, calibrate
from triscale.training.evaluate import AnyEvaluation, Evaluation, evaluate
from triscale.training.evaluate_several import LabelsEvaluation
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
    calibration: of the same images as `evaluation`.
    """

    model: M
    source: str
    best_epoch: int
    epochs: int
    val: AnyEvaluation
    test: AnyEvaluation | None
    seconds: float
    plan: Plan
    metrics: dict[str, Any]
    calibration: Calibration

    @property
    def evaluation(self) -> AnyEvaluation:
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
    """Load the best weights into the model, evaluate them, and write the model and its figures."""
    with torch.no_grad():
        for key, value in model.state_dict().items():
            value.copy_(best.tensors[key])
    model.eval()
    val = _evaluate(model, dataset, dataset.val, plan, world)
    test = _evaluate(model, dataset, dataset.test, plan, world) if dataset.test else None
    shown = val if test is None else test
    calibration = calibrate(shown.logits, shown.labels, None if test is None else (val.logits, val.labels))
    metrics = _metrics(model, "val" if test is None else "test", shown, val, state, best) | calibration.metrics()
    model.card = replace(
        model.card,
        classes=dataset.classes,
        origin=f"trained by triscale, beginning with {model.card.origin}"
        if model.card.origin
        else "trained by triscale",
        metrics=shown.rates(),
        several=dataset.several,
        temperature=calibration.temperature if calibration.told else None,
    )
    if run.writes:
        save(model, run.path / "model.safetensors")
    run.write_json("evaluation.json", details(shown, calibration))
    run.write_json("metrics.json", metrics)
    run.update(shipped=run.record.shipped or "model.safetensors")
    return TrainResult(
        model, best.source, best.epoch, state.epoch, val, test, state.seconds, plan, metrics, calibration
    )


def details(shown: AnyEvaluation, calibration: Calibration) -> dict[str, Any]:
    """What is too much for `metrics.json`, as plain values: every class, what was taken for what, reliability."""
    found: dict[str, Any] = {"images": shown.count, "classes": [asdict(each) for each in shown.classes]}
    if isinstance(shown, Evaluation):
        found["confusion"] = shown.confusion.tolist()
    found["reliability"] = [asdict(each) for each in calibration.bins]
    found["reliability_scaled"] = [asdict(each) for each in calibration.bins_scaled]
    return found


def _evaluate(model: Model, dataset: Dataset, samples: tuple[Sample, ...], plan: Plan, world: World) -> AnyEvaluation:
    batches = Batches(
        samples,
        model.preprocessing,
        plan.part_size,
        workers=world.workers,
        part=world.part,
        target_width=dataset.target_width,
    )
    return evaluate(model, batches.epoch(0), dataset.classes, world)


def _metrics(
    model: Model, split: str, shown: AnyEvaluation, val: AnyEvaluation, state: TrainState, best: Best
) -> dict[str, Any]:
    params, macs = model.costs(model.preprocessing.size)
    return {
        "split": split,
        **shown.metrics(),
        "images": shown.count,
        "val_map" if isinstance(val, LabelsEvaluation) else "val_top1": val.score,
        "weights": best.source,
        "best_epoch": best.epoch,
        "epochs": state.epoch,
        "seconds": state.seconds,
        "params": params,
        "macs": macs,
    }
