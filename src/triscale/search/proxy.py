"""A score by brief training: how well a candidate does on validation images after so many steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from triscale.data.dataset import Dataset, Sample
from triscale.errors import DataError
from triscale.models.model import Model
from triscale.search.asking import Scores
from triscale.search.candidate import Baseline, Candidate
from triscale.training.brief import train_briefly
from triscale.training.device import DeviceName, chosen_device
from triscale.training.recipe import Recipe
from triscale.training.task import AnyDataset, Split
from triscale.training.tasks import task_of


@dataclass(frozen=True)
class TrainingScore:
    """See `Score`: candidates are trained with fresh weights from the seed, and judged on a split.

    baseline: makes their modules. dataset: `for_search` has cut its validation images out of the training images.
    recipe: of every training. split: "val" while a search is on; "test" once, at its end. each_step: after each step.
    device: where to train, on the machine that does; "auto" takes a GPU where it has one.
    """

    baseline: Baseline
    dataset: AnyDataset
    recipe: Recipe
    split: Split = "val"
    each_step: Callable[[], None] | None = None
    device: DeviceName = "auto"

    def fresh(self, candidate: Candidate, seed: int) -> Model:
        """The candidate's module with fresh weights from the seed, on the device, for the classes of the data."""
        torch.manual_seed(seed)
        model = self.baseline.model(candidate, len(self.dataset.classes))
        model.preprocessing = replace(model.preprocessing, size=candidate.size, train_size=None)
        return model.to(chosen_device(self.device))

    def __call__(self, candidate: Candidate, seed: int, steps: int) -> Scores:
        """Top-1 accuracy (of a detector: mAP) after so many steps; of test images beside that of validation images.

        Raises: TrainingError where it diverges.
        """
        model = self.fresh(candidate, seed)
        task: Any = task_of(self.dataset, replace(self.recipe, seed=seed))
        splits = (self.split,) if self.split == "val" else (self.split, "val")
        own, *val = train_briefly(model, task, steps, splits, self.each_step)
        return Scores(float(own.score), *(float(each.score) for each in val))


def for_search(
    dataset: Dataset, per_class: int | None = None, most_judged: int | None = None, seed: int = 0
) -> Dataset:
    """A data set for a search, which must not look at what its result is judged on later.

    Validation images are those of the set's own split, which `read_dataset` cuts out of the training images where there
    is none; so the test split stays unread.
    per_class: training images that are kept of each class, for scores that do not saturate; the others may then judge.
    most_judged: validation images that are kept, spread evenly over the classes; all by default.
    Raises: DataError for several labels an image with `per_class`, or a class without a validation image, by name.
    """
    dice = np.random.default_rng([seed, int.from_bytes(b"search")])
    train, val = list(dataset.train), list(dataset.val)
    if per_class is not None:
        train, left = _some_of_each(dataset, train, per_class, dice)
        val += left
    if most_judged is not None and len(val) > most_judged:
        each = -(-most_judged // len(dataset.classes))
        val = _some_of_each(dataset, val, each, dice)[0]
    if not dataset.several:
        judged = {sample.label for sample in val}
        missing = [name for number, name in enumerate(dataset.classes) if number not in judged]
        if missing:
            others = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise DataError(
                f"{dataset.root}: no validation image is of class {missing[0]!r}{others}, so that no score says "
                f"anything of it; add images of it."
            )
    return replace(
        dataset,
        train=tuple(sorted(train, key=_name)),
        val=tuple(sorted(val, key=_name)),
        fingerprint=f"{dataset.fingerprint}-{per_class or 'all'}-{most_judged or 'all'}-{seed}",
    )


def _name(sample: Sample) -> str:
    return str(sample.path)


def _some_of_each(
    dataset: Dataset, samples: Sequence[Sample], count: int, dice: np.random.Generator
) -> tuple[list[Sample], list[Sample]]:
    """(so many of each class, chosen at random; the others)."""
    if dataset.several:
        raise DataError(f"{dataset.root}: its images have several labels, so that none are so many of one class.")
    if count < 1:
        raise DataError(f"{count} images of each class cannot be learnt from; at least 1 is needed.")
    by_class: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_class[sample.label].append(sample)
    kept, left = [], []
    for label in sorted(by_class):
        order = dice.permutation(len(by_class[label])).tolist()
        kept += [by_class[label][number] for number in order[:count]]
        left += [by_class[label][number] for number in order[count:]]
    return kept, left
