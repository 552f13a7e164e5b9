"""What a step makes smaller: a loss of the network's answers and what they should have been."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscale.models.model import Model
from triscale.training.distillation import Distilled
from triscale.training.features import FeatureMatch
from triscale.training.recipe import Recipe
from triscale.training.teacher import Teacher

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
        return self.loss(logits, targets), logits

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch's logits (N, classes), a float32 scalar."""
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
    recipe: Recipe, model: Model, classes: Sequence[str], class_weights: Tensor | None, teacher: Teacher | None
) -> Objective:
    """What a recipe makes smaller: the labels' cross-entropy, with a teacher's answers or features where it has one.

    model: that trains, on its device; the teacher is brought there. classes: names in the order of the outputs.
    Raises: TrainingError when the teacher has other classes, or there are no maps to be matched.
    """
    supervised = Supervised(recipe.label_smoothing, class_weights)
    settings = recipe.distillation
    if settings is None or teacher is None:
        return supervised
    device = next(model.parameters()).device
    teacher.model.to(device)
    columns, features = None, None
    if settings.weight:
        columns = torch.tensor(teacher.columns(classes, settings.teacher), device=device)
    if settings.features:
        features = FeatureMatch(model, teacher.model, settings.strides, settings.pooled, recipe.seed).to(device)
    return Distilled(supervised.loss, settings, teacher, model.preprocessing, columns, features)


def adapters_of(objective: Objective) -> nn.Module | None:
    """What trains beside the model and is no part of it; None where nothing does."""
    return objective.features if isinstance(objective, Distilled) else None


@torch.no_grad()
def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """How many of a batch got the right answer, a scalar; of mixed images, the share of the class that was answered."""
    answers = logits.argmax(1)
    if targets.ndim == 1:
        return (answers == targets).sum().float()
    return targets.gather(1, answers[:, None]).sum().float()
