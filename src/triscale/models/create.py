"""`create_model`: a network by name or as data, with weights or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from triscale.errors import SpecError
from triscale.models.assembler import ConvNet, default_preprocessing, for_channels
from triscale.models.files import describe
from triscale.models.hub.fetch import Fetched, fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.pretrained import require_pretrained
from triscale.models.published import published_beside
from triscale.models.tensors import TensorFile, read_tensors
from triscale.models.weights import CLASSIFIER, LoadReport, load_weights, own_metadata
from triscale.spec import families
from triscale.spec.card import ModelCard
from triscale.spec.network import Network, Size
from triscale.spec.preprocessing import Preprocessing


def create_model(
    name_or_network: str | Network,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> ConvNet:
    """A model, ready to answer (in evaluation mode; call `.train()` to train it).

    name_or_network: a name of `list_networks()`, or a Network; or `hf://OWNER/REPO`, a repository on the Hub, whose
        network and weights are taken together.
    weights: None for fresh ones; "pretrained" for those that an installed package carries; a file (see `load_weights`);
        or `hf://OWNER/REPO[@REVISION][/FILE]`. Nothing is downloaded but for names that begin with `hf://`.
    num_classes: of the classifier; with weights of other classes the classifier is fresh.
    in_channels: of the images; the first convolution of weights for others is adapted.
    Raises: SpecError for an unknown name or an impossible number; WeightsError when no weights are there or they do not
        fit; FileError when they cannot be read; HubError when they cannot be fetched.
    """
    return create_with_report(name_or_network, weights, num_classes, in_channels)[0]


def create_with_report(
    name_or_network: str | Network,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> tuple[ConvNet, LoadReport | None]:
    """`create_model`, and what was done with its weights; None for fresh ones. Arguments and errors are the same."""
    if is_place(name_or_network):
        return _of_repository(name_or_network, weights, num_classes, in_channels)
    if isinstance(name_or_network, Network):
        network, preprocessing = name_or_network, None
    else:
        network = families.network(name_or_network)
        preprocessing = families.preprocessing(name_or_network)
    network = _changed(network, num_classes, in_channels)
    if weights == "pretrained":
        return _with_pretrained(network)
    chosen = default_preprocessing(network) if preprocessing is None else preprocessing
    if weights is None:
        return ConvNet(network, for_channels(chosen, network.in_channels)).eval(), None
    fetched = fetch_weights(weights) if is_place(weights) else None
    file = read_tensors(weights if fetched is None else fetched.path)
    if preprocessing is not None and (size := _evaluation_size(file)) is not None:
        # A name stands for what was published under it, and these weights were published for this size.
        network, chosen = replace(network, resolution=size), replace(chosen, size=size, train_size=None)
    return _filled(ConvNet(network, for_channels(chosen, network.in_channels)), file, fetched)


def with_classes(model: ConvNet, classes: int) -> ConvNet:
    """The same features under a fresh classifier of so many classes; the model itself where it has as many.

    Raises: SpecError for an impossible number.
    """
    if model.network.classes == classes:
        return model
    made = ConvNet(replace(model.network, classes=classes), model.preprocessing)
    _quiet_if_fresh(made, load_weights(made, model.state_dict(), model.network.numerics))
    made.card = _for_fresh_classifier(model.card, classes)
    return made.eval()


def _for_fresh_classifier(card: ModelCard, classes: int) -> ModelCard:
    fresh = f"fresh classifier of {classes} classes"
    return replace(card, classes=(), metrics={}, several=False, temperature=None, notes=fresh)


def _changed(network: Network, num_classes: int | None, in_channels: int | None) -> Network:
    classes = network.classes if num_classes is None else num_classes
    channels = network.in_channels if in_channels is None else in_channels
    return replace(network, classes=classes, in_channels=channels)


def _of_repository(
    name: str, weights: str | Path | None, num_classes: int | None, in_channels: int | None
) -> tuple[ConvNet, LoadReport]:
    """The network of a repository with its own weights."""
    if weights not in (None, name):
        raise SpecError(f"{name}: brings its own weights; give the name of its network to load {weights} instead.")
    fetched = fetch_weights(name)
    file = read_tensors(fetched.path)
    described = describe(file)
    network = _changed(described.network, num_classes, in_channels)
    return _filled(ConvNet(network, for_channels(described.preprocessing, network.in_channels)), file, fetched)


def _filled(model: ConvNet, file: TensorFile, fetched: Fetched | None) -> tuple[ConvNet, LoadReport]:
    """The model with the tensors of a file, and with a classifier that is quiet where it is fresh."""
    report = load_weights(model, file)
    if fetched is not None:
        model.card = fetched.card(model.card, file.sha256)
    _quiet_if_fresh(model, report)
    return model.eval(), report


def _evaluation_size(file: TensorFile) -> Size | None:
    """The size that weights were published for, as they say themselves or the config.json beside them does."""
    own = own_metadata(file)
    if own is not None:
        return own.preprocessing.size
    published = published_beside(file.path)
    return published.preprocessing.size if published is not None and published.preprocessing is not None else None


def _with_pretrained(network: Network) -> tuple[ConvNet, LoadReport]:
    found = require_pretrained(network)
    model = ConvNet(network, _at_size(found.preprocessing, network))
    report = load_weights(model, found.path)
    _quiet_if_fresh(model, report)
    card = replace(found.card, sha256=model.card.sha256)
    if any(key.startswith(CLASSIFIER) for key in report.adapted):
        card = _for_fresh_classifier(card, network.classes)
    model.card = card
    return model.eval(), report


def _quiet_if_fresh(model: ConvNet, report: LoadReport) -> None:
    """A fresh classifier on trained features begins at zero: random answers would be loud enough to spoil the features.

    Lite0 on 3,400 digits, one epoch: 94 % so, 71 % with random weights.
    """
    fresh = (*report.adapted, *report.new)  # of other classes, or of a backbone that came without one
    if model.head is not None and any(key.startswith(CLASSIFIER) for key in fresh):
        nn.init.zeros_(model.head.classifier.weight)


def _at_size(preprocessing: Preprocessing, network: Network) -> Preprocessing:
    """The weights' preprocessing at the network's resolution and for its channels."""
    return for_channels(replace(preprocessing, size=network.resolution, train_size=None), network.in_channels)
