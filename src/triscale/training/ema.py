"""A second network whose weights are the moving average of the first one's."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

_M = TypeVar("_M", bound=nn.Module)


def ramped_decay(step: int, decay: float) -> float:
    """Decay after step `step` (from 0): small at first, so that the average forgets the start, then `decay`.

    Source: min(decay, (1 + n) / (10 + n)) of TensorFlow's ExponentialMovingAverage.
    """
    return min(decay, (1 + step) / (10 + step))


class AveragedModel(Generic[_M]):
    """The moving average of a model: weights and BatchNorm statistics alike; counters are copied.

    model: the averaged network, always in evaluation mode.
    """

    def __init__(self, model: _M) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Move by 1 - `decay` towards the model that it was made of."""
        torch._foreach_lerp_([own for own, _ in self._averaged], [new for _, new in self._averaged], 1.0 - decay)
        for own, new in self._copied:
            own.copy_(new)


def _tensors(model: nn.Module) -> list[Tensor]:
    return [each.detach() for each in (*model.parameters(), *model.buffers())]
