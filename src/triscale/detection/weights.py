"""Weights of detectors in and out: our naming, effdet's (which carries Google's), or those of the backbone alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from triscale.detection import naming as effdet
from triscale.detection.detector import DetectorNet
from triscale.errors import FileError, SpecError, WeightsError
from triscale.models import weights as of_networks
from triscale.models.adapt import Fitted, fit
from triscale.models.assembler import ConvNet, for_channels
from triscale.models.hub.fetch import fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.naming import Naming
from triscale.models.recognise import COUNTER, few
from triscale.models.tensors import TensorFile, read_tensors, state_dict_in
from triscale.models.weights import LoadReport, own_values
from triscale.spec.card import ModelCard
from triscale.spec.detector import DETECTOR_NUMERICS, Detector
from triscale.spec.families.efficientdet import SYMMETRIC_PYRAMID
from triscale.spec.files import card_from_dict, detector_from_dict, preprocessing_from_dict
from triscale.spec.network import Numerics
from triscale.spec.owners import GOOGLE, TIMM
from triscale.spec.preprocessing import Preprocessing

STEM = "backbone.stem.0.conv.weight"
CLASSES, BOXES = "class_head.final", "box_head.final"
ANSWERS = (CLASSES, BOXES)
BACKBONE_ALONE = "the backbone alone"
# Of which a state dict has one exactly when it has biases before BatchNorm.
BIASES = (
    "class_head.layers.0.conv.bias", "class_net.conv_rep.0.conv_pw.bias", "class_net.conv_rep.0.conv.bias"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class OwnDetector:
    """What one of our own files says beside a detector's tensors."""

    detector: Detector
    preprocessing: Preprocessing
    card: ModelCard


def own_detector(file: TensorFile) -> OwnDetector | None:
    """What one of our own files says of its detector; None for anybody else's, and for other files of ours.

    Raises: FileError when it is of another version or damaged.
    """
    values = own_values(file)
    if values is None or "detector" not in values:
        return None
    try:
        return OwnDetector(
            detector_from_dict(values["detector"]),
            preprocessing_from_dict(values.get("preprocessing")),
            card_from_dict(values.get("card")),
        )
    except SpecError as error:
        raise FileError(f"{file.path}: its description of the detector is damaged: {error}") from None


def load_weights(
    model: ConvNet | DetectorNet,
    source: str | Path | Mapping[str, Tensor] | TensorFile,
    numerics: Numerics | None = None,
) -> LoadReport:
    """Copy weights into `model`, whoever named them, and make it compute as they need.

    source: a .safetensors or PyTorch file, a repository on the Hub (`hf://OWNER/REPO`), or a state dict. Of a network:
        in our naming, timm's, efficientnet_pytorch's (which efficientnet_lite_pytorch shares), torchvision's, or
        effdet's (a detector, or its backbone alone). Of a detector: in our naming or effdet's; or of a network, in any
        of those namings, which then fills the backbone alone, as the report's `part` says.
    numerics: how these weights were trained to be computed with (of a detector: its backbone); otherwise it is told by
        our file, by the naming (efficientnet_pytorch: SAME, 1e-3; torchvision: symmetric; effdet: by its biases), by a
        config.json of timm's beside the file, or is the model's own, as its name fixes it.
    Returns: LoadReport. Where the numerics differ from the model's, its `network` (or `detector`) now has the weights',
        and a detector biases before its BatchNorms or none, as they have. From our own files, and from a config.json of
        timm's, preprocessing (but its size) and card come along. Where classes or anchors of a location are others,
        the last convolution of that head is kept as the model had it.
    Raises: FileError when the file cannot be read, HubError when it cannot be fetched; WeightsError naming keys when it
        is of another network or detector. The model is then unchanged.
    """
    if isinstance(model, ConvNet):
        return of_networks.load_weights(model, source, numerics)
    if is_place(source):
        fetched = fetch_weights(source)
        file = read_tensors(fetched.path)
        report = load_weights(model, file, numerics)
        model.card = fetched.card(model.card, file.sha256)
        return report
    file = source if isinstance(source, TensorFile) else None if isinstance(source, Mapping) else read_tensors(source)
    tensors = _without_bench(state_dict_in(source, "the state dict") if file is None else file.tensors)
    if any(key.startswith(effdet.PARTS) for key in tensors):
        return _load(model, file, tensors, numerics, "effdet")
    if any(key.startswith(effdet.OURS) for key in tensors):
        return _load(model, file, tensors, numerics, "triscale")
    return _load_backbone(model, tensors if file is None else file, numerics)


