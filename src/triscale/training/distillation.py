"""Distillation: a student learns from the labels, and from what a trained teacher says of the same images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.training.answer import Answer, hits
from triscale.training.evaluate import place
from triscale.training.taps import Tap, channels_at, tapped, taps_of
from triscale.training.teacher import Translation, open_teacher, outputs_of, teacher_hash


@dataclass(frozen=True, slots=True)
class Distillation:
    """What is learnt from a teacher.

    teacher: a run's folder, a model file, `hf://OWNER/REPO`, or a name with pretrained weights. It keeps its own
        preprocessing. Its classes are matched by name; it may know more of them.
    weight: of the teacher's answers in the loss, 0..1; labels have the rest. 0 takes a teacher of any classes.
    temperature: divides the logits of both; higher ones show more of what the teacher thinks of the wrong classes.
    features: weight of the features' loss, which is added; 0 for none. 1 counts an answer of all zeros as 1.
    maps: strides of the maps that are compared, such as (8, 16); empty for the pooled features.
    Sources: Hinton et al. 2015, https://arxiv.org/abs/1503.02531; FitNets, https://arxiv.org/abs/1412.6550.
    """

    teacher: str = ""
    weight: float = 0.5
    temperature: float = 2.0
    features: float = 0.0
    maps: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", tuple(self.maps))
        _require(0 <= self.weight <= 1, "weight", "in 0..1", self.weight)
        _require(0 < self.temperature < math.inf, "temperature", "above 0", self.temperature)
        _require(0 <= self.features < math.inf, "features", "at least 0", self.features)
        _require(self.weight > 0 or self.features > 0, "weight", "above 0 where features is 0", self.weight)
        _require(all(stride >= 1 for stride in self.maps), "maps", "strides such as (8, 16)", self.maps)
        _require(self.features > 0 or not self.maps, "maps", "left out where features is 0", self.maps)


def teacher_arguments(settings: Distillation | None) -> dict[str, str]:
    """What a run's record says of the teacher beside its name, so that another one is refused on resuming."""
    return {} if settings is None else {"teacher_sha256": teacher_hash(settings.teacher)}


class LabelsLoss(Protocol):
    """A loss of logits, whoever computed them."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss over a batch's logits (N, classes), a float32 scalar."""
        ...


class Distilled:
    """(1 - weight) * the labels' loss + weight * T^2 * KL(teacher || student) + features * the features' loss.

    labels: the loss without a teacher. student: whose features are compared.
    classes: of the data, in order. seed: of the adapters' first weights.
    adapters: a 1x1 layer for each place where features are compared, from the student's channels to the teacher's;
    trained with the student, and no part of it.
    Raises: what `open_teacher` and `outputs_of` raise; TrainingError for features that cannot be compared.
    """

    def __init__(
        self,
        labels: LabelsLoss,
        student: Model,
        settings: Distillation,
        classes: Sequence[str],
        seed: int,
    ) -> None:
        device = next(student.parameters()).device
        self.labels, self.settings = labels, settings
        self.teacher = open_teacher(settings.teacher).to(device)
        self.outputs = outputs_of(self.teacher, classes).to(device) if settings.weight else None
        self.translate = Translation(student.preprocessing, self.teacher.preprocessing)
        self.own = taps_of(student, settings.maps) if settings.features else {}
        self.theirs = taps_of(self.teacher, settings.maps) if settings.features else {}
        self.adapters = _adapters(student, self.teacher, self.own, self.theirs, seed) if self.own else nn.ModuleDict()
        self.adapters.to(device)

    @property
    def note(self) -> str:
        """What is learnt from whom, for people."""
        settings, (height, width) = self.settings, self.teacher.preprocessing.size
        said = [f"the teacher {self.teacher.name} sees the images at {height}x{width} pixels"]
        if settings.weight:
            said.append(f"its answers are {settings.weight:.0%} of the loss, at temperature {settings.temperature:g}")
        if settings.features:
            said.append(f"its features ({', '.join(self.theirs)}) are added with weight {settings.features:g}")
        return "; ".join(said)

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> Answer:
        """The loss of a batch, and how many of the student's answers are right ("top1").

        images: (N, C, H, W) as the student reads them, mixed or not: the teacher sees the same mixture.
        """
        with tapped(self.own) as own:
            logits = model(images)
        loss = self.labels.loss(logits, targets)
        with torch.no_grad(), tapped(self.theirs) as theirs:
            answers = self.teacher(place(self.translate(images), self.teacher))
        share = self.settings.weight
        if self.outputs is not None:
            taught = soft_loss(logits, answers[:, self.outputs], self.settings.temperature)
            loss = (1 - share) * loss + share * taught
        for name, adapter in zip(self.own, self.adapters.values(), strict=True):
            loss = loss + self.settings.features * feature_loss(adapter(_as_map(own[name])), _as_map(theirs[name]))
        return Answer(loss, {"top1": hits(logits, targets)})


def soft_loss(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(softmax(wanted / T) || softmax(logits / T)), the mean over a batch; computed in float32.

    logits, wanted: (N, classes), the student's and the teacher's. The factor keeps the gradient as large at any T.
    Source: Hinton et al. 2015, https://arxiv.org/abs/1503.02531, section 2.
    """
    own = (logits.float() / temperature).log_softmax(1)
    other = (wanted.float() / temperature).log_softmax(1)
    return temperature**2 * nn.functional.kl_div(own, other, reduction="batchmean", log_target=True)


def feature_loss(own: Tensor, wanted: Tensor) -> Tensor:
    """The mean squared error of features as a share of the mean square of those that are wanted, a scalar.

    own, wanted: (N, C, H, W); wanted maps of another size are resized first. The share makes one weight fit any layer
    of any teacher.
    Source: FitNets, https://arxiv.org/abs/1412.6550, equation 3, but for the share.
    """
    own, wanted = own.float(), wanted.float()
    if own.shape[2:] != wanted.shape[2:]:
        wanted = nn.functional.interpolate(wanted, own.shape[2:], mode="bilinear", antialias=True)
    tiny = torch.finfo(torch.float32).eps
    return nn.functional.mse_loss(own, wanted) / wanted.square().mean().clamp_min(tiny)


def _as_map(features: Tensor) -> Tensor:
    return features[:, :, None, None] if features.ndim == 2 else features


def _adapters(
    student: Model, teacher: ConvNet, own: dict[str, Tap], theirs: dict[str, Tap], seed: int
) -> nn.ModuleDict:
    have, want = channels_at(student, own), channels_at(teacher, theirs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleDict({name: nn.Conv2d(have[name], want[name], 1, device="cpu") for name in own})


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise TrainingError(f"Distillation.{name} must be {rule}, got {value!r}.")
