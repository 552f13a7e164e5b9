"""Whose names a state dict has, and its tensors under ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from triscale.errors import WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.naming import NAMINGS, Naming, effdet, knows, layer_names
from triscale.spec.network import Head, Network

COUNTER = "num_batches_tracked"  # of a BatchNorm; no output depends on it, and old files lack it
HEADS = (Head(), Head(linear=1), Head(None))  # what may stand behind the stages in another library's form of a network


class Renamed(NamedTuple):
    """Tensors under our names, and the names in the source that belong to parts which the model does not have."""

    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]


def find_naming(model: ConvNet, tensors: Mapping[str, Tensor], where: str) -> Naming:
    """Whose names the tensors have: the naming that shares the most of them.

    Raises: WeightsError when none shares any.
    """
    known = [naming for naming in NAMINGS if knows(naming, model.network)]
    shared = {naming: len(set(tensor_names(model, naming).values()) & tensors.keys()) for naming in known}
    best = max(shared, key=lambda naming: shared[naming])
    if shared[best] == 0:
        raise WeightsError(
            f"{where}: none of its {len(tensors)} names belongs to {model.network.name} (it begins with "
            f"{', '.join(list(tensors)[:3])}); expected the naming of {' or '.join(known)}."
        )
    return best


def tensor_names(model: ConvNet, naming: Naming) -> dict[str, str]:
    """Our name of each tensor -> its name in `naming`; without those that have none there."""
    if naming == "triscale":
        return {key: key for key in model.state_dict()}
    layers = layer_names(model.network, naming)
    split = ((key, *key.rpartition(".")[::2]) for key in model.state_dict())
    return {key: f"{layers[layer]}.{tensor}" for key, layer, tensor in split if layer in layers}


def renamed(model: ConvNet, tensors: Mapping[str, Tensor], naming: Naming, where: str) -> Renamed:
    """The tensors under our names.

    A source may lack the whole head (a backbone), and may have more than a model that has none, or than a classifier
    (a detector). Raises: WeightsError when anything else is missing or too much.
    """
    names = tensor_names(model, naming)
    missing = {ours: theirs for ours, theirs in names.items() if theirs not in tensors and not ours.endswith(COUNTER)}
    if missing.keys() in _heads(names):
        missing = {}
    known = set(names.values())
    others = [key for key in tensors if key not in known]
    ignored = _unused(model.network, naming, others)
    extra = [key for key in others if key not in ignored]
    if missing or extra:
        parts = [_mixture(model, tensors), few("missing", list(missing.values())), few("not part of it", extra)]
        raise WeightsError(
            f"{where}: is not {model.network.name} in {naming} naming: {'; '.join(part for part in parts if part)}. "
            f"Make the model that these weights are of, or ask for the right file."
        )
    found = {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}
    return Renamed(found, tuple(key for key in others if key in ignored))


def _heads(names: Iterable[str]) -> tuple[set[str], set[str]]:
    """What a backbone lacks of our names: the head; of MobileNetV3 also without the convolution before its pool."""
    head = {ours for ours in names if ours.startswith("head.") and not ours.endswith(COUNTER)}
    pooled = {ours for ours in head if not ours.startswith("head.conv.")}
    return head, pooled if any(ours.startswith("head.linear.") for ours in head) else head


def _unused(network: Network, naming: Naming, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that belong to a head where the network has none, or to the rest of effdet's detectors."""
    if naming == "effdet":
        unused = {key for key in keys if key.startswith(effdet.DETECTOR)}
    else:
        unused = set()
    if network.head is None and naming == "triscale":
        unused |= {key for key in keys if key.startswith("head.")}
    elif network.head is None:
        layers = {
            theirs
            for head in HEADS
            if knows(naming, own := replace(network, head=head))
            for ours, theirs in layer_names(own, naming).items()
            if ours.startswith("head.")
        }
        unused |= {key for key in keys if key.rpartition(".")[0] in layers}
    return unused


def _mixture(model: ConvNet, tensors: Mapping[str, Tensor]) -> str:
    """Whose names the tensors have, where they are those of several libraries; else nothing."""
    theirs = {naming: set(tensor_names(model, naming).values()) for naming in NAMINGS if knows(naming, model.network)}
    counts = {}
    for naming, names in theirs.items():
        others = set().union(*(each for other, each in theirs.items() if other != naming))
        counts[naming] = len((names - others) & tensors.keys())
    mixed = [f"{count} of its names are {naming}'s" for naming, count in counts.items() if count]
    return f"two namings mixed, {' and '.join(mixed)}" if len(mixed) > 1 else ""


def few(what: str, keys: list[str]) -> str:
    """ "3 missing (a, b, c)": how many, and the first of them; nothing where there are none."""
    if not keys:
        return ""
    return f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
