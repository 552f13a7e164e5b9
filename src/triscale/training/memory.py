"""What a training takes: predicted by arithmetic, measured stage by stage on a few images, and at its peak."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.spec.network import Size
from triscale.spec.training_memory import TrainingMemory, training_memory
from triscale.training.evaluate import place
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe
from triscale.training.room import usage

MEASURED = 2  # images; BatchNorm needs two, and what is kept grows with their number exactly


def predicted_memory(model: Model, recipe: Recipe, plan: Plan) -> TrainingMemory | None:
    """What a step should keep; None where arithmetic cannot tell: in a module without a Network, or recomputed."""
    if not isinstance(model, ConvNet) or recipe.checkpoint_activations != "none":
        return None
    on_cpu = next(model.parameters()).device.type == "cpu"
    return training_memory(
        model.network,
        _size(model),
        plan.part_size,
        optimiser=recipe.optimiser,
        average=plan.ema_decay > 0,
        copies=not on_cpu or recipe.precision != "fp32",
        element=4 if recipe.precision == "fp32" else 2,
    )


def measured_activations(model: Model, images: int) -> dict[str, int]:
    """Bytes that a step of so many images keeps for the backward pass, by stage: measured on a copy with two images.

    Stages are "stem", "stage 1", …, "head" of a Network, else the module's own children.
    """
    size = _size(model)
    trial = copy.deepcopy(model).train()
    some = place(torch.zeros(MEASURED, model.in_channels, *size), trial)
    kept = kept_by_stage(trial, lambda: trial(some))
    return {name: round(each * images / MEASURED) for name, each in kept.items()}


def kept_by_stage(model: nn.Module, forward: Callable[[], Tensor]) -> dict[str, int]:
    """Bytes that autograd keeps of a forward pass, by the stage that asked for them first, beside the parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, Tensor] = {}  # nothing may be freed meanwhile: its address would come again
    stages: dict[str, int] = {}
    now = ["input"]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and storage.data_ptr() not in held:
            held[storage.data_ptr()] = tensor
            stages[now[0]] = stages.get(now[0], 0) + storage.nbytes()
        return tensor

    def enters(name: str) -> Callable[..., None]:
        return lambda *_: now.__setitem__(0, name)

    handles = [part.register_forward_pre_hook(enters(name)) for name, part in _stages(model).items()]
    try:
        with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return stages


class Peak:
    """The most memory that is taken from now on: of the GPU where `device` is one, else resident memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # Linux's high-water mark begins anew
        self.before = _resident()[0]

    def grown(self) -> int | None:
        """Bytes: at most allocated on the GPU; else by how much this process grew; None where nobody tells."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        most = _resident()[1]
        return most - self.before if most else None


def _resident() -> tuple[int, int]:
    try:
        now, most = usage()
    except OSError:
        return 0, 0
    return now.resident, most.resident


def _size(model: Model) -> Size:
    return model.preprocessing.train_size or model.preprocessing.size


def _stages(model: nn.Module) -> dict[str, nn.Module]:
    if isinstance(model, ConvNet):
        stages = {f"stage {number}": each for number, each in enumerate(model.stages, 1)}
        return {"stem": model.stem, **stages} | ({} if model.head is None else {"head": model.head})
    inner = model.layers if isinstance(model, Model) else model
    return dict(inner.named_children())
