"""What `triscale info` tells of a detector."""

from __future__ import annotations

from collections.abc import Sequence

from triscale.cli.output import count, print_json, print_table, size
from triscale.spec.cost import Cost
from triscale.spec.detector import Detector
from triscale.spec.detector_parts import level_sizes
from triscale.spec.families.efficientdet import PAPER, detector_preprocessing, is_detector, own_detector_name
from triscale.spec.files import detector_to_dict, preprocessing_to_dict
from triscale.spec.network import Size
from triscale.spec.published_detectors import DETECTOR_SOURCES, Accuracy, accuracies
from triscale.spec.released_detectors import departures

PARTS = {"backbone": "backbone", "pyramid": "pyramid", "class_head": "class head", "box_head": "box head"}


def show_detector(name: str, detector: Detector, own: Cost, layers: bool, json: bool, *, brief: bool) -> None:
    """Print it, and its accuracies where it is published and the answer is not to be brief.

    name: as it was asked for. layers: whether the JSON document has every operation.
    """
    published = name if is_detector(name) else None
    if json:
        print_json(_document(detector, own, layers) | _published_document(published))
        return
    _print_summary(detector, own)
    if published is not None and not brief:
        _print_published(published)


def anchor_count(detector: Detector, image: Size) -> int:
    """Anchors over all levels for images of that size."""
    pixels = sum(height * width for height, width in level_sizes(detector.pyramid, image))
    return detector.anchors.per_location * pixels


def _document(detector: Detector, own: Cost, layers: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "name": detector.name,
        "size": list(own.size),
        "params": own.params,
        "macs": own.macs,
        "activations": own.activations,
        "memory": own.memory,
        "anchors": anchor_count(detector, own.size),
        "parts": {part: {"params": params, "macs": macs} for part, params, macs, _ in _by_part(own)},
        "detector": detector_to_dict(detector),
    }
    return {**document, "operations": [layer._asdict() for layer in own.layers]} if layers else document


def _by_part(own: Cost) -> list[tuple[str, int, int, int]]:
    """(part, params, MACs, activations)."""
    found = []
    for part, called in PARTS.items():
        layers = [layer for layer in own.layers if layer.where.split(".")[0] == part]
        sums = (sum(getattr(layer, word) for layer in layers) for word in ("params", "macs", "activations"))
        found.append((called, *sums))
    return found


def _print_summary(detector: Detector, own: Cost) -> None:
    pyramid, heads, anchors = detector.pyramid, detector.heads, detector.anchors
    height, width = own.size
    print(f"{detector.name} at {height} x {width} px, {detector.classes} classes")
    rows = [
        (called, f"{params:,}", count(macs), count(activations)) for called, params, macs, activations in _by_part(own)
    ]
    rows.append(("all", f"{own.params:,}", count(own.macs), count(own.activations)))
    print_table(("part", "params", "MACs", "activations"), rows)
    print(f"exact: {own.macs:,} MACs, {own.activations:,} activations; memory {size(own.memory)}")
    called = f"{pyramid.kind or 'pyramid'} x {pyramid.repeats}, P{pyramid.levels[0]} to P{pyramid.levels[1]}"
    convolutions = "separable" if pyramid.separable else "full"
    print(f"backbone: {detector.backbone.name}, maps at {', '.join(f'P{level}' for level in detector.fed_levels)}")
    print(
        f"pyramid: {called}, {pyramid.channels} channels, {pyramid.fusion} fusion, {convolutions} convolutions, "
        f"{pyramid.activation}"
    )
    print(f"heads: {heads.repeats} layers, {pyramid.channels} channels, {heads.activation}")
    print(
        f"anchors: {anchor_count(detector, own.size):,}, {anchors.per_location} at a location, "
        f"scale {anchors.scale:g}; sides from {_sides(detector, own.size)} px, level by level"
    )
    numerics = detector.numerics
    biases = ", biases before BatchNorm" if detector.redundant_bias else ""
    print(f"padding {numerics.padding}, BatchNorm eps {numerics.eps:g}, momentum {numerics.momentum:g}{biases}")


def _sides(detector: Detector, image: Size) -> str:
    """The lowest octave's side at each level; a level's stride is the image's height over the map's."""
    smallest = detector.anchors.scale * 2 ** min(detector.anchors.octaves)
    return ", ".join(f"{smallest * image[0] / height:.3g}" for height, _ in level_sizes(detector.pyramid, image))


def _published_document(name: str | None) -> dict[str, object]:
    if name is None:
        return {}
    return {
        "paper": PAPER,
        "preprocessing": preprocessing_to_dict(detector_preprocessing(name)),
        "published": [{**each._asdict(), "url": DETECTOR_SOURCES[each.source]} for each in accuracies(name)],
        "departures": [each._asdict() for each in departures(name)],
    }


def _print_published(name: str) -> None:
    own, reads = own_detector_name(name), detector_preprocessing(name)
    called = "" if name == own else f"; our name: {own}"
    print(f"EfficientDet, {PAPER}{called}")
    print(f"photographs: {reads.size[0]} px, {reads.interpolation}, the whole of them, what is left filled up")
    _print_accuracies(accuracies(name))
    apart = departures(name)
    if apart:
        print("\nreleased otherwise than the compound rule says")
        for each in apart:
            print(f"  {each}")


def _print_accuracies(told: Sequence[Accuracy]) -> None:
    print("\npublished AP on COCO, per cent, one model at one scale")
    print_table(("AP", "on", "source"), [(f"{each.ap:g}", each.on, each.source) for each in told], left=3)
    for source in dict.fromkeys(each.source for each in told):
        print(f"{source}: {DETECTOR_SOURCES[source]}")