def export_state_dict(model: ConvNet | DetectorNet, naming: Naming | None = None) -> dict[str, Tensor]:
    """The weights under another library's names; `load_weights` and that library read them back, bit for bit.

    naming: by default timm's for a network, and effdet's for a detector.
    Returns: name -> a copy of the tensor, contiguous, on the model's device; of a network for effdet the backbone
        without the head.
    Raises: WeightsError when that library has no such network or detector, or cannot hold a trained Swish beta.
    """
    if isinstance(model, ConvNet):
        return of_networks.export_state_dict(model, naming or "timm")
    if naming not in (None, "effdet", "triscale"):
        raise WeightsError(f"{naming} has no detectors, {model.name} is one; use naming 'effdet' or 'triscale'.")
    tensors = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    names = {key: key for key in tensors} if naming == "triscale" else effdet.tensor_names(model)
    exported = {}
    for key, tensor in tensors.items():
        if key in names:
            given = tensor if naming == "triscale" else effdet.swapped(key, tensor)
            exported[names[key]] = given.clone(memory_format=torch.contiguous_format)
        elif not torch.equal(tensor, torch.ones_like(tensor)):
            raise WeightsError(f"effdet has no place for {key}={tensor.tolist()}; use naming 'triscale'.")
    return exported


def _without_bench(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefix of effdet's benches, which also hold the anchors; those are never read."""
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("anchors.")}
    prefix = "model."
    if len(kept) < len(tensors) and all(key.startswith(prefix) for key in kept):
        return {key.removeprefix(prefix): tensor for key, tensor in kept.items()}
    return kept


