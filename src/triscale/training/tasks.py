"""Which task a data set is."""

from __future__ import annotations

from typing import Any

from triscale.data.dataset import Dataset
from triscale.errors import TrainingError
from triscale.training.labels import label_task
from triscale.training.recipe import Recipe
from triscale.training.task import AnyDataset, Task


def task_of(dataset: AnyDataset, recipe: Recipe) -> Task[Any]:
    """What training does differently for this kind of data. Raises: TrainingError or DataError, see the tasks."""
    if isinstance(dataset, Dataset):
        return label_task(dataset, recipe)
    raise TrainingError(f"{dataset.root}: nothing here learns boxes.")
