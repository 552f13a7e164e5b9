"""Detections: the boxes that a detector tells of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What was found in one image, best first.

    boxes: (K, 4) float32, (x1, y1, x2, y2) in pixels; of the image or of the network's input, as its maker says.
    scores: (K,) float32 in 0..1. labels: (K,) int64, class numbers.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (("boxes", np.float32), ("scores", np.float32), ("labels", np.int64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), kind))
        object.__setattr__(self, "boxes", self.boxes.reshape(-1, 4))

    def __len__(self) -> int:
        """How many boxes there are."""
        return len(self.scores)
