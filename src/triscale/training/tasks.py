"""Which task a data set is."""

from __future__ import annotations

from typing import Any

from triscale.data.dataset import Dataset
from triscale.errors import TrainingError
from triscale.training.detection.task import BoxTask
from triscale.training.labels import label_task
from triscale.training.recipe import Recipe
from triscale.training.task import AnyDataset, Task


def task_of(dataset: AnyDataset, recipe: Recipe) -> Task[Any]:
    """What training does differently for this kind of data. Raises: DataError, see `label_task`; TrainingError."""
    if isinstance(dataset, Dataset):
        return label_task(dataset, recipe)
    if recipe.augment_on != "host":
        raise TrainingError(
            f"Recipe.augment_on is {recipe.augment_on!r}, and {dataset.root} has boxes, which move with their images: "
            'give "host".'
        )
    return BoxTask(dataset, recipe)
