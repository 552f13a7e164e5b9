"""What a recipe changes in a model before training, and what is put back after it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import torch
from torch import nn

from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.training.recipe import Recipe


@contextlib.contextmanager
def prepared(model: Model, recipe: Recipe) -> Generator[tuple[str, ...]]:
    """Within the block the model trains as the recipe says.

    Dropout and drop connect become part of it; memory layout stays; BatchNorm's momentum and what is frozen are put
    back at the end, and the model is then in evaluation mode.
    Yields: a line on each wish of the recipe that this model cannot meet.
    """
    notes = model.regularise(recipe.dropout, recipe.drop_connect)
    if recipe.channels_last and model.channels_last:
        model.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    elif recipe.channels_last:
        notes += (f"{model.name} does not take images in channels_last layout: it trains in the usual one, slower",)
    norms = [(each, each.momentum) for each in norms_of(model)]
    trainable = [(each, each.requires_grad) for each in model.parameters()]
    try:
        for norm, _ in norms:
            if recipe.norm_momentum:
                norm.momentum = recipe.norm_momentum
        for each in frozen_modules(model, recipe.freeze):
            each.requires_grad_(False)
        yield notes
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
        for parameter, was in trainable:
            parameter.requires_grad_(was)
        model.eval()


def training_mode(model: nn.Module, recipe: Recipe) -> None:
    """Training mode, but for frozen parts and frozen BatchNorm, which neither use nor change statistics of a batch."""
    model.train()
    for each in frozen_modules(model, recipe.freeze):
        each.eval()
    if recipe.norms == "frozen":
        for norm in norms_of(model):
            norm.eval()


def frozen_modules(model: nn.Module, beginnings: Sequence[str]) -> list[nn.Module]:
    """The modules whose names begin with one of `beginnings`, by whole parts of the name.

    Raises: TrainingError for a beginning that no module has.
    """
    named = dict(model.named_modules())
    for beginning in beginnings:
        if not beginning or beginning not in named:
            children = ", ".join(name for name in named if name and name.count(".") < 2)[:200]
            raise TrainingError(f"Recipe.freeze: the model has no module {beginning!r}; it has {children}.")
    return [
        each
        for name, each in named.items()
        if any(name == beginning or name.startswith(f"{beginning}.") for beginning in beginnings)
    ]


def norms_of(model: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm]:
    """Every BatchNorm of a model, those of its linear layers and synchronised ones too."""
    kinds = nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm
    return [each for each in model.modules() if isinstance(each, kinds)]
