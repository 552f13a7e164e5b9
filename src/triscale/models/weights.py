"""Weights in and out: whose names they have, whether they fit, what was adapted, and which numerics they need."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triscale.errors import FileError, SpecError, WeightsError
from triscale.models.adapt import fit
from triscale.models.assembler import ConvNet, for_channels
from triscale.models.hub.fetch import fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.naming import Naming, numerics_of, torchvision
from triscale.models.published import Published, published_beside
from triscale.models.recognise import find_naming, renamed, tensor_names
from triscale.models.tensors import TensorFile, read_tensors, state_dict_in
from triscale.spec.card import ModelCard
from triscale.spec.files import card_from_dict, network_from_dict, preprocessing_from_dict
from triscale.spec.network import Network, Numerics
from triscale.spec.preprocessing import Preprocessing

FORMAT, VERSION = "triscale", 1  # the metadata key of our own files, and the version of what is under it
STEM, CLASSIFIER = "stem.0.conv.weight", "head.classifier"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What `load_weights` did. Tensors by our names, in the order of the network.

    loaded: taken as they are. adapted: made to fit another number of channels (the first convolution), or kept as the
    model had them because the classes are others (the classifier). new: not in the source, kept as the model had them.
    naming: whose names the source had. numerics: what the model now computes with; numerics_from: how they are known.
    ignored: the source's names of parts that the model does not have (a detector's pyramid and heads, or a classifier
    where the model has none).
    part: what of the model the source had, where that was not all of it ("the backbone alone").
    """

    loaded: tuple[str, ...]
    adapted: tuple[str, ...]
    new: tuple[str, ...]
    naming: Naming
    numerics: Numerics
    numerics_from: str
    ignored: tuple[str, ...] = ()
    part: str = ""

    def __str__(self) -> str:
        """One line for people."""
        changed = f"; adapted: {', '.join(self.adapted)}" if self.adapted else ""
        unused = f", {len(self.ignored)} of the source not used" if self.ignored else ""
        n, part = self.numerics, f"{self.part}: " if self.part else ""
        return (
            f"{part}{len(self.loaded)} tensors loaded in {self.naming} naming{changed}; {len(self.new)} new{unused}; "
            f"numerics {n.padding} padding, eps {n.eps:g} (from {self.numerics_from})"
        )


@dataclass(frozen=True, slots=True)
class OwnMetadata:
    """What one of our own files says beside its tensors."""

    network: Network
    preprocessing: Preprocessing
    card: ModelCard


def load_weights(
    model: ConvNet, source: str | Path | Mapping[str, Tensor] | TensorFile, numerics: Numerics | None = None
) -> LoadReport:
    """Copy weights into `model`, whoever named them, and make it compute as they need.

    source: a .safetensors or PyTorch file, a repository on the Hub (`hf://OWNER/REPO`), or a state dict; in our naming,
        timm's, efficientnet_pytorch's (which efficientnet_lite_pytorch shares), torchvision's, or effdet's (a detector,
        or its backbone alone).
    numerics: how these weights were trained to be computed with; otherwise it is told by our file, by the naming
        (efficientnet_pytorch: SAME, 1e-3; torchvision: symmetric; effdet: by its biases), by a config.json of timm's
        beside the file, or is the model's own, as its name fixes it.
    Returns: LoadReport. Where the numerics differ from the model's, `model.network.numerics` is now the weights'. From
        our own files, and from a config.json of timm's, preprocessing (but its size) and card come along.
    Raises: FileError when the file cannot be read, HubError when it cannot be fetched; WeightsError naming keys when it
        is of another network. The model is then unchanged.
    """
    if is_place(source):
        fetched = fetch_weights(source)
        file = read_tensors(fetched.path)
        report = load_weights(model, file, numerics)
        model.card = fetched.card(model.card, file.sha256)
        return report
    file = source if isinstance(source, TensorFile) else None if isinstance(source, Mapping) else read_tensors(source)
    tensors = state_dict_in(source, "the state dict") if file is None else file.tensors
    where = "the state dict" if file is None else str(file.path)
    own = None if file is None else own_metadata(file)
    naming = find_naming(model, tensors, where)
    target = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    ours = renamed(model, tensors, naming, where)
    fitted, adapted, new = fit(model.name, target, ours.tensors, where, STEM, (CLASSIFIER,))
    published = published_beside(file.path) if file is not None and own is None and naming == "timm" else None
    told = numerics_of(naming, model.network, tensors)
    found, how = _numerics(model.network, numerics, own, told, published)
    with torch.no_grad():
        for key, tensor in fitted.items():
            target[key].copy_(tensor)
    if found != model.network.numerics:
        model.set_numerics(found)
    preprocessing = None
    if own is not None:
        kept = model.preprocessing
        preprocessing = replace(own.preprocessing, size=kept.size, train_size=kept.train_size)
    elif published is not None:
        preprocessing = published.preprocessing_at(model.preprocessing.size)
    if preprocessing is not None:
        model.preprocessing = for_channels(preprocessing, model.network.in_channels)
    if file is not None:
        card = replace(published.card if published else ModelCard(), origin=file.path.name)
        model.card = _card(model, own.card if own else card, file.sha256)
    loaded = tuple(key for key in target if key in fitted and key not in adapted)
    return LoadReport(loaded, adapted, new, naming, found, how, ours.ignored)


