"""Progressive learning: small images and little regularisation first, larger images and more of it stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from triscale.errors import TrainingError
from triscale.spec.network import Size

FirstStage = Literal["above", "at"]
Range = tuple[float, float]  # in the first stage, in the last


@dataclass(frozen=True, slots=True)
class Progressive:
    """What changes from stage to stage, linearly; stages are of equal length and change between epochs only.

    stages: how many. smallest: shorter side in pixels from which the images of training grow to the network's own
        training size; where that is not larger, all stages have it.
    first: the first stage's size is one stage "above" `smallest`, as the owners' code has it, or "at" it, as in the
        paper.
    randaugment: magnitude, from the first stage to the last. mixup, cutmix: alpha. dropout: rate.
        None leaves what the recipe says otherwise.
    Sources: Tan & Le 2021, EfficientNetV2, https://arxiv.org/abs/2104.00298, algorithm 1 and table 6; google/automl
    efficientnetv2/main.py.
    """

    stages: int = 4
    smallest: int = 128
    first: FirstStage = "above"
    randaugment: Range | None = None
    mixup: Range | None = None
    cutmix: Range | None = None
    dropout: Range | None = None

    def __post_init__(self) -> None:
        for name in ("stages", "smallest"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        _require(self.first in get_args(FirstStage), "first", '"above" or "at"', self.first)
        limits = {"randaugment": (30.0, "0..30"), "mixup": (1e3, "0..1000"), "cutmix": (1e3, "0..1000")}
        for name, (most, said) in {**limits, "dropout": (0.999, "0..0.999")}.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))  # a list from a file becomes a tuple
                holds = len(value) == 2 and all(0 <= each <= most for each in value)
                _require(holds, name, f"(in the first stage, in the last), each {said}", value)

    def stage(self, epoch: int, epochs: int) -> int:
        """The stage (from 0) of an epoch (from 0) of so many; with fewer epochs than stages, the first are left out."""
        if epochs < self.stages:
            return self.stages - epochs + epoch
        return min(self.stages - 1, epoch * self.stages // epochs)

    def size(self, stage: int, full: Size) -> Size:
        """(H, W) of the images of a stage; in the last one they are `full`."""
        short = min(full)
        if self.smallest >= short or stage >= self.stages - 1:
            return full
        share = (stage + 1) / self.stages if self.first == "above" else stage / (self.stages - 1)
        side = int(self.smallest + (short - self.smallest) * share)
        return round(full[0] * side / short), round(full[1] * side / short)

    def value(self, between: Range, stage: int) -> float:
        """A setting in a stage: linear from the first to the last."""
        first, last = between
        return last if stage >= self.stages - 1 else first + (last - first) * stage / (self.stages - 1)


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise TrainingError(f"Progressive.{name} must be {rule}, got {value!r}.")
