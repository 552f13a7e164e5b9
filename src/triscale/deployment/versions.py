"""Which version of an engine is installed: what was measured with one does not hold for another."""

from __future__ import annotations

from importlib import metadata

LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino"}


def version_of(library: str) -> str:
    """The installed version, empty where there is none."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""
