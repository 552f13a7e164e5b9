"""What a network gets right where an image may have several labels: average precision and F1, class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triscale.training.calibration import negative_log_likelihood, sigmoid
from triscale.training.figures import ClassFigures, average_precision, class_figures, mean

THRESHOLD = 0.5  # probability from which a label counts as given


@dataclass(frozen=True, slots=True)
class LabelsEvaluation:
    """One network on one set of images that may each have several labels, or none. Rates in 0..1.

    map: mean of the classes' average precision; f1_micro: of all answers together, f1_macro: mean over classes, both of
        labels with a probability of 0.5 or more. Classes that no image has are in none of the means.
    loss: mean binary cross-entropy over images and classes. per_class: name -> average precision.
    classes: figures of every class, in output order.
    logits, probabilities: (N, classes) float32. labels: (N, classes) of 0 and 1. indices: (N,), which image of the set
        each row is. seconds: how long it took, reading images included.
    """

    map: float
    f1_micro: float
    f1_macro: float
    loss: float
    per_class: dict[str, float]
    classes: tuple[ClassFigures, ...]
    logits: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    seconds: float

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def score(self) -> float:
        """What weights are chosen by: mAP."""
        return self.map

    def rates(self) -> dict[str, float]:
        """Flat rates, as `metrics.json` and the log hold them."""
        return {"map": self.map, "f1_micro": self.f1_micro, "f1_macro": self.f1_macro}

    def metrics(self) -> dict[str, Any]:
        """The figures as plain values, as `metrics.json` holds them."""
        return {**self.rates(), "loss": self.loss, "per_class": self.per_class}

    def said(self) -> str:
        """The figure that people ask for first."""
        return f"mAP {self.map:.2%}"

    def sentence(self, split: str) -> str:
        """The same, saying on how many images of which split."""
        return f"{self.said()} on {self.count} {split} images"

    def ranked(self) -> np.ndarray:
        """Rows from the image whose labels are least likely, by its probabilities, to the most likely."""
        likely = np.where(self.labels > 0, self.probabilities, 1 - self.probabilities)
        return np.argsort(np.log(np.maximum(likely, 1e-12)).sum(1), kind="stable")


def score_several(
    logits: np.ndarray, labels: np.ndarray, indices: np.ndarray, names: Sequence[str], seconds: float
) -> LabelsEvaluation:
    """Figures from answers.

    logits: (N, classes) float32. labels: (N, classes) of 0 and 1. names: of the classes, in output order.
    """
    truth, given = labels > 0, logits >= 0  # a probability of 0.5 is a logit of 0
    hits, answered, there = (truth & given).sum(0), given.sum(0), truth.sum(0)
    precisions = [average_precision(logits[:, i], truth[:, i]) for i in range(len(names))]
    figures = class_figures(names, hits, answered, there, precisions)
    shown = [each for each in figures if each.images]
    total = int(answered.sum() + there.sum())
    return LabelsEvaluation(
        map=mean(precisions),
        f1_micro=2 * int(hits.sum()) / total if total else 0.0,
        f1_macro=mean([each.f1 for each in shown]),
        loss=negative_log_likelihood(logits, labels),
        per_class={each.name: each.average_precision for each in shown if each.average_precision is not None},
        classes=figures,
        logits=logits,
        probabilities=sigmoid(logits).astype(np.float32),
        labels=labels,
        indices=indices,
        seconds=seconds,
    )
