"""One step of training: forward, backward, update; or a stop that says where the numbers went wrong."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.training.guard import origin_of_nonfinite
from triscale.training.objective import Objective, hits
from triscale.training.plan import Plan, schedule_of
from triscale.training.recipe import Recipe
from triscale.training.stage import mixing_at

NAMED_FILES = 4


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step found: mean loss over its images, how many it got right, and its learning rate."""

    loss: float
    right: float
    images: int
    learning_rate: float


class NonFiniteError(TrainingError):
    """A loss or gradient is not finite; `files` are those of the batch."""

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files


@dataclass(frozen=True, slots=True)
class Stepper:
    """Does the steps of one training. All that it draws at random is a pure function of (seed, step).

    classes: of the data, for the targets of mixed images.
    """

    model: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    recipe: Recipe
    plan: Plan
    classes: int = 0

    def __call__(self, step: int, images: Tensor, labels: Tensor, files: Sequence[str]) -> StepResult:
        """Step number `step` (from 0) on a batch that is on the model's device; `files` name its images.

        Raises: NonFiniteError when loss or gradient is not finite; the weights are then those before the step.
        """
        rate = self._set_rate(step)
        mixing = mixing_at(self.recipe, step // self.plan.steps_per_epoch, self.plan.epochs)
        images, targets = mixing(images, labels.to(images.device), self.classes, self.recipe.seed, step)
        loss, logits = self._forward(step, images, targets)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
        right = hits(logits, targets).to(loss.dtype)
        found, size, right = torch.stack([loss.detach(), norm, right]).tolist()  # one wait for the device
        if not (math.isfinite(found) and math.isfinite(size)):
            raise self._error(step, images, targets, files, rate)
        if self.recipe.clip:
            nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm)
        self.optimiser.step()
        return StepResult(found, right, len(labels), rate)

    def _set_rate(self, step: int) -> float:
        rate = schedule_of(self.recipe, self.plan).rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate

    def _forward(self, step: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits, with the random numbers of this step."""
        seed_device(images.device, step_seed(self.recipe.seed, step))
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return self.objective(self.model, images, targets)

    def _error(self, step: int, images: Tensor, targets: Tensor, files: Sequence[str], rate: float) -> NonFiniteError:
        origin = origin_of_nonfinite(self.model, images, lambda: self._forward(step, images, targets))
        epoch, batch = divmod(step, self.plan.steps_per_epoch)
        named = ", ".join(files[:NAMED_FILES])
        more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
        return NonFiniteError(
            f"step {step + 1} (epoch {epoch + 1}, batch {batch + 1}): not finite, first in {origin}; "
            f"learning rate {rate:.3g}; images {named}{more}; lower learning_rate, or set clip = 1.0",
            tuple(files),
        )


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the random numbers of one device; `torch.manual_seed` would note a stack trace for every other one."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def step_seed(seed: int, step: int) -> int:
    """The seed of one step, far from that of its neighbours."""
    return int.from_bytes(hashlib.sha256(f"{seed} {step}".encode()).digest()[:7], "big")
