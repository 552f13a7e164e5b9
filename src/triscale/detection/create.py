"""`create_detector`: a detector by name or as data, with weights or without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from triscale.detection.detector import DetectorNet, default_preprocessing
from triscale.detection.weights import CLASSES, load_weights, own_detector
from triscale.errors import FileError, SpecError
from triscale.models.assembler import for_channels
from triscale.models.hub.fetch import Fetched, fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.pretrained import require_pretrained
from triscale.models.tensors import TensorFile, read_tensors
from triscale.models.weights import LoadReport
from triscale.spec.card import ModelCard
from triscale.spec.detector import Detector
from triscale.spec.families import efficientdet
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing


def create_detector(
    name_or_detector: str | Detector, weights: str | Path | None = None, num_classes: int | None = None
) -> DetectorNet:
    """A detector's module, ready to answer (in evaluation mode; call `.train()` to train it).

    name_or_detector: a name of `list_detectors()`, which takes size and anchors from weights in a file of ours; or a
        Detector, which keeps its own; or `hf://OWNER/REPO`, a repository on the Hub, whose detector and weights are
        taken together.
    weights: None for fresh ones; a file or `hf://OWNER/REPO[@REVISION][/FILE]`, of a detector or of a network that is
        its backbone (see `load_weights`); "pretrained" for those that an installed package carries, which are of
        backbones alone (EfficientNet-Lite0 to Lite2): pyramid and heads are then fresh. Nothing is downloaded but for
        names that begin with `hf://`.
    num_classes: of the class head; with weights of other classes its last convolution is fresh, all else is kept.
    Raises: SpecError for an unknown name or an impossible number; WeightsError when no weights are there or they do not
        fit; FileError when they cannot be read; HubError when they cannot be fetched.
    """
    return create_detector_with_report(name_or_detector, weights, num_classes)[0]


def create_detector_with_report(
    name_or_detector: str | Detector, weights: str | Path | None = None, num_classes: int | None = None
) -> tuple[DetectorNet, LoadReport | None]:
    """`create_detector`, and what was done with its weights; None for fresh ones. Arguments and errors are the same."""
    if is_place(name_or_detector):
        return _of_repository(name_or_detector, weights, num_classes)
    if isinstance(name_or_detector, Detector):
        detector, preprocessing = name_or_detector, None
    else:
        detector = efficientdet.detector(name_or_detector)
        preprocessing = efficientdet.detector_preprocessing(name_or_detector)
    detector = _changed(detector, num_classes)
    chosen = for_channels(preprocessing or default_preprocessing(detector), detector.in_channels)
    if weights is None:
        return DetectorNet(detector, chosen).eval(), None
    if weights == "pretrained":
        return _with_pretrained(detector, chosen)
    fetched = fetch_weights(weights) if is_place(weights) else None
    file = read_tensors(weights if fetched is None else fetched.path)
    own = own_detector(file)
    if preprocessing is not None and own is not None:
        # A name stands for what was published under it, and these weights were published for this size and these
        # anchors, from which their offsets are.
        size, anchors = own.preprocessing.size, own.detector.anchors
        detector, chosen = replace(_at_size(detector, size), anchors=anchors), replace(chosen, size=size)
    return _filled(DetectorNet(detector, chosen), file, fetched)


def with_classes(model: DetectorNet, classes: int) -> DetectorNet:
    """The same detector with a fresh last convolution for so many classes; the model itself where it has as many.

    It is where the model is, in the same floats.

    Raises: SpecError for an impossible number.
    """
    if model.outputs == classes:
        return model
    last = model.class_head.final.weight
    made = DetectorNet(replace(model.detector, classes=classes), model.preprocessing, device=last.device).to(last.dtype)
    report = load_weights(made, model.state_dict(), model.detector.backbone.numerics)
    made.card = model.card
    _settle(made, report)
    return made.eval()


def _changed(detector: Detector, num_classes: int | None) -> Detector:
    return detector if num_classes is None else replace(detector, classes=num_classes)


def _at_size(detector: Detector, size: Size) -> Detector:
    return replace(detector, backbone=replace(detector.backbone, resolution=size))


def _of_repository(name: str, weights: str | Path | None, num_classes: int | None) -> tuple[DetectorNet, LoadReport]:
    """The detector of a repository with its own weights."""
    if weights not in (None, name):
        raise SpecError(f"{name}: brings its own weights; give the name of its detector to load {weights} instead.")
    fetched = fetch_weights(name)
    file = read_tensors(fetched.path)
    own = own_detector(file)
    if own is None:
        raise FileError(
            f"{name}: does not say of which detector it is; give it as weights: create_detector(NAME, {name!r})."
        )
    detector = _changed(own.detector, num_classes)
    return _filled(DetectorNet(detector, own.preprocessing), file, fetched)


def _filled(model: DetectorNet, file: TensorFile, fetched: Fetched | None) -> tuple[DetectorNet, LoadReport]:
    report = load_weights(model, file)
    if fetched is not None:
        model.card = fetched.card(model.card, file.sha256)
    _settle(model, report)
    return model.eval(), report


def _with_pretrained(detector: Detector, preprocessing: Preprocessing) -> tuple[DetectorNet, LoadReport]:
    """The backbone's weights that a package carries, and the colours that they were trained on."""
    found = require_pretrained(detector.backbone)
    colours = for_channels(found.preprocessing, detector.in_channels)
    model = DetectorNet(detector, replace(preprocessing, mean=colours.mean, std=colours.std))
    report = load_weights(model, found.path)
    model.card = ModelCard((), f"backbone: {found.origin}", found.licence, model.card.sha256)
    return model.eval(), report


def _settle(model: DetectorNet, report: LoadReport) -> None:
    """A fresh last convolution on trained features begins at zero: every class of every anchor at the prior.

    Random answers would be loud enough to spoil the features; see the classifier's in `models/create.py`.
    """
    if any(key.startswith(CLASSES) for key in report.adapted):
        nn.init.zeros_(model.class_head.final.weight)
        notes = f"fresh class head of {model.outputs} classes"
        model.card = replace(model.card, classes=(), metrics={}, temperature=None, notes=notes)
