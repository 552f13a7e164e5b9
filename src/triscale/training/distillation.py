"""Distillation: a student learns from a teacher's answers beside the labels, and if asked from its feature maps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.spec.preprocessing import Preprocessing
from triscale.training.evaluate import place
from triscale.training.features import FeatureMatch
from triscale.training.teacher import Teacher


@dataclass(frozen=True, slots=True)
class Distillation:
    """What is learnt from a teacher: loss = (1 - weight) * labels + weight * answers + features * maps.

    teacher: where it is from, as a person wrote it. sha256: of its weights and all else that decides its answers; what
        is trained with one teacher is not resumed with another.
    weight: of its answers, 0..1: temperature^2 times the divergence of the student's probabilities from the teacher's,
        both at `temperature`. Classes are matched by name.
    temperature: above 1 the classes that are not the answer count for more.
    features: weight of the distance between feature maps; 0 for none. strides: which maps; pooled: only their means.
        See `FeatureMatch`.
    Sources: Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531, section 2 and 2.1 (the factor
    temperature^2); FitNets, https://arxiv.org/abs/1412.6550.
    """

    teacher: str = ""
    sha256: str = ""
    weight: float = 0.5
    temperature: float = 2.0
    features: float = 0.0
    strides: tuple[int, ...] = ()
    pooled: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))
        _require(0 <= self.weight <= 1, "weight", "in 0..1", self.weight)
        _require(0 < self.temperature < math.inf, "temperature", "above 0", self.temperature)
        _require(0 <= self.features < math.inf, "features", "at least 0", self.features)
        _require(self.weight + self.features > 0, "weight or features", "above 0", 0)
        _require(len(set(self.strides)) == len(self.strides), "strides", "different numbers", self.strides)


@dataclass(frozen=True, slots=True)
class Distilled:
    """The objective of a student. Batches are normalised as `student` says, and given to the teacher in its own way.

    labels: the loss of (logits, targets) without a teacher. columns: the teacher's output of each class; None where its
    answers are not used. features: None where maps are not matched.
    """

    labels: Callable[[Tensor, Tensor], Tensor]
    settings: Distillation
    teacher: Teacher
    student: Preprocessing
    columns: Tensor | None
    features: FeatureMatch | None

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, and the student's logits; computed in float32 whatever the network computes in."""
        wanted, theirs = self._ask(images)
        with self.features.student_maps() if self.features else contextlib.nullcontext({}) as mine:
            logits = model(images)
        weight = self.settings.weight
        parts = [] if weight == 1 else [(1 - weight) * self.labels(logits, targets)]
        if self.columns is not None:
            answers = wanted.float().index_select(1, self.columns)
            parts.append(weight * divergence(logits, answers, self.settings.temperature))
        if self.features is not None:
            parts.append(self.settings.features * self.features(mine, theirs))
        return torch.stack(parts).sum(), logits

    @torch.no_grad()
    def _ask(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The teacher's logits, and its feature maps where they are matched."""
        seen = self.teacher.view(images, self.student)
        if next(self.teacher.model.parameters(), None) is not None:
            seen = place(seen, self.teacher.model)
        with self.features.teacher_maps() if self.features else contextlib.nullcontext({}) as maps:
            return self.teacher.model(seen).detach(), maps


def divergence(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """temperature^2 * KL(teacher || student), the mean over a batch, a scalar.

    logits, wanted: (N, classes) of student and teacher. At any temperature the gradient is about as large as that of a
    cross-entropy with the labels.
    """
    student = (logits.float() / temperature).log_softmax(1)
    teacher = (wanted.float() / temperature).log_softmax(1)
    return nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True) * temperature**2


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise TrainingError(f"Distillation.{name} must be {rule}, got {value!r}.")
