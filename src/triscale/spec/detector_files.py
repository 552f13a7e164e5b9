"""Detectors as plain JSON values: strict, and the same after a round trip."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import msgspec

from triscale.errors import SpecError
from triscale.spec.checks import shown
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.files import from_dict, network_from_dict, network_to_dict
from triscale.spec.network import Numerics
from triscale.spec.pyramid import MOST_NODES, Node, Pyramid
from triscale.spec.suppression import Suppression

_PARTS = {"heads": Heads, "anchors": Anchors, "numerics": Numerics, "suppression": Suppression}


def detector_to_dict(detector: Detector) -> dict[str, Any]:
    """A detector as plain JSON values, complete, so that a reader need not know the defaults."""
    made = {each.name: msgspec.to_builtins(getattr(detector, each.name)) for each in fields(detector)}
    return made | {"backbone": network_to_dict(detector.backbone)}


def detector_from_dict(values: object) -> Detector:
    """Undo `detector_to_dict`. Raises: SpecError naming the key that is unknown, missing or of the wrong type."""
    given = _object(values, "detector")
    if "backbone" in given:
        try:
            given["backbone"] = network_from_dict(given["backbone"])
        except SpecError as error:
            raise SpecError(f"detector.backbone: {error}") from None
    if "pyramid" in given:
        given["pyramid"] = _pyramid(given["pyramid"])
    for part, kind in _PARTS.items():
        if part in given:
            given[part] = from_dict(kind, given[part], f"detector.{part}")
    given.setdefault("name", "unnamed")
    return from_dict(Detector, given, "detector")


def _pyramid(values: object) -> Pyramid:
    given = _object(values, "detector.pyramid")
    nodes = given.pop("nodes", [])
    if not isinstance(nodes, list) or len(nodes) > MOST_NODES:
        raise SpecError(f"detector.pyramid.nodes must be a list of at most {MOST_NODES} nodes, got {shown(nodes)}.")
    made = tuple(from_dict(Node, each, f"detector.pyramid.nodes[{number}]") for number, each in enumerate(nodes))
    pyramid = from_dict(Pyramid, given, "detector.pyramid")
    try:
        return replace(pyramid, nodes=made)
    except SpecError as error:
        raise SpecError(f"detector.pyramid: {error}") from None


def _object(values: object, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise SpecError(f"{where} must be an object, got {type(values).__name__}.")
    return {str(key): value for key, value in values.items()}
