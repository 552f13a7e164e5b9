"""`load`: a model from one file; for a module of the user's own, with the code that the user gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import torch
from torch import Tensor, nn

from triscale.errors import FileError, SpecError, WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.files import load as load_network_file
from triscale.models.hub.fetch import fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.recognise import COUNTER
from triscale.models.tensors import TensorFile, read_tensors
from triscale.models.weights import own_values
from triscale.modules.build import rebuild
from triscale.modules.factory import Factory, as_factory
from triscale.modules.plain import Origin, PlainModel, Scaling
from triscale.spec.files import card_from_dict, from_dict, preprocessing_from_dict


@overload
def load(path: str | Path) -> ConvNet: ...
@overload
def load(path: str | Path, module: nn.Module | Callable[..., nn.Module] | Factory) -> PlainModel: ...
def load(
    path: str | Path, module: nn.Module | Callable[..., nn.Module] | Factory | None = None
) -> ConvNet | PlainModel:
    """Read a model that `save` wrote. It is ready to answer: in evaluation mode, on the CPU.

    module: for a file of a module of your own, the code: no file holds it, and none makes it run. Either the module
        itself, of the right shape, which then gets the weights; or the function that made it, which is then called and
        scaled as the file says.
    Raises: FileError when the file cannot be read, is of another version, or is no file of ours; WeightsError when its
        tensors are not those of its network or module.
    """
    if module is None:
        return load_network_file(path)
    file = read_tensors(fetch_weights(path).path if is_place(path) else path)
    values = own_values(file)
    if values is None or "module" not in values:
        what = "a network, which needs no code" if values is not None else "weights, but not of which module"
        raise FileError(f"{file.path}: holds {what}; load it without a module.")
    origin = origin_in(values, file)
    made = _module(module, origin)
    try:
        model = PlainModel(made, preprocessing_from_dict(values.get("preprocessing")), origin)
        model.card = card_from_dict(values.get("card"))
    except SpecError as error:
        raise FileError(f"{file.path}: its description is damaged: {error}") from None
    put(model, file.tensors, str(file.path))
    return model.eval()


def origin_in(values: Mapping[str, Any], file: TensorFile) -> Origin:
    """What a file says of how its module was made. Raises: FileError when it is damaged."""
    try:
        described = dict(values["module"]) if isinstance(values["module"], dict) else {}
        scaling = from_dict(Scaling, described.pop("scaling", None), "module.scaling")
        return replace(from_dict(Origin, described, "module"), scaling=scaling)
    except SpecError as error:
        raise FileError(f"{file.path}: its description of the module is damaged: {error}") from None


def put(model: PlainModel, tensors: Mapping[str, Tensor], where: str, new_classes: bool = False) -> tuple[str, ...]:
    """Copy weights into a user's module.

    new_classes: leave a last layer as it is where the weights have other classes.
    Returns: the names of what was left.
    Raises: WeightsError when names or shapes differ; the module is then unchanged.
    """
    target = {key: tensor.detach() for key, tensor in model.module.state_dict().items()}
    differing, left = [], []
    for key, tensor in target.items():
        if key not in tensors:
            differing += [] if key.endswith(COUNTER) else [f"{key} is missing"]
            continue
        have, want = tuple(tensors[key].shape), tuple(tensor.shape)
        if have != want and new_classes and have[1:] == want[1:] and want[0] == model.outputs:
            left.append(key)
        elif have != want:
            differing.append(f"{key} has shape {have} instead of {want}")
    differing += [f"{key} is not part of the module" for key in tensors if key not in target]
    if differing or len(left) > 2:
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise WeightsError(
            f"{where}: does not fit {model.name}: {(differing or ['more than one layer differs'])[0]}{more}; "
            f"make the module as it was made for these weights{_as_made(model.origin)}."
        )
    with torch.no_grad():
        for key in target.keys() & tensors.keys() - set(left):
            target[key].copy_(tensors[key])
    return tuple(left)


def changed_sources(factory: Factory, origin: Origin) -> list[str]:
    """The source files that are not those that made a file's module; empty where nothing is known of them."""
    if not origin.sources:
        return []
    names = sorted({*factory.sources, *origin.sources})
    return [name for name in names if factory.sources.get(name) != origin.sources.get(name)]


def _module(given: nn.Module | Callable[..., object] | Factory, origin: Origin) -> nn.Module:
    if isinstance(given, nn.Module):
        return given
    return rebuild(given if isinstance(given, Factory) else as_factory(given), origin).module


def _as_made(origin: Origin) -> str:
    how = origin.scaling
    wanted = f"to {how.budget}" if how.budget else f"depth {how.depth:g}, width {how.width:g}"
    if (origin.depth, origin.width) != (1.0, 1.0):
        wanted = f"depth {origin.depth:g}, width {origin.width:g}"
    return f" ({origin.factory}, {wanted}, {origin.outputs} outputs, {origin.size[0]} x {origin.size[1]} pixels)"
