"""A second network whose weights are the moving average of the first one's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def ramped_decay(step: int, decay: float) -> float:
    """Decay after step `step` (from 0): small at first, so that the average forgets the start, then `decay`.

    Source: min(decay, (1 + n) / (10 + n)) of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


class AveragedModel:
    """The moving average of a model: weights and BatchNorm statistics alike; counters are copied.

    model: the averaged network, always in evaluation mode.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, decay: float) -> None:
        """Move by 1 - `decay` towards `model`."""
        averages, values = [], []
        for own, new in zip(_tensors(self.model), _tensors(model), strict=True):
            if own.is_floating_point():
                averages.append(own)
                values.append(new.detach())
            else:
                own.copy_(new)
        torch._foreach_lerp_(averages, values, 1.0 - decay)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*model.parameters(), *model.buffers()]
