"""Weights in and out: whose names they have, whether they fit, what was adapted, and which numerics they need."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triscale.errors import FileError, SpecError, WeightsError
from triscale.models.assembler import ConvNet, for_channels
from triscale.models.naming import NAMINGS, Naming, knows, layer_names
from triscale.models.tensors import TensorFile, read_tensors, state_dict_in
from triscale.spec import families
from triscale.spec.card import ModelCard
from triscale.spec.files import card_from_dict, network_from_dict, preprocessing_from_dict, read_json
from triscale.spec.network import Network, Numerics
from triscale.spec.preprocessing import Preprocessing

FORMAT, VERSION = "triscale", 1  # the metadata key of our own files, and the version of what is under it
COUNTER = "num_batches_tracked"  # of a BatchNorm; no output depends on it, and old files lack it
STEM, CLASSIFIER = "stem.0.conv.weight", "head.classifier"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What `load_weights` did. Tensors by our names, in the order of the network.

    loaded: taken as they are. adapted: made to fit another number of channels (the first convolution), or kept as the
    model had them because the classes are others (the classifier). new: not in the source, kept as the model had them.
    naming: whose names the source had. numerics: what the model now computes with; numerics_from: how they are known.
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    new: tuple[str, ...]
    naming: Naming
    numerics: Numerics
    numerics_from: str

    def __str__(self) -> str:
        """One line for people."""
        changed = f"; adapted: {', '.join(self.adapted)}" if self.adapted else ""
        n = self.numerics
        return (
            f"{len(self.loaded)} tensors loaded in {self.naming} naming{changed}; {len(self.new)} new; numerics "
            f"{n.padding} padding, eps {n.eps:g} (from {self.numerics_from})"
        )


@dataclass(frozen=True, slots=True)
class OwnMetadata:
    """What one of our own files says beside its tensors."""

    network: Network
    preprocessing: Preprocessing
    card: ModelCard


def load_weights(
    model: ConvNet, source: str | Path | Mapping[str, Tensor], numerics: Numerics | None = None
) -> LoadReport:
    """Copy weights into `model`, whoever named them, and make it compute as they need.

    source: a .safetensors or PyTorch file, or a state dict; in our naming, timm's, efficientnet_pytorch's (which
        efficientnet_lite_pytorch shares) or torchvision's.
    numerics: how these weights were trained to be computed with; otherwise it is told by our file, by the naming
        (efficientnet_pytorch: SAME, 1e-3; torchvision: symmetric), by a config.json of timm's beside the file, or is
        the model's own, as its name fixes it.
    Returns: LoadReport. Where the numerics differ from the model's, `model.network.numerics` is now the weights'. From
        our own files preprocessing (but its size) and card come along.
    Raises: FileError when the file cannot be read; WeightsError naming keys when it is of another network. The model is
        then unchanged.
    """
    file = None if isinstance(source, Mapping) else read_tensors(source)
    tensors = state_dict_in(source, "the state dict") if file is None else file.tensors
    where = "the state dict" if file is None else str(file.path)
    own = None if file is None else own_metadata(file)
    naming = find_naming(model, tensors, where)
    target = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    fitted, adapted, new = _fit(model.network, target, _renamed(model, tensors, naming, where), where)
    found, how = _numerics(model.network, naming, numerics, own, file)
    with torch.no_grad():
        for key, tensor in fitted.items():
            target[key].copy_(tensor)
    if found != model.network.numerics:
        model.set_numerics(found)
    if own is not None:
        model.preprocessing = for_channels(
            replace(own.preprocessing, size=model.preprocessing.size, train_size=model.preprocessing.train_size),
            model.network.in_channels,
        )
    if file is not None:
        model.card = _card(model, own, file)
    loaded = tuple(key for key in target if key in fitted and key not in adapted)
    return LoadReport(loaded, adapted, new, naming, found, how)


def export_state_dict(model: ConvNet, naming: Naming = "timm") -> dict[str, Tensor]:
    """The weights under another library's names; `load_weights` and that library read them back, bit for bit.

    Returns: name -> a copy of the tensor, contiguous, on the model's device.
    Raises: WeightsError when that library has no such network, or cannot hold a trained Swish beta.
    """
    renamed = {}
    names = _tensor_names(model, naming)
    for ours, tensor in model.state_dict().items():
        copied = tensor.detach().clone(memory_format=torch.contiguous_format)
        if ours in names:
            spatial = naming == "timm" and ours == "head.linear.weight"  # timm writes this layer as a 1x1 convolution
            renamed[names[ours]] = copied[:, :, None, None] if spatial else copied
        elif not torch.equal(copied, torch.ones_like(copied)):
            raise WeightsError(f"{naming} has no place for {ours}={copied.tolist()}; use naming 'triscale'.")
    return renamed


def own_metadata(file: TensorFile) -> OwnMetadata | None:
    """What one of our own files says of its network; None for anybody else's.

    Raises: FileError when it is of another version, damaged, or of a module that is no Network.
    """
    values = own_values(file)
    if values is None:
        return None
    if "module" in values:
        raise FileError(
            f"{file.path}: holds the weights of a module of your own ({factory_in(values)}), no Network; its code "
            f"is needed: ts.load(path, module=…), or --module path/to/{factory_in(values)} where a command takes it."
        )
    try:
        return OwnMetadata(
            network_from_dict(values.get("network")),
            preprocessing_from_dict(values.get("preprocessing")),
            card_from_dict(values.get("card")),
        )
    except SpecError as error:
        raise FileError(f"{file.path}: its description of the network is damaged: {error}") from None


def own_values(file: TensorFile) -> dict[str, Any] | None:
    """What one of our own files says beside its tensors, as plain values; None for anybody else's.

    Raises: FileError when it is of another version or damaged.
    """
    text = file.metadata.get(FORMAT)
    if text is None:
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{file.path}: its description of the network is no JSON ({error}).") from None
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise FileError(
            f"{file.path}: is of format version {version!r}, this triscale reads {VERSION}; use the triscale that "
            f"wrote it, or a newer one."
        )
    return values


def factory_in(values: dict[str, Any]) -> str:
    """The name of the code that made a user's own module, as its file of weights has it."""
    described = values["module"]
    named = described.get("factory") if isinstance(described, dict) else None
    return named[:80] if isinstance(named, str) and named else "my.py:factory"


