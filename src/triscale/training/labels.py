"""Learning labels, one or several an image: what is special to it in a training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from triscale.data.balance import balance_note, training_weights
from triscale.data.dataset import Dataset
from triscale.data.loader import Batches
from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.spec.preprocessing import Preprocessing
from triscale.training.answer import Objective
from triscale.training.calibration import Calibration, calibrate
from triscale.training.distillation import Distilled
from triscale.training.evaluate import AnyEvaluation, Evaluation, evaluate_all
from triscale.training.objective import objective_of
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe
from triscale.training.stage import Stage
from triscale.training.state import EpochSums
from triscale.training.task import Split, Told
from triscale.training.world import World


@dataclass(frozen=True, slots=True, eq=False)
class LabelTask:
    """See `Task`. class_weights: what an image of each class weighs, (classes,), where the recipe balances."""

    dataset: Dataset
    recipe: Recipe
    class_weights: np.ndarray

    @property
    def score_name(self) -> str:
        """Top-1, or mAP with several labels an image."""
        return "map" if self.dataset.several else "top1"

    def check(self, model: Model) -> None:
        """See `Task.check`."""
        if model.outputs != len(self.dataset.classes):
            found = f"{model.outputs} classes" if model.outputs else "no classifier"
            raise TrainingError(
                f"{model.name} has {found}, the data has {len(self.dataset.classes)}; "
                f"make the model with num_classes={len(self.dataset.classes)}."
            )

    def objective(self, model: Model) -> tuple[Objective, None]:
        """See `Task.objective`; every image counts as one."""
        return objective_of(self.recipe, self.dataset, model, self.class_weights), None

    def notes(self, objective: Objective) -> tuple[str, ...]:
        """On a teacher, and on classes that weigh more."""
        said = (objective.note,) if isinstance(objective, Distilled) else ()
        balanced = self.recipe.balance != "none"
        return (*said, balance_note(self.class_weights, self.dataset.classes)) if balanced else said

    def training_batches(self, preprocessing: Preprocessing, plan: Plan, stage: Stage, world: World) -> Batches:
        """See `Task.training_batches`."""
        return Batches(
            self.dataset.train,
            preprocessing,
            plan.batch_size,
            augmentation=stage.augmentation,
            seed=self.recipe.seed,
            workers=world.workers,
            part=world.part,
            class_weights=self.class_weights if self.recipe.balance == "sampling" else None,
            size=stage.size,
            as_bytes=self.recipe.augment_on == "device",
            target_width=self.dataset.target_width,
        )

    def judging_batches(self, split: Split, preprocessing: Preprocessing, batch_size: int, world: World) -> Batches:
        """See `Task.judging_batches`."""
        return Batches(
            self.dataset.val if split == "val" else self.dataset.test,
            preprocessing,
            batch_size,
            workers=world.workers,
            part=world.part,
            target_width=self.dataset.target_width,
        )

    def evaluate_all(
        self,
        models: Sequence[Model],
        batches: Batches,
        each_batch: Callable[[], None] | None,
        world: World,
        quick: bool = False,
    ) -> list[AnyEvaluation]:
        """See `Task.evaluate_all`."""
        epoch = batches.epoch(0)
        with contextlib.closing(epoch):
            return evaluate_all(models, epoch, self.dataset.classes, each_batch, world)

    def figures(self, sums: EpochSums) -> dict[str, float]:
        """Mean loss, and how many images were right as they were shown."""
        return {"loss": sums.mean(), "top1": sums.mean("top1")}

    def on_terms_of(self, val: AnyEvaluation, test: AnyEvaluation) -> AnyEvaluation:
        """See `Task.on_terms_of`: nothing is chosen here."""
        return test

    def told(self, shown: AnyEvaluation, val: AnyEvaluation) -> Told:
        """See `Task.told`: how sure the network may be, and a temperature that makes it honest."""
        on = None if shown is val else (val.logits, val.labels)
        calibration = calibrate(shown.logits, shown.labels, on)
        card = {
            "several": self.dataset.several,
            "temperature": calibration.temperature if calibration.told else None,
        }
        return Told(calibration.metrics(), details(shown, calibration), card, calibration)


def label_task(dataset: Dataset, recipe: Recipe) -> LabelTask:
    """The task of images with labels. Raises: DataError for a label outside the classes, in any split."""
    return LabelTask(dataset, recipe, training_weights(dataset))


def details(shown: AnyEvaluation, calibration: Calibration) -> Mapping[str, Any]:
    """What is too much for `metrics.json`, as plain values: every class, what was taken for what, reliability."""
    found: dict[str, Any] = {"images": shown.count, "classes": [asdict(each) for each in shown.classes]}
    if isinstance(shown, Evaluation):
        found["confusion"] = shown.confusion.tolist()
    found["reliability"] = [asdict(each) for each in calibration.bins]
    found["reliability_scaled"] = [asdict(each) for each in calibration.bins_scaled]
    return found
