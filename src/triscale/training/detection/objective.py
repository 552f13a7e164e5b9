"""What a step of a detector's training makes smaller."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from triscale.detection.detector import DetectorNet
from triscale.detection.losses import DetectionLoss, LossSums
from triscale.detection.matching import Matches, match
from triscale.errors import TrainingError
from triscale.training.answer import Answer


class Wanted(NamedTuple):
    """What the anchors of some images should say, and what the images count for: positives + their share of 1."""

    matches: Matches
    weight: float


@dataclass(frozen=True, slots=True)
class DetectionObjective:
    """The loss of classes and boxes over the positives of the whole batch + 1, in however many parts it comes.

    model: whose anchors they are; what runs may be its compiled or replicated form.
    """

    loss: DetectionLoss
    model: DetectorNet

    def weigh(self, images: Tensor, targets: Tensor, share: float) -> tuple[Wanted, float]:
        """Match targets (N, M, 5) with the anchors; see `Weigh`."""
        matches = match(targets, self.anchors(images))
        weight = matches.positives + share
        return Wanted(matches, weight), weight

    def __call__(self, model: nn.Module, images: Tensor, wanted: Wanted) -> Answer:
        """The loss over what the images count for; beside it the sums "class_loss", "box_loss" and "positives"."""
        with one_value_told():
            logits, offsets = model(images)
        sums = self.loss.sums(logits, offsets, wanted.matches, self.anchors(images))
        loss = self.loss.total(sums, wanted.weight)
        return Answer(loss, self.told(sums))

    def told(self, sums: LossSums) -> dict[str, Tensor]:
        """The parts of the loss before they are divided, and the number of positives."""
        nothing = torch.zeros_like(sums.classes)
        boxes = self.loss.total(sums._replace(classes=nothing), 1.0)
        positives = torch.full_like(nothing, sums.positives)
        return {"class_loss": sums.classes.detach(), "box_loss": boxes.detach(), "positives": positives}

    def anchors(self, images: Tensor) -> Tensor:
        """(A, 4), in pixels of the images."""
        return self.model.anchors((images.shape[2], images.shape[3]))


@contextlib.contextmanager
def one_value_told() -> Generator[None]:
    """Within the block, a BatchNorm that sees one value a channel is one line: P7 of one image of 128 pixels is one.

    Raises: TrainingError instead of PyTorch's ValueError.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            "the coarsest map of one image is one pixel, of which BatchNorm has no statistics: train with more images "
            'at once or larger ones, or set norms = "frozen".'
        ) from error
