"""The one place that makes the libraries we compare with importable; used by tests and benchmarks, never by src/.

timm and effdet import torchvision, whose compiled operators are missing beside a CPU build of PyTorch. Nothing that we
compare calls them, so two of them are declared (not implemented) before torchvision is imported.
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import torch

_OPERATORS = ("nms", "qnms")
_declared: torch.library.Library | None = None


def _declare_operators() -> None:
    """Declare torchvision's missing operators once, unless a full torchvision has brought them."""
    global _declared
    if _declared is not None or hasattr(torch.ops.torchvision, "nms"):
        return
    _declared = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _import(name: str) -> ModuleType:
    _declare_operators()
    with warnings.catch_warnings():
        # timm scripts a few functions on import, which current PyTorch calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)


def timm() -> ModuleType:
    """The module `timm`."""
    return _import("timm")


def torchvision() -> ModuleType:
    """The module `torchvision`, without its compiled operators."""
    return _import("torchvision")


def effdet() -> ModuleType:
    """The module `effdet`."""
    return _import("effdet")


def efficientnet_pytorch() -> ModuleType:
    """The module `efficientnet_pytorch` (lukemelas)."""
    return _import("efficientnet_pytorch")


def efficientnet_lite_pytorch() -> ModuleType:
    """The module `efficientnet_lite_pytorch`."""
    return _import("efficientnet_lite_pytorch")
