"""triscale: scale depth, width and resolution together.

Give it a budget and your images; it gives you the network that makes the most of that budget. What needs torch is
loaded when it is first used, so `import triscale` and the specification side stay light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from triscale.errors import TriscaleError
from triscale.spec.block import Block, Squeeze
from triscale.spec.budget import fit_budget
from triscale.spec.card import ModelCard
from triscale.spec.cost import Cost, cost
from triscale.spec.families import list_networks, network
from triscale.spec.files import read_network, write_network
from triscale.spec.network import Head, Network, Numerics, Stage, Stem, stage
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.rounding import Rounding
from triscale.spec.scaling import compound, scale

if TYPE_CHECKING:
    from triscale.models.create import create_model
    from triscale.models.files import load, save
    from triscale.models.weights import LoadReport, export_state_dict, load_weights

_LAZY = {
    "LoadReport": "triscale.models.weights",
    "create_model": "triscale.models.create",
    "export_state_dict": "triscale.models.weights",
    "load": "triscale.models.files",
    "load_weights": "triscale.models.weights",
    "save": "triscale.models.files",
}

__all__ = [
    "Block",
    "Cost",
    "Head",
    "LoadReport",
    "ModelCard",
    "Network",
    "Numerics",
    "Preprocessing",
    "Rounding",
    "Squeeze",
    "Stage",
    "Stem",
    "TriscaleError",
    "compound",
    "cost",
    "create_model",
    "export_state_dict",
    "fit_budget",
    "list_networks",
    "load",
    "load_weights",
    "network",
    "read_network",
    "save",
    "scale",
    "stage",
    "write_network",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'triscale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
