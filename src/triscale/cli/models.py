"""MODEL on a command line, where the module itself is needed: a run, a model file, `hf://…`, a name, or code."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

from triscale.data.nearby import nearby
from triscale.detection.files import load
from triscale.errors import FileError, SpecError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.hub.place import is_place
from triscale.models.model import Model
from triscale.modules.reference import is_reference
from triscale.spec import families
from triscale.spec.families.efficientdet import is_detector
from triscale.spec.network import Size


def open_model(source: str, code: str | None = None, size: Size | None = None) -> Model:
    """The model with its weights.

    code: `file.py:factory`, which made the module whose weights `source` holds; run only because it is given.
    size: (H, W) in pixels, for a `source` that is code itself: its images' size.
    Raises: FileError for a path that is no model of ours, HubError for what is not on the Hub; SpecError or
        WeightsError for a name without weights.
    """
    if is_reference(source):
        from triscale.cli.own import made_by

        if code is not None:
            raise SpecError(f"{source}: is code already; give --module beside a run or a file of weights.")
        return made_by(source, size)
    if is_place(source):
        return (loader_of(code) or load)(source)
    path = Path(source)
    if path.is_dir():
        places = path / "model.safetensors", path / "winner" / "model.safetensors"  # of a run; of a search
        found = next((each for each in places if each.exists()), None)
        if found is None:
            raise FileError(f"{path}: holds no model.safetensors; give a run that has finished training.")
        path = found
    if path.suffix in (".onnx", ".xml"):
        raise FileError(f"{path}: is exported already; give the run or the model.safetensors that it came from.")
    if path.exists():
        return (loader_of(code) or load)(path)
    if (path.suffix and not families.is_network(source)) or "/" in source:
        raise FileError(f"{path}: no such file or run folder{nearby(path)}.")
    if code is not None:
        raise SpecError(f"{source}: is a network and needs no code; leave out --module.")
    if is_detector(source):
        raise SpecError(f"{source}: is a detector without weights on this machine; give a run or a model file.")
    return create_model(families.network(source).name, weights="pretrained")


def open_network(source: str) -> ConvNet:
    """The model with its weights, where only a network will do.

    Raises: SpecError for a detector, and for code of the user's own, which is then not run; else as `open_model`.
    """
    if is_reference(source):
        raise SpecError(f"{source}: is a module of your own, not a Network; give a name, a run or a model file.")
    model = open_model(source)
    if not isinstance(model, ConvNet):  # a file of a module is refused without its code
        raise SpecError(f"{source}: is a detector, and a network is needed here; its backbone's file would do.")
    return model


def loader_of(code: str | None) -> Callable[[str | Path], Model] | None:
    """What reads a file of weights of a module of the user's own, by the code that `--module` names; None without."""
    if code is None:
        return None
    from triscale.cli.own import open_own

    return functools.partial(open_own, reference=code)
