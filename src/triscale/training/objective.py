"""What a step makes smaller: a loss of the network's answers and what they should have been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from triscale.data.dataset import Dataset
from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.distillation import Distilled
from triscale.training.recipe import Recipe

# of the network, images (N, C, H, W) and targets: the loss, a scalar with a gradient, and logits (N, classes)
Objective = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]


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

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch, and the logits; computed in float32 whatever the network computes in."""
        logits = model(images)
        if self.class_weights is None:
            return nn.functional.cross_entropy(logits.float(), targets, label_smoothing=self.label_smoothing), logits
        # PyTorch's own weights would divide by the sum of the weights in the batch, and weigh the smoothing too.
        losses = nn.functional.cross_entropy(
            logits.float(), targets, label_smoothing=self.label_smoothing, reduction="none"
        )
        weights = self.class_weights.to(logits.device)
        own = weights[targets] if targets.ndim == 1 else targets @ weights
        return (losses * own).mean(), logits


@dataclass(frozen=True, slots=True)
class SeveralLabels:
    """Binary cross-entropy of each class by itself, where an image may have several labels or none.

    label_smoothing: a label's 1 becomes 1 - smoothing / 2, its absence smoothing / 2.
    Targets: (N, classes) float, 1 where an image has the class; between 0 and 1 of mixed images.
    """

    label_smoothing: float = 0.0

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss over a batch and its classes, and the logits; computed in float32."""
        logits = model(images)
        smooth = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), smooth), logits


def objective_of(
    recipe: Recipe, dataset: Dataset, model: Model, class_weights: np.ndarray
) -> Supervised | SeveralLabels | Distilled:
    """What a recipe makes smaller on a data set: the one place where it is chosen.

    model: that trains. class_weights: (classes,), what an image of each class weighs where the recipe balances so.
    Raises: TrainingError where the recipe asks of images with several labels what only one label allows; what
        `Distilled` raises, where the recipe has a teacher.
    """
    labels = _labels_of(recipe, dataset, class_weights)
    if recipe.distillation is None:
        return labels
    if dataset.several and recipe.distillation.weight:
        raise TrainingError(
            f"Recipe.distillation: a teacher's answers are shares of one label, and images of {dataset.root} have "
            f"several; learn its features alone: distillation.weight = 0, distillation.features = 1."
        )
    return Distilled(labels, model, recipe.distillation, dataset.classes, recipe.seed)


def _labels_of(recipe: Recipe, dataset: Dataset, class_weights: np.ndarray) -> Supervised | SeveralLabels:
    """The loss of the labels alone."""
    if not dataset.several:
        weights = torch.from_numpy(class_weights).float() if recipe.balance == "weights" else None
        return Supervised(recipe.label_smoothing, weights)
    if recipe.balance != "none":
        raise TrainingError(
            f"Recipe.balance {recipe.balance!r} is for one label an image, and {dataset.root} has several; "
            f'set balance = "none".'
        )
    return SeveralLabels(recipe.label_smoothing)


@torch.no_grad()
def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """How many of a batch got the right answer, a scalar; of mixed images, the share of the class that was answered.

    With several labels an image: whether the best answer is one of them.
    """
    answers = logits.argmax(1)
    if targets.ndim == 1:
        return (answers == targets).sum().float()
    return targets.gather(1, answers[:, None]).sum().float()
