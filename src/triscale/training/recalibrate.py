"""BatchNorm statistics computed anew for weights that are done changing, on images as they are read in use.

Running averages lag behind the weights, are of augmented and mixed images, and are averaged once more with the weights.
Statistics of a few thousand images under the weights that are used have none of these faults.
Source: Wu & Johnson 2021, "Rethinking Batch in BatchNorm", https://arxiv.org/abs/2105.07576, section 3 ("PreciseBN").
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Generator, Iterable, Sequence

import torch
from torch import Tensor, nn

from triscale.data.dataset import Sample
from triscale.data.detection.dataset import BoxSample
from triscale.data.loader import Batches
from triscale.models.model import Model
from triscale.training.evaluate import place
from triscale.training.plan import recalibrating_batches
from triscale.training.prepare import Norm, frozen_modules, norms_of
from triscale.training.recipe import Recipe


def recalibrate(
    models: Sequence[Model],
    samples: Sequence[Sample] | Sequence[BoxSample],
    recipe: Recipe,
    each_batch: Callable[[], None] = lambda: None,
) -> int:
    """Give every BatchNorm of the models, but for frozen parts, the statistics of training images under its weights.

    The images come in a shuffled order that depends on the recipe's seed alone, preprocessed as in evaluation. What the
    statistics were before does not matter; weights, modes and momenta stay.
    samples: of training. each_batch: called after each batch.
    Returns: how many images were used.
    """
    count, batch = recalibrating_batches(recipe, len(samples))
    batches = Batches(samples, models[0].preprocessing, batch, seed=recipe.seed, shuffle=True)
    norms = [norm for model in models for norm in _to_compute(model, recipe.freeze)]
    if not norms:
        return 0
    epoch = batches.epoch(0)
    with _statistics_anew(models, norms), contextlib.closing(epoch):
        return _run(models, itertools.islice(epoch, count), each_batch)


@torch.no_grad()
def _run(models: Sequence[Model], batches: Iterable[tuple[Tensor, Tensor, Tensor]], after: Callable[[], None]) -> int:
    images = 0
    for batch, _, _ in batches:
        for model in models:
            model(place(batch, model))
        images += len(batch)
        after()
    return images


@contextlib.contextmanager
def _statistics_anew(models: Sequence[nn.Module], norms: Sequence[Norm]) -> Generator[None]:
    """Within the block everything is in evaluation mode but `norms`, which average all batches, each counting alike."""
    modes = [(module, module.training) for model in models for module in model.modules()]
    momenta = [norm.momentum for norm in norms]
    try:
        for model in models:
            model.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's word for a cumulative average
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


def _to_compute(model: Model, freeze: Sequence[str]) -> list[Norm]:
    frozen = {id(each) for each in frozen_modules(model.layers, freeze)}
    return [norm for norm in norms_of(model) if id(norm) not in frozen and norm.track_running_stats]
