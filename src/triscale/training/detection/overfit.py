"""`--overfit N`: can a few images be learnt at all? Tells faults of the data from those of training.

A detector that cannot find in N images what it was shown in the same N images a hundred times has been shown boxes that
do not go with the pixels. But it would learn by heart where the boxes of each image lie, right or wrong, from what is
around them. So every object is moved, mirrored and made larger or smaller by itself, with what is in its box and no
more, among pieces that are in no box: see `collage`. And since pixels of any box can be learnt by heart too, what was
learnt must tell objects of other images of the set from pieces of no box, whatever their class: else it does not count.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from triscale.data.detection.collage import Collages, collages
from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.data.detection.items import PADDING
from triscale.data.detection.said import BoxFinding
from triscale.detection.detect import detect
from triscale.detection.detections import Detections
from triscale.detection.detector import DetectorNet
from triscale.detection.losses import DetectionLoss
from triscale.errors import TrainingError
from triscale.training.detection.coco import require_coco
from triscale.training.detection.evaluation import score_detections
from triscale.training.detection.objective import DetectionObjective
from triscale.training.detection.settings import DetectionSettings
from triscale.training.evaluate import place
from triscale.training.optim import make_optimiser
from triscale.training.plan import Plan, plan_of
from triscale.training.prepare import prepared, training_mode
from triscale.training.progress import Progress, SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.step import Stepper

LEARNT, BROKEN = 0.9, 0.5  # mAP50 from which the images were learnt, and below which the data is to be looked at
STEPS = 480
LOOKED_AT = 60  # steps from one score to the next: what is learnt early ends early
VIEWS = 3  # batches that are scored, which are never trained on
MOST = 64  # images that are learnt: all of them are one batch
OTHERS = 16  # images of the set that are not trained on, at most
BY_HEART = 0.5  # AP50 of their objects, as one class, below which the N images were learnt by heart only
ALPHA = 0.4  # of the focal loss: objects count for more, and so their classes are learnt sooner
SCORED_FROM = 10**6  # their numbers
LEARNING_RATE = 9e-3


@dataclass(frozen=True, slots=True)
class Overfit:
    """What came of it.

    images, objects: that were learnt. steps, seconds.
    seen: mAP50 on collages of the same images that it was not trained on. unseen: AP50 on those of other images of the
        set, all classes as one; None where there are no others.
    findings: of the data check.
    """

    images: int
    objects: int
    seen: float
    unseen: float | None
    steps: int
    seconds: float
    findings: tuple[BoxFinding, ...]

    @property
    def map50(self) -> float:
        """The score: what was found again in the images, unless it was only learnt by heart."""
        by_heart = self.unseen is not None and self.unseen < BY_HEART
        return min(self.seen, self.unseen) if by_heart and self.unseen is not None else self.seen

    @property
    def learnt(self) -> bool:
        """Whether data and training work together as they should."""
        return self.map50 >= LEARNT

    @property
    def broken(self) -> bool:
        """Whether the data is to be looked at before anything else."""
        return self.map50 < BROKEN

    def verdict(self) -> str:
        """What to do, for people; it follows from the score and the data check alone."""
        score = f"mAP50 {self.seen:.2f} on the {self.images} images it was trained on"
        if self.map50 < self.seen:
            score += (
                f", by heart: objects of other images are not told from what is beside them (AP50 {self.map50:.2f})"
            )
        if self.learnt:
            found = _counted(self.findings)
            return f"{score}: they can be learnt" + (f"; the data check found {found} all the same" if found else "")
        if not self.broken:
            return (
                f"{score}: learnt in part; objects may be too small for the network's input or the anchors (`triscale "
                f"data anchors`), or some labels wrong (`triscale data check`)"
            )
        return f"{score}: look at the data. Likeliest: {likeliest(self.findings)}"


class _Cause(NamedTuple):
    """kinds: of findings that show it. said: what it is."""

    kinds: tuple[str, ...]
    said: str


# From the surest sign to the weakest.
_CAUSES = (
    _Cause(("wrong-form", "normalised", "pixels"), "boxes are read in another form than they were written in"),
    _Cause(("contradiction",), "the same pixels have different classes or boxes"),
    _Cause(("outside", "no-area", "wrong-size"), "boxes do not fit their images: another form, or another image's"),
    _Cause(("unknown-image", "missing", "duplicate-id"), "records and images do not belong together"),
    _Cause(("tiny",), "objects are too small to be seen"),
)
# What no check can see: such boxes are as good as any, only not of what is in them.
UNSEEN = (
    "boxes lie where their objects are not (each image may have another image's boxes, or x and y or width and height "
    "are swapped); the data check found nothing that says so: look at some, `triscale data check DATA --draw FOLDER`"
)


def likeliest(findings: Sequence[BoxFinding]) -> str:
    """The likeliest reason why nothing could be learnt, by what the data check found."""
    for cause in _CAUSES:
        shown = [each for each in findings if each.kind in cause.kinds]
        if shown:
            return f"{cause.said} ({len(shown)} found, first: {shown[0].said()})"
    return UNSEEN


def chosen_few(samples: Sequence[BoxSample], count: int) -> tuple[BoxSample, ...]:
    """So many images that have objects, evenly spread over all that do.

    Raises: TrainingError where none has.
    """
    some = [each for each in samples if any(not box.crowd for box in each.boxes)]
    if not some or count < 1:
        raise TrainingError(f"{count} images with objects cannot be taken: there are {len(some)}.")
    count = min(count, len(some))
    return tuple(some[number * len(some) // count] for number in range(count))


def overfit(
    model: DetectorNet,
    dataset: BoxDataset,
    recipe: Recipe,
    count: int,
    findings: Sequence[BoxFinding] = (),
    progress: Progress | None = None,
    steps: int | None = None,
) -> Overfit:
    """Train a detector on a few images of a set, and score it on other views of the same ones; nothing is written.

    model: on the device where it is to train; it is changed. recipe: its loss, and whether images may be mirrored; how
        fast and how long is chosen here. findings: of the data check, for the verdict. steps: at most, by default
        `STEPS`.
    It ends early where the images are learnt.
    Raises: TrainingError for more than `MOST` images, where none has an object, or a value is not finite;
        MissingExtraError without faster-coco-eval.
    """
    if not 1 <= count <= MOST:
        raise TrainingError(f"overfit learns 1 to {MOST} images, as one batch, got {count}; 8 are enough.")
    require_coco()
    steps = STEPS if steps is None else steps
    progress, began = progress or SilentProgress(), time.perf_counter()
    few = chosen_few(dataset.train, count)
    settings = recipe.detection or DetectionSettings()
    mirror = settings.augmentation
    shown = collages(few, model.preprocessing, mirror.flip, mirror.flip_vertical, recipe.seed)
    own = _recipe(recipe, len(few), steps)
    pool = (*dataset.train, *dataset.val)
    left = [each for each in pool if each not in few and any(not box.crowd for box in each.boxes)]
    others = chosen_few(left, OTHERS) if left else ()
    unseen = collages(others, model.preprocessing, mirror.flip, mirror.flip_vertical, recipe.seed) if others else None
    loss = replace(settings.loss, alpha=ALPHA)
    run = _Run(model, few, shown, unseen, own, plan_of(own, len(few)), loss)
    progress.start("overfitting", steps)
    try:
        with prepared(model, own):
            done, (seen, others_seen) = run.until_learnt(steps, dataset.classes, progress)
    finally:
        progress.finish()
    objects = sum(not box.crowd for sample in few for box in sample.boxes)
    seconds = time.perf_counter() - began
    return Overfit(len(few), objects, seen, others_seen, done, seconds, tuple(findings))


def _recipe(recipe: Recipe, images: int, steps: int) -> Recipe:
    """A short training on one batch: no averages and no decay, which would only hide what the images say."""
    return Recipe(
        epochs=steps,
        batch_size=images,
        learning_rate=LEARNING_RATE * (256 / images) ** 0.5,
        warmup_epochs=steps / 16,
        weight_decay=0.0,
        clip=10.0,
        ema_decay=0.0,
        final_rate=0.05,
        drop_connect=0.0,
        freeze=recipe.freeze,
        channels_last=recipe.channels_last,
        checkpoint_activations=recipe.checkpoint_activations,
        precision="fp32" if recipe.precision == "fp16" else recipe.precision,  # no loss is scaled here
        seed=recipe.seed,
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """One detector on a few images."""

    model: DetectorNet
    few: tuple[BoxSample, ...]
    shown: Collages
    unseen: Collages | None
    recipe: Recipe
    plan: Plan
    loss: DetectionLoss

    def until_learnt(
        self, steps: int, classes: Sequence[str], progress: Progress
    ) -> tuple[int, tuple[float, float | None]]:
        """Train and score by turns. Returns: steps done, and the last scores of seen and unseen images."""
        step = self._stepper()
        files = [str(each.path) for each in self.few]
        for number in range(steps):
            images, targets = self.shown.batch(number)
            training_mode(self.model, self.recipe)
            result = step(number, place(images, self.model), targets, files)
            progress.advance(1, f"loss {result.loss:.3f}")
            if (number + 1) % LOOKED_AT == 0 or number + 1 == steps:
                found = self._scored(classes)
                if found[0] >= LEARNT or number + 1 == steps:
                    return number + 1, found
        raise TrainingError(f"steps must be at least 1, got {steps}.")

    def _stepper(self) -> Stepper:
        recipe, objective = self.recipe, DetectionObjective(self.loss, self.model)
        optimiser = make_optimiser(self.model, recipe.optimiser, self.plan.learning_rate, recipe.momentum, 0.0)
        return Stepper(self.model, objective, optimiser, recipe, self.plan, weigh=objective.weigh)

    def _scored(self, classes: Sequence[str]) -> tuple[float, float | None]:
        """Scores on collages that are not trained on: of these images, and of others with all classes as one."""
        self.model.eval()
        seen = score_detections(*self._found(self.shown), classes, quick=True).figures["map50"]
        if self.unseen is None:
            return seen, None
        found, samples = self._found(self.unseen)
        one = [Detections(each.boxes, each.scores, np.zeros_like(each.labels)) for each in found]
        plain = [replace(each, boxes=tuple(box._replace(label=0) for box in each.boxes)) for each in samples]
        return seen, score_detections(one, plain, ("object",), quick=True).figures["map50"]

    def _found(self, shown: Collages) -> tuple[list[Detections], list[BoxSample]]:
        """What is found in collages, and what should be, in their pixels.

        A piece has one class: of two that are told for it, the surer one counts.
        """
        suppression = replace(self.model.detector.suppression, per_class=False)
        found: list[Detections] = []
        samples: list[BoxSample] = []
        for view in range(VIEWS):
            images, targets = shown.batch(SCORED_FROM + view)
            found += detect(self.model, place(images, self.model), suppression)
            for rows in targets.tolist():
                boxes = tuple(BoxLabel(*row[:4], int(row[4])) for row in rows if row[4] != PADDING)
                samples.append(BoxSample(Path(f"collage {len(samples)}"), shown.size, boxes))
        return found, samples


def _counted(findings: Sequence[BoxFinding]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(each.kind for each in findings).most_common())
