"""Where the first value that is not finite came from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def origin_of_nonfinite(model: nn.Module, images: Tensor, forward: Callable[[], object]) -> str:
    """Where in a step that went wrong the first value that is not finite appeared, in words.

    It looks at the images, then the weights, then at each layer's output in the order in which they run (the step is
    run again by `forward`, with the same random numbers), and at last at the gradients that the step left behind.
    """
    if not torch.isfinite(images).all():
        return "the images"
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights of layer {name.rpartition('.')[0]} ({name.rpartition('.')[2]})"
    layer = _first_bad_output(model, forward)
    if layer is not None:
        return f"the output of layer {layer}"
    for name, parameter in reversed(list(model.named_parameters())):
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"the gradient of layer {name.rpartition('.')[0]} ({name.rpartition('.')[2]})"
    return "the loss"


def _first_bad_output(model: nn.Module, forward: Callable[[], object]) -> str | None:
    bad: list[str] = []

    def hook_for(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def check(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if not bad and isinstance(output, Tensor) and not torch.isfinite(output).all():
                bad.append(name)

        return check

    leaves = [(name, each) for name, each in model.named_modules() if not any(each.children())]
    hooks = [each.register_forward_hook(hook_for(name)) for name, each in leaves]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return bad[0] if bad else None
