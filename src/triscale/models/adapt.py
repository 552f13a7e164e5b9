"""Whether tensors have the shapes that a model wants, and what is made to fit where only classes or channels differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from triscale.errors import WeightsError
from triscale.models.recognise import few


class Fitted(NamedTuple):
    """Tensors of the model's shapes by its names; keys that were adapted or kept fresh; keys that the source lacks."""

    tensors: dict[str, Tensor]
    adapted: tuple[str, ...]
    new: tuple[str, ...]


def fit(
    name: str,
    target: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    where: str,
    stem: str,
    answers: tuple[str, ...],
) -> Fitted:
    """Tensors for the model `name`, which has `target`.

    stem: the weight of the first convolution, which is made to fit another number of channels. answers: how the keys of
        layers begin that may have other outputs (classes); they are then left out. where: the source, for messages.
    Raises: WeightsError when a shape belongs to another model.
    """
    fitted: dict[str, Tensor] = {}
    adapted: list[str] = []
    wrong: list[str] = []
    for key, want in target.items():
        if key not in tensors:
            continue
        tensor = tensors[key]
        if tensor.is_meta or tensor.layout != torch.strided or tensor.is_floating_point() != want.is_floating_point():
            wrong.append(f"{key} is no plain tensor of {want.dtype}")
            continue
        if tensor.shape != want.shape and tensor.shape == (*want.shape, 1, 1):
            tensor = tensor.flatten(1)
        if tensor.shape == want.shape:
            fitted[key] = tensor
        elif key.startswith(answers) and tensor.ndim and tensor.shape[1:] == want.shape[1:]:
            adapted.append(key)
        elif key == stem and tensor.ndim == 4 and _without_channels(tensor) == _without_channels(want):
            fitted[key] = adapt_channels(tensor, want.shape[1])
            adapted.append(key)
        else:
            wrong.append(f"{key} {_shape(tensor)} instead of {_shape(want)}")
    if wrong:
        raise WeightsError(f"{where}: is not {name}: {few('of other shapes', wrong)}.")
    return Fitted(fitted, tuple(adapted), tuple(key for key in target if key not in tensors))


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _without_channels(weight: Tensor) -> tuple[int, ...]:
    return weight.shape[0], *weight.shape[2:]


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """The first convolution's weight for images of other channels, so that a grey picture gives the same response.

    The new channels are the old ones in turn; one that is there several times shares its weight among its copies, and
    what has no place among fewer channels is spread evenly over them. So the sum over the channels, which is all that a
    grey picture sees, stays what it was.
    """
    old = weight.shape[1]
    turns = [number % old for number in range(channels)]
    shares = weight.new_tensor([1 / turns.count(turn) for turn in turns])
    adapted = weight[:, turns] * shares[:, None, None]
    return adapted + weight[:, channels:].sum(1, keepdim=True) / channels
