"""BatchNorm over the images of all processes that train together, so that they train as one does on the whole batch.

On a GPU that is torch's own SyncBatchNorm. It raises on a CPU; there it is `SyncedNorm`, which computes the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from triscale.errors import TrainingError
from triscale.training.world import World


class SyncedNorm(nn.BatchNorm2d):
    """BatchNorm whose statistics in training are those of the batches of all processes together, on a CPU.

    Shapes: (N, C) or (N, C, ...) -> the same; N may differ from process to process, and be 0 in some.
    Every process gets the same running statistics, to the last bit. In evaluation it is a usual BatchNorm.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it. Raises: TrainingError where all processes together have one value a channel."""
        if not self.training:
            return super().forward(input)
        mean, var, count = _statistics(input)
        if count <= 1:
            raise TrainingError(
                "BatchNorm needs more than one value a channel: train with a larger batch or larger images."
            )
        self._follow(mean, var * (count / (count - 1)))
        return _Normalise.apply(input, self.weight, self.bias, mean, var, count, self.eps)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics towards those of a batch."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(var.to(self.running_var.dtype), share)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise TrainingError(f"BatchNorm needs input of 2 or more dimensions, got {input.dim()}.")


@torch.no_grad()
def _statistics(input: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and variance (C,) float32 over all processes, and how many values a channel there are.

    Counts, means and summed squares of deviations are combined, not sums of squares: those lose the variance of
    channels whose mean is large. Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm".
    """
    channels = input.shape[1]
    own = torch.zeros(2 * channels + 1, dtype=torch.float64)
    if input.numel():
        flat = input.float().movedim(1, -1).reshape(-1, channels)
        var, mean = torch.var_mean(flat, 0, correction=0)
        own = torch.cat([torch.tensor([float(len(flat))]).double(), mean.double(), var.double() * len(flat)])
    each = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(each, own)
    found = torch.stack(each)
    counts, means, squares = found[:, :1], found[:, 1 : channels + 1], found[:, channels + 1 :]
    total = counts.sum().clamp(min=1)
    mean = (counts * means).sum(0) / total
    var = (squares + counts * (means - mean).square()).sum(0) / total
    return mean.float(), var.float(), int(counts.sum())


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias, where mean and variance are of the inputs of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        var: Tensor,
        count: int,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(input, weight, mean, var)
        ctx.count, ctx.eps = count, eps
        if not input.numel():
            return input.clone()
        return functional.batch_norm(input, mean, var, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The statistics depend on every input, so the gradient of each has two terms that sum over all processes.

        The gradients of weight and bias are those of the own images; the processes' are averaged with all others.
        """
        input, weight, mean, var = ctx.saved_tensors
        (outer,) = gradients
        channels = len(mean)
        inner, by_weight, by_bias = None, mean.new_zeros(channels), mean.new_zeros(channels)
        if input.numel():
            inner, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
                outer, input, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
            )
        sums = torch.cat([by_weight, by_bias]).double()
        dist.all_reduce(sums)
        inverse = (var.double() + ctx.eps).rsqrt()
        scale = inverse if weight is None else inverse * weight.double()
        # inner is scale * outer; from it go scale * (mean of outer + normalised input * mean of outer * normalised).
        slope = scale * inverse * sums[:channels] / ctx.count
        offset = scale * sums[channels:] / ctx.count - slope * mean.double()
        shape = (1, channels) + (1,) * (input.ndim - 2)
        if inner is None:
            inner = torch.zeros_like(input)
        else:
            inner = inner - torch.addcmul(offset.float().view(shape), input.float(), slope.float().view(shape))
        affine = weight is not None
        return inner.to(input.dtype), by_weight if affine else None, by_bias if affine else None, None, None, None, None


@contextlib.contextmanager
def synced_norms(model: nn.Module, world: World) -> Generator[None]:
    """Within the block, every BatchNorm of a model is over the images of all processes; names and tensors stay.

    Weights and statistics are those of the model's own layers, which are put back at the end.
    """
    own = {} if world.is_alone else _norms(model)
    on_gpu = next(model.parameters()).is_cuda
    made: dict[int, nn.Module] = {}
    try:
        for name, norm in own.items():
            synced = made.get(id(norm)) or _synced(norm, on_gpu)
            made[id(norm)] = synced
            _put(model, name, synced)
        yield
    finally:
        for name, norm in own.items():
            norm.train(made[id(norm)].training if id(norm) in made else norm.training)
            _put(model, name, norm)


def _norms(model: nn.Module) -> dict[str, nn.BatchNorm1d | nn.BatchNorm2d]:
    named = model.named_modules(remove_duplicate=False)
    return {name: each for name, each in named if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d) and name}


def _synced(norm: nn.BatchNorm1d | nn.BatchNorm2d, on_gpu: bool) -> nn.Module:
    kind = nn.SyncBatchNorm if on_gpu else SyncedNorm
    made = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made.weight, made.bias = norm.weight, norm.bias
    made.running_mean, made.running_var = norm.running_mean, norm.running_var
    made.num_batches_tracked = norm.num_batches_tracked
    return made.train(norm.training)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)
