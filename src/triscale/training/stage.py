"""What one epoch trains with, where that changes as training goes on: a pure function of (recipe, epoch)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from triscale.data.augment import Augmentation
from triscale.spec.network import Size
from triscale.training.mixing import Mixing
from triscale.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Stage:
    """number, of: which stage of how many, from 1. size: (H, W) of the images. dropout: None leaves the network's."""

    number: int
    of: int
    size: Size
    augmentation: Augmentation
    mixing: Mixing
    dropout: float | None

    def __str__(self) -> str:
        """For people."""
        said = [f"stage {self.number} of {self.of}: images of {self.size[0]}x{self.size[1]} pixels"]
        if self.augmentation.randaugment_layers:
            said.append(f"RandAugment {self.augmentation.randaugment_magnitude:.3g}")
        said += [f"mixup {self.mixing.mixup:.3g}"] if self.mixing.mixup else []
        said += [f"CutMix {self.mixing.cutmix:.3g}"] if self.mixing.cutmix else []
        said += [f"dropout {self.dropout:.3g}"] if self.dropout is not None else []
        return ", ".join(said)


def stage_at(recipe: Recipe, epoch: int, epochs: int, full: Size) -> Stage:
    """The stage of an epoch (from 0) of so many.

    full: (H, W) at which the network is trained in the end. Without `recipe.progressive` there is one stage.
    """
    growing = recipe.progressive
    mixing = mixing_at(recipe, epoch, epochs)
    if growing is None:
        return Stage(1, 1, full, recipe.augmentation, mixing, recipe.dropout)
    number = growing.stage(epoch, epochs)
    augmentation, dropout = recipe.augmentation, recipe.dropout
    if growing.randaugment is not None:
        augmentation = replace(augmentation, randaugment_magnitude=growing.value(growing.randaugment, number))
    if growing.dropout is not None:
        dropout = growing.value(growing.dropout, number)
    return Stage(number + 1, growing.stages, growing.size(number, full), augmentation, mixing, dropout)


def mixing_at(recipe: Recipe, epoch: int, epochs: int) -> Mixing:
    """How images are mixed in an epoch (from 0) of so many."""
    growing = recipe.progressive
    if growing is None:
        return Mixing(recipe.mixup, recipe.cutmix)
    number = growing.stage(epoch, epochs)
    return Mixing(
        recipe.mixup if growing.mixup is None else growing.value(growing.mixup, number),
        recipe.cutmix if growing.cutmix is None else growing.value(growing.cutmix, number),
    )
