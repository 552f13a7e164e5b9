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
from triscale.training.scaling import LossScale
from triscale.training.stage import mixing_at
from triscale.training.world import ALONE, World

NAMED_FILES = 4


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step found in all processes: mean loss over its images, how many are right, and its learning rate.

    skipped: the scaled gradients of float16 overflowed, and the weights are those before the step.
    """

    loss: float
    right: float
    images: int
    learning_rate: float
    skipped: bool = False


class NonFiniteError(TrainingError):
    """A loss or gradient is not finite; `files` are those of the batch."""

    def __init__(self, message: str, files: tuple[str, ...]) -> None:
        super().__init__(message)
        self.files = files


@dataclass(frozen=True, slots=True)
class Stepper:
    """Does the steps of one training. All that it draws at random is a pure function of (seed, step, rank, part).

    model: whose layers are looked at when something goes wrong. network: what images go through where that is not the
    model itself (its compiled form, say). classes: of the data, for the targets of mixed images.
    scale: of the loss, for float16. world: the processes that share each batch.
    """

    model: nn.Module
    objective: Objective
    optimiser: torch.optim.Optimizer
    recipe: Recipe
    plan: Plan
    classes: int = 0
    network: nn.Module | None = None
    scale: LossScale | None = None
    world: World = ALONE

    def __call__(self, step: int, images: Tensor, labels: Tensor, files: Sequence[str]) -> StepResult:
        """Step number `step` (from 0) on a batch that is on the model's device; `files` name its images.

        Of several processes each gives its part of the batch, which may be smaller than that of another.
        Raises: NonFiniteError when loss or gradient is not finite; the weights are then those before the step.
        """
        rate = self._set_rate(step)
        mixing = mixing_at(self.recipe, step // self.plan.steps_per_epoch, self.plan.epochs)
        labels = labels.to(images.device, non_blocking=True)
        images, targets = mixing(images, labels, self.classes, self.recipe.seed, step, self.world.rank)
        self.optimiser.zero_grad(set_to_none=True)
        loss, right = self._backward(step, images, targets)
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = self._norm([p.grad for p in parameters if p.grad is not None])
        found, size, right, count = self._found(loss, norm, right, len(labels))
        finite = math.isfinite(size)
        if self.scale is not None:
            self.scale.update(finite or not math.isfinite(found))
        if not math.isfinite(found) or not (finite or self._may_skip()):
            raise self._error(step, images, targets, files, rate)
        if finite:
            if self.recipe.clip:
                nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm)
            self.optimiser.step()
        return StepResult(found, right, count, rate, skipped=not finite)

    def _found(self, loss: Tensor, norm: Tensor, right: Tensor, images: int) -> tuple[float, float, float, int]:
        """Mean loss, norm of the gradient, right answers and images, of all processes; one wait for the device."""
        if self.world.is_alone:
            found, size, right_ones = torch.stack([loss, norm, right]).tolist()
            return found, size, right_ones, images
        sums = self.world.sum(torch.stack([loss * images, right, torch.full_like(loss, images)]).double())
        total, right_ones, count, size = torch.cat([sums, norm.double().view(1)]).tolist()
        return total / count, size, right_ones, round(count)

    def _set_rate(self, step: int) -> float:
        rate = schedule_of(self.recipe, self.plan).rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate

    def _backward(self, step: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of the mean loss of all images, part by part; that loss, and how many answers are right."""
        losses, rights = [], []
        factor = 1.0 if self.scale is None else self.scale.value
        # The mean over all processes is to be that of the batch, whatever their shares of it.
        share = 1.0 if self.world.is_alone else len(images) * self.world.size / self.plan.batch_size
        for part, (some, wanted) in enumerate(self._parts(images, targets)):
            loss, logits = self._forward(step, part, some, wanted)
            loss = loss * (len(some) / len(images))  # each part counts by its images
            whole = loss * (factor * share) if factor * share != 1 else loss
            whole.backward()
            losses.append(loss.detach())
            rights.append(hits(logits, wanted).to(loss.dtype))
        self._share_gradients_beside()
        return torch.stack(losses).sum(), torch.stack(rights).sum()

    def _share_gradients_beside(self) -> None:
        """Make gradients of what trains beside the network (a teacher's adapters, say) a mean over all."""
        if self.world.is_alone:
            return
        own = {id(each) for each in self.model.parameters()}
        for group in self.optimiser.param_groups:
            for each in group["params"]:
                if each.grad is not None and id(each) not in own:
                    self.world.sum(each.grad).div_(self.world.size)

    def _parts(self, images: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor]]:
        count = self.plan.accumulate
        return list(zip(images.tensor_split(count), targets.tensor_split(count), strict=True))

    def _forward(self, step: int, part: int, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and logits of a part, with its random numbers."""
        seed_device(images.device, step_seed(self.recipe.seed, step, part, self.world.rank))
        precision = self.recipe.precision
        dtype = torch.float16 if precision == "fp16" else torch.bfloat16
        with torch.autocast(images.device.type, dtype, enabled=precision != "fp32"):
            return self.objective(self.network or self.model, images, targets)

    def _norm(self, gradients: list[Tensor]) -> Tensor:
        """The norm of all gradients, from which the scale of the loss is taken out first."""
        if self.scale is not None:
            torch._foreach_mul_(gradients, 1 / self.scale.value)
        return nn.utils.get_total_norm(gradients)

    def _may_skip(self) -> bool:
        return self.scale is not None and not self.scale.exhausted

    def _error(self, step: int, images: Tensor, targets: Tensor, files: Sequence[str], rate: float) -> NonFiniteError:
        def again() -> None:
            for part, (some, wanted) in enumerate(self._parts(images, targets)):
                self._forward(step, part, some, wanted)

        origin, files = self._origin(images, files, again)
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


def step_seed(seed: int, step: int, part: int = 0, rank: int = 0) -> int:
    """The seed of one part of one step of one process, far from those of its neighbours."""
    words = f"{seed} {step} {part}" if part else f"{seed} {step}"
    words += f" rank {rank}" if rank else ""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:7], "big")
