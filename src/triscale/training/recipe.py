"""Recipe: everything about a training that is a choice, as frozen data. What it comes to on one data set is a Plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from triscale.data.augment import Augmentation
from triscale.errors import TrainingError
from triscale.models.recompute import Recompute
from triscale.training.config import from_table, to_table
from triscale.training.detection.settings import DetectionSettings
from triscale.training.distillation import Distillation
from triscale.training.optim import OPTIMISERS, OptimiserName
from triscale.training.progressive import Progressive
from triscale.training.schedule import SCHEDULES, ScheduleName

Norms = Literal["train", "frozen", "recalibrate"]
Balance = Literal["none", "weights", "sampling"]
Precision = Literal["fp32", "bf16", "fp16"]
Compression = Literal["none", "fp16", "bf16"]
AugmentOn = Literal["host", "device"]


def _require(holds: bool, name: str, rule: str, value: object) -> None:
    if not holds:
        raise TrainingError(f"Recipe.{name} must be {rule}, got {value!r}.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train.

    epochs: passes over the training images. batch_size: images of one step of the optimiser.
    accumulate: the images of a step go through the network in so many parts, whose gradients are summed, and take its
        memory for one part only. BatchNorm sees a part at a time; all else is as with the whole batch.
    least_steps: a small set is gone through more often, until there are so many steps; 0 for never.
    learning_rate: peak, at a batch of 256. Other batches scale it: linearly for SGD and RMSProp, by the square root for
        AdamW (https://arxiv.org/abs/1706.02677, https://arxiv.org/abs/2205.10287).
    warmup_epochs: linear warm-up. schedule: what follows: "cosine" down to `final_rate` times the peak, "staircase"
        down by `decay_rate` every `decay_epochs`, or "constant"; see `Schedule`.
    momentum: of SGD and RMSProp; the first beta of AdamW. weight_decay: of convolution and linear weights, and with
        `decay_biases` of their biases; never of BatchNorm. It is added to the gradient, but for AdamW's.
    label_smoothing: probability mass shared by all classes. clip: largest norm of the gradient, 0 for none.
    ema_decay: of the moving average of the weights; None derives it from the number of steps; 0 keeps no average.
    dropout, drop_connect: in place of the network's own; None leaves those.
    augmentation: what happens to training images. augment_on: where. "host" lets the threads that read images do all of
        it; "device" lets them decode, crop and resize only, and does the rest to whole batches where the network is.
        The changes are the same, and a quarter of the bytes is copied to a GPU.
    mixup, cutmix: alpha of mixing two of a batch, 0 for none; see `Mixing`.
    progressive: sizes and regularisation that grow stage by stage; None trains at one size.
    distillation: learn from a teacher too; None learns from the labels alone.
    detection: of a detector alone, its loss and what happens to its training images in place of `augmentation`; None is
        as published.
    balance: of classes with few images: "weights" lets each of these count for more, "sampling" shows them more often;
        how much, see `data/balance.py`.
    patience: epochs without a better validation result after which training stops; 0 never stops early.
    norms: BatchNorm in training: "train" uses and updates statistics; "frozen" leaves them as they are; "recalibrate"
        trains as "train" does, but whatever is evaluated and saved has statistics that are computed anew for its
        weights over `norm_images` training images, as they are read in use; see `recalibrate`.
    norm_momentum: of BatchNorm in training, in PyTorch's sense; 0 leaves the network's. Weights that were trained
        with 0.01 need hundreds of steps to follow new images; a short training needs 0.1. The saved network keeps its
        own.
    sync_norms: where several processes train together, BatchNorm is over the images of all of them; without it, of each
        for itself. compress: their gradients travel as "fp16" or "bf16", which halves the traffic and rounds them.
    freeze: beginnings of module names whose weights and statistics do not change ("stem", "stages.0").
    head_epochs: epochs at the beginning in which only the classifier (of a detector: pyramid and heads) trains and
        BatchNorm elsewhere is frozen. The learning rate is then at its peak; warm-up and schedule begin after them.
    layer_decay: factor of the learning rate from each stage to the one before it, towards the stem; the head's is 1. In
        a module of your own, its children take the place of stages.
    precision: "bf16" or "fp16" computes in 16 bits where that is safe, for GPUs; with "fp16" the loss is scaled, so
        that small gradients are not lost, and steps whose scaled gradients overflow are skipped and counted.
    checkpoint_activations: "block" or "stage" keeps only the inputs of blocks or stages for the backward pass, which
        computes their insides again: far less memory, and the same result. On a CPU, where memory is then given back at
        once, a step takes about three times as long.
    compile: run the network through torch.compile; takes a minute or two once, and the last digits differ.
    channels_last: memory layout, faster on CPUs and GPUs with tensor cores.
    deterministic: a GPU too gives the same bits in each run, more slowly; a CPU always does.
    checkpoint_seconds: between two checkpoints, at most; checkpoint_steps: also after so many steps, 0 for never.
    seed: of the order of images, their augmentation and mixing, dropout and drop connect.
    reference_images: training images of the set that the recipe was made for, 0 for any. Far fewer are said.
    """

    epochs: int = 10
    least_steps: int = 0
    batch_size: int = 64
    accumulate: int = 1
    optimiser: OptimiserName = "adamw"
    learning_rate: float = 2e-3
    warmup_epochs: float = 1.0
    schedule: ScheduleName = "cosine"
    final_rate: float = 0.01
    decay_rate: float = 0.97
    decay_epochs: float = 2.4
    momentum: float = 0.9
    weight_decay: float = 0.02
    decay_biases: bool = False
    label_smoothing: float = 0.1
    clip: float = 0.0
    ema_decay: float | None = None
    dropout: float | None = None
    drop_connect: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    augment_on: AugmentOn = "host"
    mixup: float = 0.0
    cutmix: float = 0.0
    progressive: Progressive | None = None
    distillation: Distillation | None = None
    detection: DetectionSettings | None = None
    balance: Balance = "none"
    patience: int = 0
    norms: Norms = "train"
    norm_momentum: float = 0.1
    norm_images: int = 2048
    sync_norms: bool = True
    compress: Compression = "none"
    freeze: tuple[str, ...] = ()
    head_epochs: float = 0.0
    layer_decay: float = 1.0
    precision: Precision = "fp32"
    checkpoint_activations: Recompute = "none"
    compile: bool = False
    channels_last: bool = True
    deterministic: bool = False
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int = 0
    seed: int = 0
    reference_images: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "freeze", tuple(self.freeze))
        for name in ("epochs", "batch_size", "accumulate", "norm_images"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("learning_rate", "decay_epochs", "checkpoint_seconds"):
            _require(0 < getattr(self, name) < math.inf, name, "above 0", getattr(self, name))
        counts = ("least_steps", "patience", "checkpoint_steps", "seed")
        for name in (*counts, "warmup_epochs", "weight_decay", "clip", "head_epochs"):
            _require(0 <= getattr(self, name) < math.inf, name, "at least 0", getattr(self, name))
        _require(self.seed < 2**63, "seed", "below 2**63", self.seed)
        _require(self.reference_images >= 0, "reference_images", "at least 0", self.reference_images)
        for name in ("momentum", "label_smoothing", "ema_decay", "dropout", "drop_connect"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < 1, name, "in 0..1 and below 1", value)
        for name in ("final_rate", "norm_momentum"):
            _require(0 <= getattr(self, name) <= 1, name, "in 0..1", getattr(self, name))
        for name in ("decay_rate", "layer_decay"):
            _require(0 < getattr(self, name) <= 1, name, "above 0 and at most 1", getattr(self, name))
        for name in ("mixup", "cutmix"):
            _require(0 <= getattr(self, name) <= 1e3, name, "in 0..1000", getattr(self, name))
        self._check_choices()

    def _check_choices(self) -> None:
        for name, choices in (
            ("optimiser", OPTIMISERS),
            ("schedule", SCHEDULES),
            ("balance", get_args(Balance)),
            ("norms", get_args(Norms)),
            ("precision", get_args(Precision)),
            ("checkpoint_activations", get_args(Recompute)),
            ("compress", get_args(Compression)),
            ("augment_on", get_args(AugmentOn)),
        ):
            value = getattr(self, name)
            _require(value in choices, name, f"one of {', '.join(choices)}", value)
        _require(self.accumulate <= self.batch_size, "accumulate", "at most batch_size", self.accumulate)
        if self.compile and self.checkpoint_activations != "none":
            raise TrainingError(
                "Recipe.compile decides itself what is computed again, and checkpoint_activations is "
                f"{self.checkpoint_activations!r}; choose one of the two."
            )
        growing = self.progressive
        if growing is not None:
            # Early results of small images say nothing on when to stop.
            _require(self.patience == 0, "patience", "0 in progressive learning", self.patience)
            layers = self.augmentation.randaugment_layers
            _require(
                growing.randaugment is None or layers > 0,
                "augmentation.randaugment_layers",
                "above 0 (2 as published) where progressive.randaugment is given",
                layers,
            )

    def to_table(self) -> dict[str, Any]:
        """As plain values for TOML or JSON; None is left out."""
        return to_table(self)

    @classmethod
    def from_table(cls, table: Mapping[str, object], where: str = "recipe") -> Recipe:
        """Undo `to_table`. Raises: FileError for an unknown key, TrainingError for a value that cannot be."""
        return from_table(table, cls, where)
