"""What a recipe says of a detector's training alone."""

from __future__ import annotations

from dataclasses import dataclass, field

from triscale.data.detection.augment import BoxAugmentation
from triscale.detection.losses import DetectionLoss


@dataclass(frozen=True, slots=True)
class DetectionSettings:
    """loss: of classes and boxes. augmentation: what happens to training images and their boxes."""

    loss: DetectionLoss = field(default_factory=DetectionLoss)
    augmentation: BoxAugmentation = field(default_factory=BoxAugmentation)