def find_naming(model: ConvNet, tensors: Mapping[str, Tensor], where: str) -> Naming:
    """Whose names the tensors have: the naming that shares the most of them.

    Raises: WeightsError when none shares any.
    """
    known = [naming for naming in NAMINGS if knows(naming, model.network)]
    shared = {naming: len(set(_tensor_names(model, naming).values()) & tensors.keys()) for naming in known}
    best = max(shared, key=lambda naming: shared[naming])
    if shared[best] == 0:
        raise WeightsError(
            f"{where}: none of its {len(tensors)} names belongs to {model.network.name} (it begins with "
            f"{', '.join(list(tensors)[:3])}); expected the naming of {' or '.join(known)}."
        )
    return best


def _tensor_names(model: ConvNet, naming: Naming) -> dict[str, str]:
    """Our name of each tensor -> its name in `naming`; without those that have none there."""
    if naming == "triscale":
        return {key: key for key in model.state_dict()}
    layers = layer_names(model.network, naming)
    split = ((key, *key.rpartition(".")[::2]) for key in model.state_dict())
    return {key: f"{layers[layer]}.{tensor}" for key, layer, tensor in split if layer in layers}


def _renamed(model: ConvNet, tensors: Mapping[str, Tensor], naming: Naming, where: str) -> dict[str, Tensor]:
    """The tensors under our names; WeightsError when some are missing or too many."""
    names = _tensor_names(model, naming)
    missing = [theirs for theirs in names.values() if theirs not in tensors and not theirs.endswith(COUNTER)]
    extra = [key for key in tensors if key not in set(names.values())]
    if missing or extra:
        parts = [_few("missing", missing), _few("not part of it", extra)]
        raise WeightsError(
            f"{where}: is not {model.network.name} in {naming} naming: {'; '.join(part for part in parts if part)}. "
            f"Make the model that these weights are of, or ask for the right file."
        )
    return {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}


def _few(what: str, keys: list[str]) -> str:
    if not keys:
        return ""
    return f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"


def _fit(
    network: Network, target: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str
) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """(tensors of the model's shapes, adapted keys, new keys); WeightsError when a shape belongs to another network."""
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
        elif key.startswith(CLASSIFIER) and tensor.ndim and tensor.shape[1:] == want.shape[1:]:
            adapted.append(key)
        elif key == STEM and tensor.ndim == 4 and _without_channels(tensor) == _without_channels(want):
            fitted[key] = adapt_channels(tensor, want.shape[1])
            adapted.append(key)
        else:
            wrong.append(f"{key} {_shape(tensor)} instead of {_shape(want)}")
    if wrong:
        raise WeightsError(f"{where}: is not {network.name}: {_few('of other shapes', wrong)}.")
    return fitted, tuple(adapted), tuple(key for key in target if key not in tensors)


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _without_channels(weight: Tensor) -> tuple[int, ...]:
    return weight.shape[0], *weight.shape[2:]


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """The first convolution's weight for images of other channels, so that a grey picture gives the same response.

    One channel gets the sum of all; other counts get the old ones in turn, scaled by old / new.
    """
    old = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return weight[:, [number % old for number in range(channels)]] * (old / channels)


def _numerics(
    network: Network, naming: Naming, given: Numerics | None, own: OwnMetadata | None, file: TensorFile | None
) -> tuple[Numerics, str]:
    """(numerics of the weights, how they are known)."""
    if given is not None:
        return given, "the caller"
    if own is not None:
        return own.network.numerics, "the file"
    if naming == "efficientnet_pytorch":
        return families.GOOGLE, "the naming"
    if naming == "torchvision":
        return _torchvision_numerics(network), "the naming"
    if naming == "timm" and file is not None and (architecture := _architecture(file.path)) is not None:
        return architecture, "config.json beside the file"
    return network.numerics, f"the model, {network.name}"


def _torchvision_numerics(network: Network) -> Numerics:
    """B0-B4 are PyTorch's defaults; B5-B7 (from 39 blocks up) and V2 keep Google's eps, and B5-B7 its momentum."""
    fused = any(stage.blocks[0].kind == "fused" for stage in network.stages)
    if not fused and sum(len(stage.blocks) for stage in network.stages) < 39:
        return Numerics("symmetric", 1e-5, 0.1)
    return Numerics("symmetric", 1e-3, 0.1 if fused else 0.01)


def _architecture(weights: Path) -> Numerics | None:
    """The numerics of the network that timm's config.json beside the weights names; None without one."""
    path = weights.with_name("config.json")
    if not path.is_file():
        return None
    config = read_json(path)
    name = config.get("architecture") if isinstance(config, dict) else None
    if not isinstance(name, str):
        return None
    try:
        return families.network(name).numerics
    except SpecError:
        return families.GOOGLE if name.startswith("tf_") else families.TIMM


def _card(model: ConvNet, own: OwnMetadata | None, file: TensorFile) -> ModelCard:
    """The card of the weights; class names only while the classes are still those."""
    card = own.card if own is not None else ModelCard(origin=file.path.name)
    if len(card.classes) not in (0, model.network.classes):
        card = replace(card, classes=())
    return card if card.sha256 else replace(card, sha256=file.sha256)
