"""Another number of classes for a module that does not ask for one: its last layer is replaced by a fresh one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from triscale.errors import SpecError


def with_outputs(module: nn.Module, images: Tensor, classes: int, name: str) -> tuple[nn.Module, str]:
    """A module with `classes` outputs: itself where it has them, else with a fresh layer in place of its last one.

    The last layer is the linear layer or 1x1 convolution that ran last and has as many outputs as the module; the proof
    that it makes the output is that the module has `classes` outputs once it is replaced.

    images: (B, C, H, W), for which the module answers. name: of the module, for errors.
    Returns: (module, the path of the layer that is fresh; "" where there was nothing to do). The module is changed.
    Raises: SpecError when no such layer is found; the module is then as it was.
    """
    outputs, ran = _run(module, images)
    if outputs == classes:
        return module, ""
    path = next((path for path, width in reversed(ran) if width == outputs), None)
    if path is not None and sum(each == path for each, _ in ran) == 1:
        trial = copy.deepcopy(module)
        trial.set_submodule(path, _fresh(trial.get_submodule(path), classes))
        if _outputs_or_none(trial, images) == classes:
            module.set_submodule(path, trial.get_submodule(path))
            return module, path
    raise SpecError(
        f"{name}: gives {outputs} outputs instead of {classes}, and no last layer could be found to replace; "
        f"give the factory a num_classes argument."
    )


def last_layer(module: nn.Module, images: Tensor, name: str) -> str:
    """The path of the layer that makes a module's outputs: a linear layer or 1x1 convolution, the last to run so wide.

    images: (B, C, H, W), for which the module answers. name: of the module, for errors.
    Raises: SpecError when there is none.
    """
    outputs, ran = _run(module, images)
    path = next((path for path, width in reversed(ran) if width == outputs), None)
    if path is None:
        raise SpecError(f"{name}: gives {outputs} outputs, but none of its linear layers has so many; it has no head.")
    return path


def _run(module: nn.Module, images: Tensor) -> tuple[int, list[tuple[str, int]]]:
    """(outputs of an image, (path, outputs) of each layer that could be the last, in the order in which they ran)."""
    ran: list[tuple[str, int]] = []

    def note(path: str, width: int) -> None:
        ran.append((path, width))

    hooks = []
    for path, layer in module.named_modules():
        width = _width(layer)
        if path and width:
            hooks.append(layer.register_forward_hook(lambda *_, path=path, width=width: note(path, width)))
    try:
        return _answer(module, images).shape[1], ran
    finally:
        for hook in hooks:
            hook.remove()


def _width(layer: nn.Module) -> int:
    """Outputs of a layer that could be a classifier, else 0. A subclass does something of its own, and stays."""
    if type(layer) is nn.Linear:
        return layer.out_features
    return layer.out_channels if type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and layer.groups == 1 else 0


def _fresh(layer: nn.Module, classes: int) -> nn.Module:
    assert isinstance(layer, nn.Linear | nn.Conv2d)  # as `_width` chose it
    biased, device, kind = layer.bias is not None, layer.weight.device, layer.weight.dtype
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, classes, biased, device, kind)
    made = nn.Conv2d(layer.in_channels, classes, 1, bias=biased, device=device, dtype=kind)
    made.stride, made.padding = layer.stride, layer.padding
    return made


def _outputs_or_none(module: nn.Module, images: Tensor) -> int | None:
    try:
        answer = _answer(module, images)
    except Exception:  # the user's code may say anything about a last layer that it did not expect
        return None
    return answer.shape[1] if answer.ndim == 2 else None


def _answer(module: nn.Module, images: Tensor) -> Tensor:
    """The module's logits in evaluation mode; it is left in the mode in which it was."""
    modes = {each: each.training for each in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            return module(images)
    finally:
        for each, mode in modes.items():
            each.training = mode
