"""Everything that changes while a network trains, and its way into a checkpoint and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from triscale.errors import RunError
from triscale.training.checkpoint import Checkpoint
from triscale.training.ema import AveragedModel
from triscale.training.optim import optimiser_tensors, restore_optimiser
from triscale.training.scaling import LossScale
from triscale.training.step import StepResult


@dataclass(slots=True)
class EpochSums:
    """What an epoch has added up so far, so that a resumed epoch reports the same means. Times are of this process.

    loss: of all steps, each by its weight. weight: of all images, their number where each counts as one.
    sums: what the objective tells beside the loss.
    """

    loss: float = 0.0
    images: int = 0
    weight: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, result: StepResult, seconds: float, waited: float) -> None:
        """Count one step in."""
        self.loss += result.loss * result.weight
        self.images += result.images
        self.weight += result.weight
        self.seconds += seconds
        self.waited += waited
        for name, value in result.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def mean(self, name: str = "") -> float:
        """Of the loss, or of one of `sums`, by weight."""
        return (self.sums.get(name, 0.0) if name else self.loss) / (self.weight or 1)


@dataclass(slots=True)
class Best:
    """The best weights so far, by the validation images.

    step, epoch: when (epochs count from 1). source: "raw" or "ema". score: top-1, or mAP with several labels an image.
    tensors: its weights and statistics, copied.
    """

    step: int
    epoch: int
    source: str
    score: float
    loss: float
    tensors: dict[str, Tensor] = field(repr=False)

    def is_better_than(self, other: Best | None) -> bool:
        """A higher score; or the same, at a lower loss."""
        return other is None or (self.score, -self.loss) > (other.score, -other.loss)


@dataclass(slots=True)
class TrainState:
    """A training at one moment.

    epoch, batch: where it stands; `batch` equals the steps of an epoch while that epoch is not yet evaluated.
    step: steps done. stale: epochs since the best one. seconds: of training so far, over all processes.
    adapters: what trains beside the model and is no part of it.
    scale: of the loss, where it trains in float16.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    stale: int = 0
    seconds: float = 0.0
    finished: bool = False
    sums: EpochSums = field(default_factory=EpochSums)
    best: Best | None = None
    adapters: nn.Module | None = None
    scale: LossScale | None = None

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, by dotted name: `model.…`, `ema.…`, `adapters.…`, `optimiser.…`."""
        made = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        if self.average is not None:
            made |= {f"ema.{key}": value for key, value in self.average.model.state_dict().items()}
        if self.adapters is not None:
            made |= {f"adapters.{key}": value for key, value in self.adapters.state_dict().items()}
        return made | {f"optimiser.{key}": value for key, value in optimiser_tensors(self.optimiser).items()}

    def values(self) -> dict[str, Any]:
        """All that is no tensor, as plain values. Random numbers need none: every step draws from its own seed."""
        names = ("epoch", "batch", "step", "stale", "seconds", "finished")
        made: dict[str, Any] = {name: getattr(self, name) for name in names}
        best = self.best
        return made | {
            "sums": asdict(self.sums),
            "scale": self.scale and self.scale.values(),
            "best": best and {name: getattr(best, name) for name in ("step", "epoch", "source", "score", "loss")},
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a checkpoint. Raises: RunError when it is of another network or optimiser."""
        _restore_module(self.model, checkpoint.tensors, "model.")
        if self.average is not None:
            _restore_module(self.average.model, checkpoint.tensors, "ema.")
        if self.adapters is not None:
            _restore_module(self.adapters, checkpoint.tensors, "adapters.")
        restore_optimiser(self.optimiser, _under(checkpoint.tensors, "optimiser."))
        values = dict(checkpoint.state)
        sums, best, scale = values.pop("sums"), values.pop("best"), values.pop("scale", None)
        for name in ("epoch", "batch", "step", "stale", "seconds", "finished"):
            setattr(self, name, values[name])
        self.sums = EpochSums(**sums)
        if self.scale is not None and scale is not None:  # the step holds the same one
            self.scale.restore(scale)
        self.best = None if best is None else Best(**best, tensors=checkpoint.best)


def copied(module: nn.Module) -> dict[str, Tensor]:
    """The state of a module, copied to the CPU."""
    return {key: value.detach().to("cpu", copy=True) for key, value in module.state_dict().items()}


def _restore_module(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    """Copy values into the tensors that are there, which keeps their memory layout."""
    state, given = module.state_dict(), _under(tensors, prefix)
    wrong = [key for key, value in state.items() if key not in given or given[key].shape != value.shape]
    if wrong or len(given) != len(state):
        place = wrong[0] if wrong else next(key for key in given if key not in state)
        raise RunError(
            f"the checkpoint is of another network ({place} differs); give the arguments that the run began with."
        )
    with torch.no_grad():
        for key, value in state.items():
            value.copy_(given[key])


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
