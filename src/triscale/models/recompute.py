"""Activation checkpointing: parts of a network that are computed again in the backward pass instead of being kept.

Only the input of such a part stays in memory; its layers run a second time when their gradients are due, with the same
random numbers, and without a second update of BatchNorm's statistics. So a step computes about a third more, and its
result does not change by a bit.
Source: Chen et al. 2016, https://arxiv.org/abs/1604.06174.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from triscale.errors import ModuleError
from triscale.models.assembler import ConvNet

Recompute = Literal["none", "block", "stage"]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of BatchNorm, whoever wrote it


class _Recomputed:
    """Stands in for the `forward` of a module. A copy of the module gets one of its own, which calls the copy."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """What the module answers; its insides are not kept where gradients are recorded.

        Raises: ModuleError when it writes into its input, from which nothing could be computed again.
        """
        if not (torch.is_grad_enabled() and self.module.training):
            return self._forward(*inputs, **named)
        given = [each for each in (*inputs, *named.values()) if isinstance(each, Tensor)]
        versions = [each._version for each in given]
        answer = checkpoint(self._forward, *inputs, use_reentrant=False, context_fn=self._contexts, **named)
        if versions != [each._version for each in given]:
            raise ModuleError(
                f"{self.name}: {type(self.module).__name__} writes into its own input, so that it cannot be computed "
                f'again from it; leave checkpoint_activations = "none", or work on a copy (inplace=False).',
                self.name,
            )
        return answer

    def _forward(self, *inputs: Any, **named: Any) -> Any:
        return type(self.module).forward(self.module, *inputs, **named)

    def _contexts(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        """For the first run nothing; for the second, statistics that stay as they are."""
        return contextlib.nullcontext(), untracked(self.module)


@contextlib.contextmanager
def untracked(module: nn.Module) -> Generator[None]:
    """Within the block, layers in training write the statistics of their batch into copies that are thrown away."""
    norms = [each for each in module.modules() if each.training and each._buffers.get("running_mean") is not None]
    kept = [(norm, {name: norm._buffers[name] for name in STATISTICS if name in norm._buffers}) for norm in norms]
    for norm, statistics in kept:
        norm._buffers.update({name: value if value is None else value.clone() for name, value in statistics.items()})
    try:
        yield
    finally:
        for norm, statistics in kept:
            norm._buffers.update(statistics)


@contextlib.contextmanager
def recomputing(model: nn.Module, by: Recompute) -> Generator[int]:
    """Within the block, the blocks or stages of a model keep nothing but their input for the backward pass.

    by: "block", the least memory; "stage", coarser; "none" changes nothing.
    Yields: how many parts are computed again.
    Raises: ModuleError for a module in which no repeated blocks can be found.
    """
    parts = segments(model, by)
    if by != "none" and not parts:
        raise ModuleError(
            "no blocks were found to compute again (children of an nn.Sequential or nn.ModuleList with layers of their "
            'own); leave checkpoint_activations = "none".'
        )
    for name, module in parts.items():
        module.forward = _Recomputed(module, name)
    try:
        yield len(parts)
    finally:
        for module in parts.values():
            del module.forward


def segments(model: nn.Module, by: Recompute) -> dict[str, nn.Module]:
    """The parts of a model that are computed again, by name; no part is inside another.

    Of a Network: its stem, and its blocks or stages. Of any other module: its blocks are the innermost children of an
    nn.Sequential or nn.ModuleList that have layers of their own and are no such container themselves; its stages are
    the nn.Sequential around them, or the blocks where there is none.
    """
    if by == "none":
        return {}
    if isinstance(model, ConvNet):
        stages = {f"stages.{number}": stage for number, stage in enumerate(model.stages)}
        blocks = {f"{name}.{key}": block for name, stage in stages.items() for key, block in stage.named_children()}
        return {"stem": model.stem, **(blocks if by == "block" else stages)}
    named = dict(model.named_modules())
    blocks = {name for name, module in named.items() if _is_block(named, name, module)}
    blocks = {name for name in blocks if not any(other.startswith(f"{name}.") for other in blocks)}
    if by == "stage":
        stages = {_stage_of(named, name) for name in blocks}
        blocks = stages if len(stages) > 1 else blocks
        blocks = {name for name in blocks if not any(name.startswith(f"{other}.") for other in blocks)}
    return {name: module for name, module in named.items() if name in blocks}


def _stage_of(named: dict[str, nn.Module], block: str) -> str:
    """The nn.Sequential around a block; the block itself where it is in a list, whose calls only its owner knows."""
    parent = block.rpartition(".")[0]
    return parent if parent and isinstance(named[parent], nn.Sequential) else block


def _is_block(named: dict[str, nn.Module], name: str, module: nn.Module) -> bool:
    container = (nn.Sequential, nn.ModuleList)
    parent = named[name.rpartition(".")[0]] if name else None
    return (
        isinstance(parent, container)
        and not isinstance(module, container)
        and next(module.children(), None) is not None
        and next(module.parameters(), None) is not None
    )
