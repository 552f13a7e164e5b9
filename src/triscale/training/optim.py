"""Optimisers, and which weights decay: those of convolutions and linear layers, never BatchNorm or slopes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError

OptimiserName = Literal["sgd", "adamw", "rmsprop_tf"]
OPTIMISERS: tuple[OptimiserName, ...] = get_args(OptimiserName)


class RMSpropTF(torch.optim.Optimizer):
    """RMSProp as TensorFlow computes it, which EfficientNet was trained with; PyTorch's differs in three places.

    The mean square starts at 1, eps is inside the root, and the learning rate is inside the momentum:
        s <- decay * s + (1 - decay) * g^2;  m <- momentum * m + lr * g / sqrt(s + eps);  w <- w - m
    weight_decay is added to the gradient (L2), as in the owners' loss.
    Source: tf.raw_ops.ApplyRMSProp; decay 0.9, momentum 0.9, eps 1e-3: tensorflow/tpu efficientnet utils.py.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        decay: float = 0.9,
        momentum: float = 0.9,
        eps: float = 1e-3,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "decay": decay, "momentum": momentum, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # ty: ignore[incompatible-method-override]
        """One update from the gradients that are there."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean_square"] = torch.ones_like(parameter)
            state["momentum"] = torch.zeros_like(parameter)
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        mean_square, momentum = state["mean_square"], state["momentum"]
        mean_square.mul_(group["decay"]).addcmul_(gradient, gradient, value=1 - group["decay"])
        momentum.mul_(group["momentum"]).addcdiv_(gradient, (mean_square + group["eps"]).sqrt_(), value=group["lr"])
        parameter.sub_(momentum)


def make_optimiser(
    model: nn.Module,
    name: OptimiserName,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    decay_biases: bool = False,
    rates: Sequence[tuple[nn.Module, float]] = (),
) -> torch.optim.Optimizer:
    """An optimiser over the trainable parameters of a model.

    momentum: also the first beta of AdamW; SGD uses Nesterov's. weight_decay: of weights with two or more dimensions.
    decay_biases: also of the biases of convolutions and linear layers.
    rates: (part of the model, factor of the learning rate in it); see `parameter_groups`.
    Raises: TrainingError when nothing is trainable.
    """
    groups = parameter_groups(model, weight_decay, decay_biases, rates)
    if not groups:
        raise TrainingError("the model has no trainable parameter; freeze less.")
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(momentum, 0.999))
    if name == "rmsprop_tf":
        return RMSpropTF(groups, lr=learning_rate, momentum=momentum)
    raise TrainingError(f"unknown optimiser {name!r}; choose one of {', '.join(OPTIMISERS)}.")


def parameter_groups(
    model: nn.Module, weight_decay: float, decay_biases: bool = False, rates: Sequence[tuple[nn.Module, float]] = ()
) -> list[dict[str, Any]]:
    """Two groups, with and without weight decay, or two for each factor of the learning rate; no group is empty.

    rates: (part of the model, factor). What is in no part gets the smallest factor. A group's `lr_scale` says its own.
    """
    biases = {id(bias) for bias in biases_of(model)} if decay_biases else set()
    own = {id(p): factor for part, factor in reversed(rates) for p in part.parameters()}
    other = min((factor for _, factor in rates), default=1.0)
    made: dict[tuple[float, bool], list[Tensor]] = {}
    for factor in dict.fromkeys([factor for _, factor in rates] or [1.0]):
        made |= {(factor, True): [], (factor, False): []}
    for p in model.parameters():
        if p.requires_grad:
            made[own.get(id(p), other), p.ndim > 1 or id(p) in biases].append(p)
    return [
        {"params": params, "weight_decay": weight_decay if decays else 0.0, "lr_scale": factor}
        for (factor, decays), params in made.items()
        if params
    ]


def biases_of(model: nn.Module) -> list[Tensor]:
    """The biases of every convolution and linear layer; none of a BatchNorm."""
    layers = (each for each in model.modules() if isinstance(each, nn.modules.conv._ConvNd | nn.Linear))
    return [layer.bias for layer in layers if layer.bias is not None]


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors, `NUMBER.NAME`; numbers count the parameters over all groups."""
    return {
        f"{number}.{name}": value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        for number, parameter in enumerate(_parameters(optimiser))
        for name, value in optimiser.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Undo `optimiser_tensors`. Memory layouts follow the parameters, so that going on is exact to the last bit."""
    for number, parameter in enumerate(_parameters(optimiser)):
        names = [key.partition(".")[2] for key in tensors if key.partition(".")[0] == str(number)]
        state = {}
        for name in names:
            value = tensors[f"{number}.{name}"]
            alike = name != "step" and value.shape == parameter.shape
            state[name] = (torch.empty_like(parameter) if alike else torch.empty_like(value)).copy_(value)
        if state:
            optimiser.state[parameter] = state


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]
