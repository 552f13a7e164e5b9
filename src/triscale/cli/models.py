"""MODEL on a command line, where the module itself is needed: a run's folder, a model file, `hf://…`, or a name."""

from __future__ import annotations

from pathlib import Path

from triscale.data.nearby import nearby
from triscale.errors import FileError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.files import load
from triscale.models.hub.place import is_place
from triscale.spec import families


def open_model(source: str) -> ConvNet:
    """The model with its weights.

    Raises: FileError for a path that is no model of ours, HubError for what is not on the Hub; SpecError or
        WeightsError for a name without weights.
    """
    if is_place(source):
        return load(source)
    path = Path(source)
    if path.is_dir():
        if not (path / "model.safetensors").exists():
            raise FileError(f"{path}: holds no model.safetensors; give a run that has finished training.")
        return load(path / "model.safetensors")
    if path.suffix in (".onnx", ".xml"):
        raise FileError(f"{path}: is exported already; give the run or the model.safetensors that it came from.")
    if path.exists():
        return load(path)
    if (path.suffix and not families.is_network(source)) or "/" in source:
        raise FileError(f"{path}: no such file or run folder{nearby(path)}.")
    return create_model(families.network(source).name, weights="pretrained")
