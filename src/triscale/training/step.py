"""One step of training: forward, backward, update; or a stop that says where the numbers went wrong."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.training.guard import origin_of_nonfinite
from triscale.training.objective import Objective, hits
from triscale.training.plan import Plan, schedule_of
from triscale.training.recipe import Recipe
from triscale.training.stage import mixing_at
from triscale.training.world import ALONE, World

NAMED_FILES = 4


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step found in all processes: mean loss over its images, how many are right, and its learning rate."""

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
    """Does the steps of one training. All that it draws at random is a pure function of (seed, step, rank).

    model: whose layers are looked at when something goes wrong. classes: of the data, for the targets of mixed images.
    network: what images go through where that is not the model itself. world: the processes that share each batch.
    """

    model: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    recipe: Recipe
    plan: Plan
    classes: int = 0
    network: nn.Module | None = None
    world: World = ALONE

    def __call__(self, step: int, images: Tensor, labels: Tensor, files: Sequence[str]) -> StepResult:
        """Step number `step` (from 0) on a batch that is on the model's device; `files` name its images.

        Of several processes each gives its part of the batch, which may be smaller than that of another.
        Raises: NonFiniteError when loss or gradient is not finite; the weights are then those before the step.
        """
        rate = self._set_rate(step)
        mixing = mixing_at(self.recipe, step // self.plan.steps_per_epoch, self.plan.epochs)
        images, targets = mixing(
            images, labels.to(images.device), self.classes, self.recipe.seed, step, self.world.rank
        )
        loss, logits = self._forward(step, images, targets)
        self.optimiser.zero_grad(set_to_none=True)
        self._whole(loss, len(labels)).backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
        right = hits(logits, targets).to(loss.dtype)
        found, size, right, count = self._found(loss, norm, right, len(labels))
        if not (math.isfinite(found) and math.isfinite(size)):
            raise self._error(step, images, targets, files, rate)
        if self.recipe.clip:
            nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm)
        self.optimiser.step()
        return StepResult(found, right, count, rate)

    def _whole(self, loss: Tensor, images: int) -> Tensor:
        """The loss of a part such that the mean over all processes is that of the batch, whatever its parts."""
        share = images * self.world.size / self.plan.batch_size
        return loss if self.world.is_alone or share == 1 else loss * share

    def _found(self, loss: Tensor, norm: Tensor, right: Tensor, images: int) -> tuple[float, float, float, int]:
        """Mean loss, norm of the gradient, right answers and images, of all processes; one wait for the device."""
        loss = loss.detach()
        if self.world.is_alone:
            found, size, right_ones = torch.stack([loss, norm, right]).tolist()
            return found, size, right_ones, images
        sums = self.world.sum(torch.stack([loss * images, right, torch.full_like(loss, images)]).double())
        total, right_ones, count, size = torch.cat([sums, norm.double().view(1)]).tolist()
        return total / count, size, right_ones, round(count)

    def _set_rate(self, step: int) -> float:
        rate = schedule_of(self.recipe, self.plan).rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _forward(self, step: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits, with the random numbers of this step."""
        seed_device(images.device, step_seed(self.recipe.seed, step, self.world.rank))
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            return self.objective(self.network or self.model, images, targets)

    def _error(self, step: int, images: Tensor, targets: Tensor, files: Sequence[str], rate: float) -> NonFiniteError:
        origin, files = self._origin(images, files, lambda: self._forward(step, images, targets))
        epoch, batch = divmod(step, self.plan.steps_per_epoch)
        named = ", ".join(files[:NAMED_FILES])
        more = f" and {len(files) - NAMED_FILES} more" if len(files) > NAMED_FILES else ""
        return NonFiniteError(
            f"step {step + 1} (epoch {epoch + 1}, batch {batch + 1}): not finite, first in {origin}; "
            f"learning rate {rate:.3g}; images {named}{more}; lower learning_rate, or set clip = 1.0",
            tuple(files),
        )

    def _origin(self, images: Tensor, files: Sequence[str], forward: Callable[[], object]) -> tuple[str, Sequence[str]]:
        """Where it went wrong, in words, and the files that were in the step, of all processes."""
        if self.world.is_alone:
            return origin_of_nonfinite(self.model, images, forward), files
        bad = not bool(torch.isfinite(images).all())
        if self.world.any(bad):  # BatchNorm makes them wait for each other: all of them look at layers, or none
            own = "the images" if bad else ""
        else:
            own = origin_of_nonfinite(self.model, images, forward)
        found = [json.loads(each) for each in self.world.gather_bytes(json.dumps([own, bad, *files]).encode())]
        suspects = [each for each in found if each[1]] or found
        places = [f"{each[0]} (process {rank})" for rank, each in enumerate(found) if each[0]]
        everywhere = all(each[0] == own for each in found)
        return own if everywhere else ", ".join(places), [file for each in suspects for file in each[2:]]


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the random numbers of one device; `torch.manual_seed` would note a stack trace for every other one."""
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of one step of one process, far from those of its neighbours."""
    words = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:7], "big")
