"""Learning boxes: what is special to it in a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from triscale.data.augment import Augmentation
from triscale.data.detection.dataset import BoxDataset
from triscale.data.loader import Batches
from triscale.detection.detector import DetectorNet
from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.spec.preprocessing import Preprocessing
from triscale.training.answer import Objective
from triscale.training.detection.coco import require_coco
from triscale.training.detection.evaluate import evaluate_detectors
from triscale.training.detection.evaluation import DetectionEvaluation
from triscale.training.detection.objective import DetectionObjective
from triscale.training.detection.settings import DetectionSettings
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe
from triscale.training.stage import Stage
from triscale.training.state import EpochSums
from triscale.training.task import Split, Told
from triscale.training.world import World

# What mixes or weighs labels, by its name in the recipe, and what it is where it does nothing.
_FOR_LABELS = {"mixup": 0.0, "cutmix": 0.0, "distillation": None, "balance": "none"}
_GROWING_FOR_LABELS = ("mixup", "cutmix", "randaugment")  # of progressive learning, None where they do nothing


@dataclass(frozen=True, slots=True)
class BoxTask:
    """See `Task`."""

    dataset: BoxDataset
    recipe: Recipe

    @property
    def score_name(self) -> str:
        """COCO's mAP."""
        return "map"

    @property
    def settings(self) -> DetectionSettings:
        """What the recipe says of detectors."""
        return self.recipe.detection or DetectionSettings()

    def check(self, model: Model) -> None:
        """See `Task.check`."""
        require_coco()
        _detector(model)
        classes = len(self.dataset.classes)
        if model.outputs != classes:
            raise TrainingError(
                f"{model.name} tells {model.outputs} classes, the data has {classes}; "
                f"make the model with num_classes={classes}."
            )
        given = {name: (getattr(self.recipe, name), nothing) for name, nothing in _FOR_LABELS.items()}
        growing = self.recipe.progressive
        if growing is not None:
            given |= {f"progressive.{name}": (getattr(growing, name), None) for name in _GROWING_FOR_LABELS}
        for name, (value, nothing) in given.items():
            if value != nothing:
                shown = f" {value!r}" if isinstance(value, (float, str, tuple)) else ""
                raise TrainingError(
                    f"Recipe.{name}{shown} is for images with labels, and {self.dataset.root} has boxes; leave it out."
                )
        require_objects(self.dataset)
        for sample in (*self.dataset.train, *self.dataset.val, *self.dataset.test):
            wrong = [box.label for box in sample.boxes if not 0 <= box.label < classes]
            if wrong:
                raise TrainingError(
                    f"{sample.path}: a box has class {wrong[0]}, and there are {classes}; "
                    f"a label is a position in them."
                )

    def objective(self, model: Model) -> tuple[Objective, Callable[..., tuple[Any, float]]]:
        """See `Task.objective`; images count as they have positives."""
        made = DetectionObjective(self.settings.loss, _detector(model))
        return made, made.weigh

    def notes(self, objective: Objective) -> tuple[str, ...]:
        """On images without objects, of which only what is nowhere is learnt, and on what boxes have a field of."""
        said, own = [], self.recipe
        if empty := sum(not sample.boxes for sample in self.dataset.train):
            said.append(f"{empty} of {len(self.dataset.train)} training images have no object")
        if own.label_smoothing:
            said.append(
                f"label_smoothing {own.label_smoothing:g} is for images with labels and does nothing here; "
                f"detection.loss.smoothing is for boxes"
            )
        plain = Augmentation()
        if replace(own.augmentation, flip=plain.flip, flip_vertical=plain.flip_vertical) != plain:
            said.append(
                "augmentation is for images with labels and does nothing here; detection.augmentation is for boxes"
            )
        return tuple(said)

    def training_batches(self, preprocessing: Preprocessing, plan: Plan, stage: Stage, world: World) -> Batches:
        """See `Task.training_batches`."""
        return Batches(
            self.dataset.train,
            preprocessing,
            plan.batch_size,
            augmentation=self.settings.augmentation,
            seed=self.recipe.seed,
            workers=world.workers,
            part=world.part,
            size=stage.size,
        )

    def judging_batches(self, split: Split, preprocessing: Preprocessing, batch_size: int, world: World) -> Batches:
        """See `Task.judging_batches`."""
        samples = self.dataset.val if split == "val" else self.dataset.test
        return Batches(samples, preprocessing, batch_size, workers=world.workers, part=world.part)

    def evaluate_all(
        self,
        models: Sequence[Model],
        batches: Batches,
        each_batch: Callable[[], None] | None,
        world: World,
        quick: bool = False,
    ) -> list[DetectionEvaluation]:
        """See `Task.evaluate_all`."""
        detectors = [_detector(model) for model in models]
        objective = DetectionObjective(self.settings.loss, detectors[0])
        return evaluate_detectors(detectors, batches, objective, self.dataset.classes, each_batch, world, quick)

    def figures(self, sums: EpochSums) -> dict[str, float]:
        """Mean loss and its two parts, and how many anchors of an image have an object."""
        parts = {name: sums.mean(name) for name in ("class_loss", "box_loss")}
        return {"loss": sums.mean(), **parts, "positives": sums.sums.get("positives", 0.0) / max(1, sums.images)}

    def on_terms_of(self, val: DetectionEvaluation, test: DetectionEvaluation) -> DetectionEvaluation:
        """See `Task.on_terms_of`: the score from which boxes count is the one that is best on validation images."""
        return test if val.details is None else test.at(val.details.threshold)

    def told(self, shown: DetectionEvaluation, val: DetectionEvaluation) -> Told:
        """See `Task.told`: every class, what was taken for what, and the kinds of mistakes."""
        record = {} if shown.details is None else shown.details.record()
        return Told({}, {"images": shown.count, "objects": shown.objects, **record}, {})


def require_objects(dataset: BoxDataset) -> None:
    """Raises: TrainingError for a split that has images and no object."""
    for split in ("train", "val", "test"):
        samples = getattr(dataset, split)
        if samples and not any(not box.crowd for sample in samples for box in sample.boxes):
            raise TrainingError(
                f"{dataset.root}: none of its {len(samples)} {split} images has an object, so nothing could be "
                f"{'learnt' if split == 'train' else 'judged'}; choose other images for it."
            )


def _detector(model: Model) -> DetectorNet:
    if not isinstance(model, DetectorNet):
        raise TrainingError(f"{model.name} is no detector, and the data has boxes; make one with create_detector.")
    return model
