"""What an objective makes of a batch: a loss with a gradient, and sums that are told of an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn


class Answer(NamedTuple):
    """loss: a scalar with a gradient, a mean by weight over what the objective was given.

    sums: what is to be told beside it, by name; scalars that are added up over parts, processes and steps.
    """

    loss: Tensor
    sums: Mapping[str, Tensor]


class Objective(Protocol):
    """What a step makes smaller."""

    def __call__(self, model: nn.Module, images: Tensor, targets: Any, /) -> Answer:
        """The loss of images (N, C, H, W) that go through `model`, by what should have come out."""
        ...


class Weigh(Protocol):
    """What the parts of a batch count for, where that is not their number of images."""

    def __call__(self, images: Tensor, targets: Tensor, share: float, /) -> tuple[Any, float]:
        """Targets as the objective takes them, and the weight of a part.

        share: of the whole batch, that the part's images are.
        The loss of a batch is the mean of its parts' by their weights, so that it is the same however it is parted.
        """
        ...


@torch.no_grad()
def hits(logits: Tensor, targets: Tensor) -> Tensor:
    """How many of a batch got the right answer, a scalar; of mixed images, the share of the class that was answered.

    With several labels an image: whether the best answer is one of them.
    """
    answers = logits.argmax(1)
    if targets.ndim == 1:
        return (answers == targets).sum().float()
    return targets.gather(1, answers[:, None]).sum().float()
