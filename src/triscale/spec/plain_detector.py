"""Detectors as plain JSON values, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

from triscale.errors import SpecError
from triscale.spec.checks import shown
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.network import Numerics
from triscale.spec.plain import construct, from_dict, keys, plain, to_dict
from triscale.spec.plain_network import network_from_dict, network_to_dict
from triscale.spec.pyramid import MOST_NODES, Node, Pyramid
from triscale.spec.suppression import Suppression

_PARTS = {"heads": Heads, "anchors": Anchors, "numerics": Numerics, "suppression": Suppression}


def detector_to_dict(detector: Detector) -> dict[str, Any]:
    """A detector as plain JSON values, complete but for what equals its default in the rows of backbone and nodes."""
    found: dict[str, Any] = {f.name: plain(getattr(detector, f.name)) for f in dataclasses.fields(detector)}
    found["backbone"] = network_to_dict(detector.backbone)
    found["pyramid"] = plain(dataclasses.asdict(detector.pyramid))
    found["pyramid"]["nodes"] = [to_dict(each) for each in detector.pyramid.nodes]
    return found | {part: plain(dataclasses.asdict(getattr(detector, part))) for part in _PARTS}


def detector_from_dict(values: object, where: str = "detector") -> Detector:
    """Undo `detector_to_dict`; `where` is the place of the values in a file.

    Raises: SpecError naming the key that is unknown, missing or of the wrong type.
    """
    given = keys(Detector, values, where)
    given.setdefault("name", "unnamed")
    if "backbone" in given:
        given["backbone"] = network_from_dict(given["backbone"], f"{where}.backbone")
    if "pyramid" in given:
        given["pyramid"] = _pyramid_from_dict(given["pyramid"], f"{where}.pyramid")
    for part, kind in _PARTS.items():
        if part in given:
            given[part] = from_dict(kind, given[part], f"{where}.{part}")
    return construct(Detector, given, where)


def _pyramid_from_dict(values: object, where: str) -> Pyramid:
    given = keys(Pyramid, values, where)
    nodes = given.get("nodes", [])
    if not isinstance(nodes, list) or len(nodes) > MOST_NODES:
        raise SpecError(f"{where}.nodes must be a list of at most {MOST_NODES} nodes, got {shown(nodes)}.")
    given["nodes"] = tuple(from_dict(Node, each, f"{where}.nodes[{index}]") for index, each in enumerate(nodes))
    return construct(Pyramid, given, where, ready=("nodes",))
