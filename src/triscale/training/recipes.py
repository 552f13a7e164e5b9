"""The recipes that have a name."""

from __future__ import annotations

from triscale.data.augment import Augmentation
from triscale.errors import TrainingError
from triscale.training.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    # From pretrained weights: few epochs, little distortion.
    "finetune": Recipe(epochs=8, least_steps=300, augmentation=Augmentation(crop_area=(0.5, 1.0))),
    # From scratch on few or small images: longer, warmer, with more regularisation.
    "small-data": Recipe(
        epochs=60,
        least_steps=2000,
        learning_rate=4e-3,
        warmup_epochs=5,
        weight_decay=0.05,
        augmentation=Augmentation(crop_area=(0.35, 1.0), randaugment_layers=1, randaugment_magnitude=7),
    ),
    # To see that everything works.
    "quick": Recipe(epochs=2, warmup_epochs=0.5, augmentation=Augmentation(crop_area=(0.5, 1.0))),
}


def recipe(name: str) -> Recipe:
    """A recipe by its name. Raises: TrainingError listing the names."""
    if name not in RECIPES:
        raise TrainingError(f"unknown recipe {name!r}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
