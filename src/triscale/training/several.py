"""What a step makes smaller where an image may have several labels: each class is a question of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from triscale.data.dataset import Dataset
from triscale.errors import TrainingError
from triscale.training.answer import Answer, hits
from triscale.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class SeveralLabels:
    """Binary cross-entropy of each class by itself, where an image may have several labels or none.

    label_smoothing: a label's 1 becomes 1 - smoothing / 2, its absence smoothing / 2.
    Targets: (N, classes) float, 1 where an image has the class; between 0 and 1 of mixed images.
    """

    label_smoothing: float = 0.0

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> Answer:
        """The mean loss of a batch, and of how many the best answer is one of their labels ("top1")."""
        logits = model(images)
        return Answer(self.loss(logits, targets), {"top1": hits(logits, targets)})

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over a batch's logits (N, classes), a float32 scalar whatever the network computes in."""
        smooth = targets.float() * (1 - self.label_smoothing) + self.label_smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(logits.float(), smooth)


def several_labels(recipe: Recipe, dataset: Dataset) -> SeveralLabels:
    """The objective of a recipe on such data. Raises: TrainingError where the recipe balances classes."""
    if recipe.balance != "none":
        raise TrainingError(
            f"Recipe.balance {recipe.balance!r} is for one label an image, and {dataset.root} has several; "
            f'set balance = "none".'
        )
    return SeveralLabels(recipe.label_smoothing)
