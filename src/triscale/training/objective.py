"""What a step makes smaller: a loss of the network's answers and what they should have been."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from triscale.data.dataset import Dataset
from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.answer import Answer, hits
from triscale.training.distillation import Distilled
from triscale.training.recipe import Recipe
from triscale.training.several import SeveralLabels, several_labels


@dataclass(frozen=True, slots=True)
class Supervised:
    """Cross-entropy with the labels.

    label_smoothing: probability mass shared by all classes.
    class_weights: what an image of each class weighs in the mean over a batch, (classes,), about 1; None weighs all
        alike. A mixed image weighs as its classes do.
    Targets: (N,) int64 class numbers, or (N, classes) float probabilities, as mixed images have.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = None

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> Answer:
        """The mean loss of a batch, and how many are right ("top1")."""
        logits = model(images)
        return Answer(self.loss(logits, targets), {"top1": hits(logits, targets)})

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over a batch's logits (N, classes), a float32 scalar whatever the network computes in."""
        if self.class_weights is None:
            return nn.functional.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing)
        # PyTorch's own weights would divide by the sum of the weights in the batch, and weigh the smoothing too.
        losses = nn.functional.cross_entropy(
            logits.float(), targets, label_smoothing=self.label_smoothing, reduction="none"
        )
        weights = self.class_weights.to(logits.device)
        own = weights[targets] if targets.ndim == 1 else targets @ weights
        return (losses * own).mean()


def objective_of(
    recipe: Recipe, dataset: Dataset, model: Model, class_weights: np.ndarray
) -> Supervised | SeveralLabels | Distilled:
    """What a recipe makes smaller on a data set: the one place where it is chosen.

    model: that trains. class_weights: (classes,), what an image of each class weighs where the recipe balances so.
    Raises: TrainingError where the recipe asks of images with several labels what only one label allows; what
        `Distilled` raises, where the recipe has a teacher.
    """
    labels: Supervised | SeveralLabels
    if dataset.several:
        labels = several_labels(recipe, dataset)
    else:
        weights = torch.from_numpy(class_weights).float() if recipe.balance == "weights" else None
        labels = Supervised(recipe.label_smoothing, weights)
    if recipe.distillation is None:
        return labels
    if dataset.several and recipe.distillation.weight:
        raise TrainingError(
            f"Recipe.distillation: a teacher's answers are shares of one label, and images of {dataset.root} have "
            f"several; learn its features alone: distillation.weight = 0, distillation.features = 1."
        )
    return Distilled(labels, model, recipe.distillation, dataset.classes, recipe.seed)
