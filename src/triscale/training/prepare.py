"""What a recipe changes in a model before training, and what is put back after it."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

import torch
from torch import nn

from triscale.errors import TrainingError
from triscale.models.model import Model
from triscale.models.recompute import recomputing
from triscale.training.recipe import Recipe

Norm = nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm


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
    notes += tuple(rate_notes(model, recipe))
    norms = [(each, each.momentum) for each in norms_of(model)]
    if recipe.norms == "recalibrate" and not norms:
        notes += (f"{model.name} has no BatchNorm: there are no statistics to compute anew",)
    trainable = [(each, each.requires_grad) for each in model.parameters()]
    try:
        for norm, _ in norms:
            if recipe.norm_momentum:
                norm.momentum = recipe.norm_momentum
        for each in frozen_modules(model.layers, recipe.freeze):
            each.requires_grad_(False)
        with recomputing(model, recipe.checkpoint_activations):
            yield notes
    finally:
        for norm, momentum in norms:
            norm.momentum = momentum
        for parameter, was in trainable:
            parameter.requires_grad_(was)
        model.eval()


def training_mode(model: Model, recipe: Recipe, head_only: bool = False) -> None:
    """Training mode, but for frozen parts and frozen BatchNorm, which neither use nor change statistics of a batch.

    head_only: while only the heads train, every BatchNorm elsewhere is frozen.
    """
    model.train()
    for each in frozen_modules(model.layers, recipe.freeze):
        each.eval()
    if recipe.norms == "frozen" or head_only:
        own = {id(norm) for head in _heads_of(model) for norm in norms_of(head)} if recipe.norms != "frozen" else set()
        for norm in norms_of(model):
            if id(norm) not in own:
                norm.eval()


def enter_phase(model: Model, optimiser: torch.optim.Optimizer, recipe: Recipe, head_only: bool) -> None:
    """Put a model into training mode, with gradients for its heads only or for all that the optimiser holds.

    What gets no gradient is neither changed nor decayed by a step, and the optimiser keeps no state of it; all is as if
    it were new when its training begins.
    """
    training_mode(model, recipe, head_only)
    held = [p for group in optimiser.param_groups for p in group["params"]]
    parts = _heads_of(model) if head_only else [model]
    learning = {id(p) for part in parts for p in part.parameters()}
    resting = {id(p) for p in model.parameters()} - learning
    if head_only and not any(id(p) in learning for p in held):
        heads = model.heads()
        names = "the classifier" if heads == (model.classifier(),) else " and ".join(heads)
        raise TrainingError(f"Recipe.head_epochs trains {names} alone, which Recipe.freeze holds; free it.")
    for parameter in held:
        parameter.requires_grad_(id(parameter) not in resting)


def _heads_of(model: Model) -> list[nn.Module]:
    return [model.layers.get_submodule(name) for name in model.heads()]


def rates_of(model: Model, recipe: Recipe) -> list[tuple[nn.Module, float]]:
    """(stage, factor of the learning rate in it), from the images to the answer; empty where all train alike.

    Source: layer-wise rates of ULMFiT, https://arxiv.org/abs/1801.06146, section 3.2, by stage.
    """
    if recipe.layer_decay == 1:
        return []
    stages = model.stages_in_order()
    return [(stage, recipe.layer_decay ** (len(stages) - 1 - place)) for place, (_, stage) in enumerate(stages)]


def rate_notes(model: Model, recipe: Recipe) -> list[str]:
    """A line on learning rates that differ from stage to stage."""
    named = zip(model.stages_in_order(), rates_of(model, recipe), strict=False)
    factors = [f"{name} {factor:.3g}" for (name, _), (_, factor) in named]
    return [f"learning rates, as factors by stage: {', '.join(factors)}"] if factors else []


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


def norms_of(model: nn.Module) -> list[Norm]:
    """Every BatchNorm of a model, those of its linear layers and synchronised ones too."""
    return [each for each in model.modules() if isinstance(each, Norm)]