def _load(
    model: DetectorNet,
    file: TensorFile | None,
    tensors: Mapping[str, Tensor],
    numerics: Numerics | None,
    naming: Naming,
) -> LoadReport:
    """A whole detector."""
    where = "the state dict" if file is None else str(file.path)
    own = None if file is None else own_detector(file)
    if own is not None:
        _require_same(model, own.detector, where)
    biased = any(key in tensors for key in BIASES)
    shaped = model
    if biased != model.detector.redundant_bias:
        shaped = DetectorNet(replace(model.detector, redundant_bias=biased), model.preprocessing, device="meta")
    ours = _renamed(shaped, tensors, naming, where)
    fitted, adapted, new = _of_one_layout(fit(model.name, shaped.state_dict(), ours, where, STEM, ANSWERS))
    if own is not None and own.detector.anchors != model.detector.anchors:
        fitted, adapted = _without_offsets(fitted, adapted)

    backbone, pyramid, how = _numerics(model, numerics, own, naming, biased)
    model.set_redundant_bias(biased)
    target = {key: tensor.detach() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        for key, tensor in fitted.items():
            target[key].copy_(tensor)
    model.set_numerics(pyramid, backbone)
    if own is not None:
        kept = model.preprocessing
        read = replace(own.preprocessing, size=kept.size, train_size=kept.train_size)
        model.preprocessing = for_channels(read, model.in_channels)
    if file is not None:
        model.card = _card(model, own.card if own else ModelCard(origin=file.path.name), file.sha256)
    loaded = tuple(key for key in target if key in fitted and key not in adapted)
    return LoadReport(loaded, adapted, new, naming, backbone, how)


def _renamed(model: DetectorNet, tensors: Mapping[str, Tensor], naming: Naming, where: str) -> dict[str, Tensor]:
    """The tensors under our names. Raises: WeightsError when any is missing or too much."""
    names = {key: key for key in model.state_dict()} if naming == "triscale" else effdet.tensor_names(model)
    known = set(names.values())
    missing = [theirs for ours, theirs in names.items() if theirs not in tensors and not ours.endswith(COUNTER)]
    extra = [key for key in tensors if key not in known]
    if missing or extra:
        parts = [each for each in (few("missing", missing), few("not part of it", extra)) if each]
        raise WeightsError(
            f"{where}: is not {model.name} in {naming} naming: {'; '.join(parts)}. Make the detector that these "
            f"weights are of, or ask for the right file."
        )
    found = {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}
    return found if naming == "triscale" else {key: effdet.swapped(key, tensor) for key, tensor in found.items()}


def _of_one_layout(found: Fitted) -> Fitted:
    """Without the class head's last convolution where that of the boxes is of other anchors at a location.

    As many answers may then be other pairs of anchor and class: 6 x 2 are 3 x 4.
    """
    if not any(key.startswith(BOXES) for key in found.adapted):
        return found
    others = tuple(key for key in found.tensors if key.startswith(CLASSES))
    kept = {key: tensor for key, tensor in found.tensors.items() if key not in others}
    return Fitted(kept, (*others, *found.adapted), found.new)


def _require_same(model: DetectorNet, written: Detector, where: str) -> None:
    """Tensors of equal shapes are not yet of one detector: what is between them must be the same too.

    Raises: WeightsError naming the first field that differs.
    """
    for part in ("pyramid", "heads"):
        ours, theirs = getattr(model.detector, part), getattr(written, part)
        for each in fields(ours):
            wanted, found = getattr(ours, each.name), getattr(theirs, each.name)
            if each.compare and each.name != "prior" and wanted != found:  # the prior is where fresh weights begin
                shown = "others" if each.name == "nodes" else f"{found!r}, not {wanted!r}"
                raise WeightsError(
                    f"{where}: was trained with {part}.{each.name} {shown}, so it would answer differently as "
                    f"{model.name}; take the detector that the file describes, ts.load(path)."
                )


def _without_offsets(tensors: dict[str, Tensor], adapted: tuple[str, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Without the box head's last convolution: offsets are from anchors, and of others they are other boxes."""
    dropped = tuple(key for key in tensors if key.startswith(BOXES))
    return {key: tensor for key, tensor in tensors.items() if key not in dropped}, (*adapted, *dropped)


def _numerics(
    model: DetectorNet, given: Numerics | None, own: OwnDetector | None, naming: Naming, biased: bool
) -> tuple[Numerics, Numerics, str]:
    """(of the backbone, of pyramid and heads, how they are known)."""
    described = model.detector if own is None else own.detector
    if given is not None:
        return given, described.numerics, "the caller"
    if own is not None:
        return described.backbone.numerics, described.numerics, "the file"
    if naming != "effdet":
        return described.backbone.numerics, described.numerics, f"the model, {model.name}"
    # Google's detectors have biases before BatchNorm, and effdet carries them; those that it trained itself have none.
    told = (GOOGLE, DETECTOR_NUMERICS) if biased else (TIMM, SYMMETRIC_PYRAMID)
    return *told, "the naming"


def _load_backbone(
    model: DetectorNet, source: Mapping[str, Tensor] | TensorFile, numerics: Numerics | None
) -> LoadReport:
    """The weights of a network into the backbone; what its photographs look like comes along."""
    inner = model.backbone
    before = inner.preprocessing
    found = of_networks.load_weights(inner, source, numerics)
    model.detector = replace(model.detector, backbone=inner.network)
    if inner.preprocessing != before:
        colours = inner.preprocessing
        model.preprocessing = replace(model.preprocessing, mean=colours.mean, std=colours.std)
    if isinstance(source, TensorFile):
        card = inner.card
        model.card = ModelCard((), f"backbone: {card.origin}", card.licence, card.sha256)
    loaded, adapted, new = (
        tuple(f"backbone.{key}" for key in keys) for keys in (found.loaded, found.adapted, found.new)
    )
    fresh = tuple(key for key in model.state_dict() if not key.startswith("backbone."))
    return replace(found, loaded=loaded, adapted=adapted, new=(*new, *fresh), part=BACKBONE_ALONE)


def _card(model: DetectorNet, card: ModelCard, sha256: str) -> ModelCard:
    """The card of the weights; class names only while the classes are still those."""
    if len(card.classes) not in (0, model.outputs):
        card = replace(card, classes=())
    return card if card.sha256 else replace(card, sha256=sha256)
