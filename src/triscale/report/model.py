"""What a report is made from: plain values that a run folder holds. Nothing here is computed, everything is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from triscale.data.member import ImagePlace
from triscale.spec.network import Network
from triscale.spec.preprocessing import Preprocessing
from triscale.training.calibration import Calibration
from triscale.training.figures import ClassFigures


@dataclass(frozen=True, slots=True)
class LimitResult:
    """One limit of the budget, measured again on what ships.

    word: of the budget's language. limit, measured: counts, bytes (memory, size) or seconds (latency).
    how: where the value comes from ("by arithmetic", "model.onnx on onnxruntime 1.32.0, fp32, 2 threads").
    met: as the budget defines it; for latency the upper quartile decides, not `measured` alone.
    """

    word: str
    limit: float
    measured: float
    how: str
    met: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that was considered.

    name: of the network. scaled: what was done to the published one, for people ("resolution 224 → 64").
    costs: budget word -> value, in the units of `LimitResult`; what was not measured is absent.
    score: what it was ranked by, higher is better; None where there is none. reason: why it was chosen or rejected.
    """

    name: str
    scaled: str
    costs: Mapping[str, float]
    score: float | None
    chosen: bool
    reason: str

    def cost(self, word: str) -> float | None:
        """Its cost in that word of the budget; None where it was not measured, or is no number."""
        value = self.costs.get(word, math.nan)
        return value if math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Images of one class in each split."""

    name: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True)
class DataSummary:
    """The data that was learnt from.

    path: the folder or file. classes: in output order. split: how the splits came to be, in words.
    notes: what `data check` remarked. skipped: files that were left out, each with why.
    """

    path: str
    classes: tuple[ClassCount, ...]
    split: str = ""
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EpochPoint:
    """One evaluation while training; None where a value was not taken. Rates in 0..1, on the validation split."""

    epoch: float
    train_loss: float | None = None
    val_loss: float | None = None
    top1: float | None = None
    top1_ema: float | None = None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class CorruptionSummary:
    """What corruption leaves. Rates in 0..1: top-1, or mAP where an image may have several labels.

    images: that were corrupted. clean: the score on them as they are. found: (kind, severity, score).
    """

    images: int
    clean: float
    found: tuple[tuple[str, int, float], ...]

    @property
    def mean(self) -> float:
        """The mean score over kinds and severities."""
        return sum(score for _, _, score in self.found) / max(1, len(self.found))


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """How good the network is. Rates in 0..1.

    split: "test", or "val" where there is no test split. images: in it. top5: None with fewer than six classes.
    per_class: in output order: the share of its images that was recognised, or its average precision where an image may
        have several labels; None for a class without images in the split.
    confusion: rows are true classes, columns predicted ones, in output order; empty with several labels an image.
    map, f1_micro: where an image may have several labels; top1 and top5 are None then.
    classes: precision, recall and F1. calibration: where it was measured. corruptions: where they were asked for.
    """

    split: str
    images: int
    top1: float | None
    top5: float | None
    loss: float | None
    per_class: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]
    map: float | None = None
    f1_micro: float | None = None
    f1_macro: float | None = None
    classes: tuple[ClassFigures, ...] = ()
    calibration: Calibration | None = None
    corruptions: CorruptionSummary | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """One image and what the network said of it. score: of the predicted class; true_score: of the true one; 0..1."""

    path: ImagePlace
    truth: str
    predicted: str
    score: float
    true_score: float


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file that was exported and compared with the model.

    file: name inside the run folder. engine: and its version. bytes: of all its parts.
    max_error: the largest difference of any logit; agreement: share of images with the same class first, 0..1.
    images: how many were compared. tolerance: what max_error had to stay below. verified: whether both held.
    latency: seconds, where measured. ships: whether it is the file that the budget was held against.
    """

    file: str
    engine: str
    precision: str
    bytes: int
    max_error: float
    agreement: float
    images: int
    tolerance: float
    verified: bool
    latency: float | None = None
    ships: bool = False


@dataclass(frozen=True, slots=True)
class FitReport:
    """Everything that `report.html` shows of a run.

    title: the run's name. folder: the run folder as the user named it; commands on the page use it.
    command: what was typed. budget: as it was asked for; empty without one.
    network, preprocessing: as shipped. weights: where they started from, in words.
    choice: one or two sentences on what was chosen and why. candidates: what was considered, the chosen one among them.
    candidates_note: what stands under the table of candidates (how they were found; what the score means).
    score_name: what `Candidate.score` is ("ImageNet top-1 as published").
    recipe: what was decided about training, as (name, value). notes: what a person should know (a changed stem, …).
    seconds: of training. best, worst: examples, most telling first. environment: (name, value), versions and machine.
    missing: engines and parts that were left out because their library is not installed, each with the command.
    """

    title: str
    folder: str
    command: str
    budget: str
    limits: tuple[LimitResult, ...]
    network: Network
    preprocessing: Preprocessing
    weights: str
    choice: str
    candidates: tuple[Candidate, ...]
    data: DataSummary
    curve: tuple[EpochPoint, ...]
    evaluation: EvaluationSummary
    best: tuple[Example, ...]
    worst: tuple[Example, ...]
    exports: tuple[ExportedFile, ...]
    recipe: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    seconds: float
    score_name: str = "score"
    candidates_note: str = ""
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