def export_state_dict(model: ConvNet, naming: Naming = "timm") -> dict[str, Tensor]:
    """The weights under another library's names; `load_weights` and that library read them back, bit for bit.

    Returns: name -> a copy of the tensor, contiguous, on the model's device; for effdet the backbone without the head.
    Raises: WeightsError when that library has no such network, or cannot hold a trained Swish beta.
    """
    exported: OrderedDict[str, Tensor] = OrderedDict()
    if naming == "torchvision" and (version := torchvision.version(model.network)) is not None:
        exported.__dict__["_metadata"] = {"": {"version": version}}  # where PyTorch keeps it
    names = tensor_names(model, naming)
    for ours, tensor in model.state_dict().items():
        copied = tensor.detach().clone(memory_format=torch.contiguous_format)
        if ours in names:
            spatial = naming == "timm" and ours == "head.linear.weight"  # timm writes this layer as a 1x1 convolution
            exported[names[ours]] = copied[:, :, None, None] if spatial else copied
        elif naming == "effdet" and ours.startswith("head."):
            continue  # its detectors read feature maps
        elif not torch.equal(copied, torch.ones_like(copied)):
            raise WeightsError(f"{naming} has no place for {ours}={copied.tolist()}; use naming 'triscale'.")
    return exported


def own_metadata(file: TensorFile) -> OwnMetadata | None:
    """What one of our own files says of its network; None for anybody else's.

    Raises: FileError when it is of another version, damaged, or of a detector or a module that is no Network.
    """
    values = own_values(file)
    if values is None:
        return None
    if "module" in values:
        raise FileError(
            f"{file.path}: holds the weights of a module of your own ({factory_in(values)}), no Network; its code "
            f"is needed: ts.load(path, module=…), or --module path/to/{factory_in(values)} where a command takes it."
        )
    if "detector" in values:
        raise FileError(
            f"{file.path}: holds a detector, no classifier; read it with ts.load(path), or give it as "
            f"weights of create_detector."
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


def _numerics(
    network: Network,
    given: Numerics | None,
    own: OwnMetadata | None,
    told: Numerics | None,
    published: Published | None,
) -> tuple[Numerics, str]:
    """(numerics of the weights, how they are known)."""
    if given is not None:
        return given, "the caller"
    if own is not None:
        return own.network.numerics, "the file"
    if told is not None:
        return told, "the naming"
    if published is not None:
        return published.numerics, "config.json beside the file"
    return network.numerics, f"the model, {network.name}"


def _card(model: ConvNet, card: ModelCard, sha256: str) -> ModelCard:
    """The card of the weights; class names only while the classes are still those."""
    if len(card.classes) not in (0, model.network.classes):
        card = replace(card, classes=())
    return card if card.sha256 else replace(card, sha256=sha256)
