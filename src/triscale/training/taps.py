"""What goes on inside a model while it answers: its pooled features, or its maps at some strides."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.modules.plain import example


@dataclass(frozen=True, slots=True)
class Tap:
    """A place in a model: what `module` reads, or what it answers."""

    module: nn.Module
    reads: bool


def taps_of(model: Model, strides: Sequence[int]) -> dict[str, Tap]:
    """The last map at each of the strides, or without any the pooled features that the classifier reads.

    Raises: TrainingError where there is no map at a stride.
    """
    if not strides:
        # Dropout stands before the classifier; features are compared as they come before it.
        pooled = model.head.dropout if isinstance(model, ConvNet) and model.head is not None else None
        return {"pooled": Tap(pooled or model.layers.get_submodule(model.classifier()), reads=True)}
    if not isinstance(model, ConvNet):
        raise TrainingError(f"{model.name} is a module of your own, whose maps have no names; leave out the strides.")
    stages = model.network.reductions()
    missing = [stride for stride in strides if stride not in stages]
    if missing:
        there = ", ".join(map(str, stages))
        raise TrainingError(f"{model.name} has no map at stride {missing[0]}; distillation.maps takes {there}.")
    return {f"stride {stride}": Tap(model.stages[stages[stride]], reads=False) for stride in strides}


@contextlib.contextmanager
def tapped(taps: Mapping[str, Tap]) -> Generator[dict[str, Tensor]]:
    """Within the block, the mapping that it gives holds what went through each tap the last time."""
    seen: dict[str, Tensor] = {}

    def note_input(name: str, inputs: tuple[Tensor, ...]) -> None:
        seen[name] = inputs[0]

    def note_output(name: str, output: Tensor) -> None:
        seen[name] = output

    hooks = [
        tap.module.register_forward_pre_hook(lambda _, inputs, name=name: note_input(name, inputs))
        if tap.reads
        else tap.module.register_forward_hook(lambda _, __, output, name=name: note_output(name, output))
        for name, tap in taps.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def channels_at(model: Model, taps: Mapping[str, Tap]) -> dict[str, int]:
    """Channels of what goes through each tap; the model answers one image, and is then in evaluation mode.

    Raises: TrainingError for what is neither features (B, C) nor maps (B, C, H, W).
    """
    model.eval()
    with tapped(taps) as seen:
        model(example(model, model.in_channels, model.preprocessing.size, batch=1))
    for name, values in seen.items():
        if values.ndim not in (2, 4):
            raise TrainingError(f"{model.name}: what is {name} has shape {tuple(values.shape)}; expected (B, C) of it.")
    return {name: values.shape[1] for name, values in seen.items()}
