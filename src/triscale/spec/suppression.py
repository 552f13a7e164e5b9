"""Suppression: which of a detector's many overlapping boxes are told, as data that travels with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from triscale.errors import SpecError
from triscale.spec.checks import shown, whole

Method = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True)
class Suppression:
    """How candidates become detections.

    method: "hard" drops a box that overlaps a better one by more than `iou`; "soft" multiplies its score by
        exp(-overlap^2 / sigma) instead.
    per_class: boxes of different classes never suppress each other.
    score: candidates below it are left out. candidates: at most so many (anchor, class) pairs of an image are looked
        at, best first. detections: at most so many are told.
    Sources: soft-NMS, https://arxiv.org/abs/1704.04503, equation 3; the numbers are those of effdet and, for soft,
        of google/automl.
    """

    method: Method = "hard"
    iou: float = 0.5
    sigma: float = 0.5
    per_class: bool = True
    score: float = 0.001
    candidates: int = 5000
    detections: int = 100

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise SpecError(f'Suppression.method must be "hard" or "soft", got {shown(self.method)}.')
        for name in ("iou", "score"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise SpecError(f"Suppression.{name} must be in 0..1, got {shown(value)}.")
        if not isinstance(self.sigma, (int, float)) or not 0 < self.sigma <= 100:
            raise SpecError(f"Suppression.sigma must be above 0 and at most 100, got {shown(self.sigma)}.")
        whole("Suppression.candidates", self.candidates)
        whole("Suppression.detections", self.detections)
