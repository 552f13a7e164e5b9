"""triscale: scale depth, width and resolution together.

Give it a budget and your images; it gives you the network that makes the most of that budget. What needs torch is
loaded when it is first used, so `import triscale` and the specification side stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triscale.detection.create import create_detector
    from triscale.detection.files import load
    from triscale.detection.weights import export_state_dict, load_weights
    from triscale.errors import TriscaleError
    from triscale.models.create import create_model
    from triscale.models.files import save
    from triscale.models.grow import grow
    from triscale.models.hub.push import push
    from triscale.models.weights import LoadReport
    from triscale.modules.count import ModuleCost, module_cost
    from triscale.modules.report import ScalingReport, scaling_report
    from triscale.modules.scale import scale_module
    from triscale.spec.block import Block, Squeeze
    from triscale.spec.budget import fit_budget
    from triscale.spec.card import ModelCard
    from triscale.spec.cost import Cost, cost
    from triscale.spec.detector import Anchors, Detector, Heads
    from triscale.spec.families import list_networks, network
    from triscale.spec.families.efficientdet import detector, detector_from, list_detectors
    from triscale.spec.files import read_network, write_network
    from triscale.spec.network import Head, Network, Numerics, Stage, Stem, stage
    from triscale.spec.preprocessing import Preprocessing
    from triscale.spec.pyramid import Node, Pyramid
    from triscale.spec.rounding import Rounding
    from triscale.spec.rules import fast_compound
    from triscale.spec.scaling import compound, scale
    from triscale.spec.suppression import Suppression

# Where each public name lives. Nothing is imported before it is used: the command line must be able to answer to Ctrl-C
# from its first moment, and most of it never needs torch.
_HOMES = {
    "triscale.detection.create": ("create_detector",),
    "triscale.detection.files": ("load",),
    "triscale.detection.weights": ("export_state_dict", "load_weights"),
    "triscale.errors": ("TriscaleError",),
    "triscale.models.create": ("create_model",),
    "triscale.models.files": ("save",),
    "triscale.models.grow": ("grow",),
    "triscale.models.hub.push": ("push",),
    "triscale.models.weights": ("LoadReport",),
    "triscale.modules.count": ("ModuleCost", "module_cost"),
    "triscale.modules.report": ("ScalingReport", "scaling_report"),
    "triscale.modules.scale": ("scale_module",),
    "triscale.spec.block": ("Block", "Squeeze"),
    "triscale.spec.budget": ("fit_budget",),
    "triscale.spec.card": ("ModelCard",),
    "triscale.spec.cost": ("Cost", "cost"),
    "triscale.spec.detector": ("Anchors", "Detector", "Heads"),
    "triscale.spec.families": ("list_networks", "network"),
    "triscale.spec.families.efficientdet": ("detector", "detector_from", "list_detectors"),
    "triscale.spec.files": ("read_network", "write_network"),
    "triscale.spec.network": ("Head", "Network", "Numerics", "Stage", "Stem", "stage"),
    "triscale.spec.preprocessing": ("Preprocessing",),
    "triscale.spec.pyramid": ("Node", "Pyramid"),
    "triscale.spec.rounding": ("Rounding",),
    "triscale.spec.rules": ("fast_compound",),
    "triscale.spec.scaling": ("compound", "scale"),
    "triscale.spec.suppression": ("Suppression",),
}
_LAZY = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Anchors",
    "Block",
    "Cost",
    "Detector",
    "Head",
    "Heads",
    "LoadReport",
    "ModelCard",
    "ModuleCost",
    "Network",
    "Node",
    "Numerics",
    "Preprocessing",
    "Pyramid",
    "Rounding",
    "ScalingReport",
    "Squeeze",
    "Stage",
    "Stem",
    "Suppression",
    "TriscaleError",
    "compound",
    "cost",
    "create_detector",
    "create_model",
    "detector",
    "detector_from",
    "export_state_dict",
    "fast_compound",
    "fit_budget",
    "grow",
    "list_detectors",
    "list_networks",
    "load",
    "load_weights",
    "module_cost",
    "network",
    "push",
    "read_network",
    "save",
    "scale",
    "scale_module",
    "scaling_report",
    "stage",
    "write_network",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        globals()[name] = value = getattr(importlib.import_module(_LAZY[name]), name)
        return value
    raise AttributeError(f"module 'triscale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
