"""One step of training: forward, backward, update; or a stop that says where the numbers went wrong."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.training.answer import Answer, Objective, Weigh
from triscale.training.guard import origin_of_nonfinite
from triscale.training.plan import Plan, schedule_of
from triscale.training.recipe import Recipe
from triscale.training.scaling import LossScale
from triscale.training.stage import mixing_at
from triscale.training.world import ALONE, World

NAMED_FILES = 4


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step found in all processes.

    loss: mean over its images, by their weight. sums: what the objective tells beside it. images: how many there were.
    weight: of all of them together; their number where each counts as one.
    skipped: the scaled gradients of float16 overflowed, and the weights are those before the step.
    """

    loss: float
    sums: Mapping[str, float]
    images: int
    weight: float
    learning_rate: float
    skipped: bool = False


class Part(NamedTuple):
    """Images that go through the network at once, (N, C, H, W), what is to be learnt of them, what they count for."""

    images: Tensor
    targets: Any
    weight: float


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
    weigh: what images count for; None counts each as one.
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
    weigh: Weigh | None = None

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
        parts = self._parts(images, targets)
        answer, own = self._backward(step, parts)
        parameters = [p for group in self.optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = self._norm([p.grad for p in parameters if p.grad is not None])
        found, size, sums, count, weight = self._found(answer, norm, len(images), own)
        finite = math.isfinite(size)
        if self.scale is not None:
            self.scale.update(finite or not math.isfinite(found))
        if not math.isfinite(found) or not (finite or self._may_skip()):
            raise self._error(step, images, parts, files, rate)
        if finite:
            if self.recipe.clip:
                nn.utils.clip_grads_with_norm_(parameters, self.recipe.clip, norm)
            self.optimiser.step()
        return StepResult(found, sums, count, weight, rate, skipped=not finite)

    def _found(
        self, answer: Answer, norm: Tensor, images: int, own: float
    ) -> tuple[float, float, dict[str, float], int, float]:
        """Mean loss, norm of the gradient, sums, images and weight, of all processes; one wait for the device.

        own: the weight of this process's images.
        """
        loss = answer.loss
        if self.world.is_alone:
            found, size, *sums = torch.stack([loss, norm, *answer.sums.values()]).tolist()
            return found, size, dict(zip(answer.sums, sums, strict=True)), images, own
        counts = [torch.full_like(loss, images), torch.full_like(loss, own)]
        whole = self.world.sum(torch.stack([loss * own, *counts, *answer.sums.values()]).double())
        total, count, weight, *sums, size = torch.cat([whole, norm.double().view(1)]).tolist()
        return total / weight, size, dict(zip(answer.sums, sums, strict=True)), round(count), weight

    def _set_rate(self, step: int) -> float:
        rate = schedule_of(self.recipe, self.plan).rate(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate

    def _backward(self, step: int, parts: Sequence[Part]) -> tuple[Answer, float]:
        """Gradients of the mean loss of all images, part by part; what came of them, and what they count for."""
        found = []
        factor = 1.0 if self.scale is None else self.scale.value
        own, share = self._shares(parts)
        for number, part in enumerate(parts):
            answer = self._forward(step, number, part)
            loss = answer.loss * (part.weight / own)  # each part counts by its weight
            whole = loss * (factor * share) if factor * share != 1 else loss
            whole.backward()
            found.append(Answer(loss.detach(), {name: each.detach() for name, each in answer.sums.items()}))
        self._share_gradients_beside()
        loss = torch.stack([each.loss for each in found]).sum()
        sums = {name: torch.stack([each.sums[name] for each in found]).sum().to(loss.dtype) for name in found[0].sums}
        return Answer(loss, sums), own

    def _shares(self, parts: Sequence[Part]) -> tuple[float, float]:
        """What this process's images count for, and what its loss must be multiplied by.

        The mean over all processes is to be that of the batch, whatever their shares of it.
        """
        own = sum(part.weight for part in parts)
        if self.world.is_alone:
            return own, 1.0
        if self.weigh is None:
            return own, own * self.world.size / self.plan.batch_size
        whole = float(self.world.sum(torch.tensor([own], dtype=torch.float64)))
        return own, own * self.world.size / whole

    def _share_gradients_beside(self) -> None:
        """Make gradients of what trains beside the network (a teacher's adapters, say) a mean over all."""
        if self.world.is_alone:
            return
        own = {id(each) for each in self.model.parameters()}
        for group in self.optimiser.param_groups:
            for each in group["params"]:
                if each.grad is not None and id(each) not in own:
                    self.world.sum(each.grad).div_(self.world.size)

    def _parts(self, images: Tensor, targets: Tensor) -> list[Part]:
        count = self.plan.accumulate
        pairs = list(zip(images.tensor_split(count), targets.tensor_split(count), strict=True))
        if self.weigh is None:
            return [Part(*each, len(each[0])) for each in pairs]
        batch = self.plan.batch_size
        return [Part(some, *self.weigh(some, wanted, len(some) / batch)) for some, wanted in pairs]

    def _forward(self, step: int, number: int, part: Part) -> Answer:
        """What comes of a part, with its random numbers."""
        images, targets, _ = part
        seed_device(images.device, step_seed(self.recipe.seed, step, number, self.world.rank))
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

    def _error(
        self, step: int, images: Tensor, parts: Sequence[Part], files: Sequence[str], rate: float
    ) -> NonFiniteError:
        def again() -> None:
            for number, part in enumerate(parts):
                self._forward(step, number, part)

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
