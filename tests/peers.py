"""The one place that makes the libraries we compare with importable; used by tests and benchmarks, never by src/.

timm and effdet import torchvision, whose compiled operators are missing beside a CPU build of PyTorch. Two of them are
declared before torchvision is imported; `nms`, which effdet calls, is the plain loop below.
"""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

import torch

_OPERATORS = ("nms", "qnms")
_declared: torch.library.Library | None = None


def plain_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Non-maximum suppression as torchvision defines it, pair by pair. Returns: numbers of what is kept, best first."""
    rows = boxes.tolist()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for number in scores.sort(descending=True, stable=True).indices.tolist():
        x1, y1, x2, y2 = rows[number]
        if kept:
            others = boxes[kept]
            wide = (others[:, 2].clamp(max=x2) - others[:, 0].clamp(min=x1)).clamp(min=0)
            high = (others[:, 3].clamp(max=y2) - others[:, 1].clamp(min=y1)).clamp(min=0)
            shared = wide * high
            if (shared / (areas[number] + areas[kept] - shared) > iou_threshold).any():
                continue
        kept.append(number)
    return torch.tensor(kept, dtype=torch.long)


def _has_operators() -> bool:
    return True


def _declare_operators() -> None:
    """Declare torchvision's missing operators once, unless a full torchvision has brought them."""
    global _declared
    if _declared is not None or hasattr(torch.ops.torchvision, "nms"):
        return
    _declared = torch.library.Library("torchvision", "DEF")
    for name in _OPERATORS:
        _declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.impl("nms", plain_nms, "CPU")
    extension = importlib.import_module("torchvision.extension")
    # What it asks before each call; effdet compiles the question on import, so it is answered before that.
    extension._has_ops = _has_operators


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
    """The module `torchvision`; of its compiled operators it has `nms` alone, in Python."""
    return _import("torchvision")


def effdet() -> ModuleType:
    """The module `effdet`, whose post-processing runs."""
    return _import("effdet")


def efficientnet_pytorch() -> ModuleType:
    """The module `efficientnet_pytorch` (lukemelas)."""
    return _import("efficientnet_pytorch")


def efficientnet_lite_pytorch() -> ModuleType:
    """The module `efficientnet_lite_pytorch`."""
    return _import("efficientnet_lite_pytorch")
