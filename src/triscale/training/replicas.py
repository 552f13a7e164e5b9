"""One network in several processes: the same weights in all of them, and the mean of their gradients."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from triscale.errors import TrainingError
from triscale.training.prepare import norms_of
from triscale.training.recipe import Compression
from triscale.training.sync_norm import synced_norms
from triscale.training.world import World


class Replica(nn.Module):
    """What images go through in training: the model, whose gradients become the mean over all processes.

    model: is used as it is, whatever is frozen or unfrozen in it on the way; it is no part of this module's state.
    compress: how gradients travel: as they are, or rounded to two bytes a number.
    Raises: TrainingError for "bf16" on a CPU, which gloo cannot send.
    """

    def __init__(self, model: nn.Module, world: World, compress: Compression = "none") -> None:
        super().__init__()
        if compress == "bf16" and not next(model.parameters()).is_cuda:
            raise TrainingError('Recipe.compress: "bf16" is for GPUs; give "fp16" or "none" on a CPU.')
        self._parts = (_WithSpare(model), world, compress)  # a tuple, so that they are not taken for submodules
        self._wrapped: tuple[DistributedDataParallel, ...] = ()
        self._trained: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        """The model's answer."""
        whole, world, compress = self._parts
        if world.is_alone or not torch.is_grad_enabled():
            return whole(images)
        trained = [id(each) for each in whole.parameters() if each.requires_grad]
        if trained != self._trained:
            self._wrapped = ()  # its hooks must be gone before others come
            self._wrapped, self._trained = (_wrapped(whole, compress),), trained
        return self._wrapped[0](images)


_BUFFERS = ("forward_sync_buffers", "broadcast_buffers")


class _WithSpare(nn.Module):
    """A model, and a parameter that nothing uses.

    Where parameters may stay unused (a user's module may have such), PyTorch keeps the order in which it sums gradients
    from the first step on, which exact resume needs; and it complains, unless one really is unused.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.spare = nn.Parameter(next(model.parameters()).new_zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images)


def _wrapped(whole: _WithSpare, compress: Compression) -> DistributedDataParallel:
    device = whole.spare.device
    # Statistics are kept equal by `synced_norms` or `share_statistics`; the switch has another name since torch 2.13.
    names = inspect.signature(DistributedDataParallel).parameters
    buffers: dict[str, Any] = {next(each for each in _BUFFERS if each in names): False}
    made = DistributedDataParallel(
        whole,
        device_ids=[device.index] if device.type == "cuda" else None,
        find_unused_parameters=True,
        init_sync=False,  # weights are equal already
        **buffers,
    )
    hook = _hook(compress)
    if hook is not None:
        made.register_comm_hook(None, hook)
    return made


def _hook(compress: Compression) -> Any:
    if compress == "none":
        return None
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    return default_hooks.fp16_compress_hook if compress == "fp16" else default_hooks.bf16_compress_hook


@contextlib.contextmanager
def in_step(model: nn.Module, world: World, sync_norms: bool) -> Generator[None]:
    """Within the block a model has the weights and statistics of process 0; with `sync_norms`, BatchNorm over all."""
    world.broadcast([*model.parameters(), *model.buffers()])
    with synced_norms(model, world) if sync_norms else contextlib.nullcontext():
        yield


def share_statistics(model: nn.Module, world: World) -> None:
    """Make the statistics of BatchNorm those of all processes: their mean. Needed where norms are not synchronised."""
    found = [each for norm in norms_of(model) for each in (norm.running_mean, norm.running_var) if each is not None]
    if world.is_alone or not found:
        return
    with torch.no_grad():
        flat = world.sum(torch.cat([each.flatten() for each in found])) / world.size
        for each, mean in zip(found, flat.split([each.numel() for each in found]), strict=True):
            each.copy_(mean.view_as(each))
