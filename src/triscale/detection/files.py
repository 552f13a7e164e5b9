"""`load`: a model from one file, whatever it is of: a network, a detector, or a module of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import overload

from torch import nn

from triscale.detection.detector import DetectorNet
from triscale.detection.weights import load_weights, own_detector
from triscale.errors import FileError, SpecError, WeightsError
from triscale.models import files as of_networks
from triscale.models.assembler import ConvNet
from triscale.models.hub.fetch import fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.recognise import COUNTER
from triscale.models.tensors import TensorFile, read_metadata, read_tensors
from triscale.models.weights import own_values
from triscale.modules import files as of_modules
from triscale.modules.factory import Factory
from triscale.modules.plain import PlainModel
from triscale.spec.cost import cost


@overload
def load(path: str | Path) -> ConvNet | DetectorNet: ...
@overload
def load(path: str | Path, module: nn.Module | Callable[..., nn.Module] | Factory) -> PlainModel: ...
def load(
    path: str | Path, module: nn.Module | Callable[..., nn.Module] | Factory | None = None
) -> ConvNet | DetectorNet | PlainModel:
    """Read a model that `save` wrote. It is ready to answer: in evaluation mode, on the CPU.

    path: of the file; or `hf://OWNER/REPO[@REVISION][/FILE]`, a repository on the Hub.
    module: for a file of a module of your own, the code: no file holds it, and none makes it run. Either the module
        itself, of the right shape, which then gets the weights; or the function that made it, which is then called and
        scaled as the file says.
    Raises: FileError when the file cannot be read, is of another version, or is no file of ours; WeightsError when its
        tensors are not those of its network, detector or module.
    """
    if module is not None:
        return of_modules.load(path, module)
    fetched = fetch_weights(path) if is_place(path) else None
    place = Path(path) if fetched is None else fetched.path
    if not holds_detector(place):
        return of_networks.load(path) if fetched is None else of_networks.load_fetched(fetched)
    file = read_tensors(place)
    model = _built(file)
    if fetched is not None:
        model.card = fetched.card(model.card, file.sha256)
    return model


def holds_detector(path: str | Path) -> bool:
    """Whether a file of ours says that it holds a detector; its tensors are not read.

    Raises: FileError when it cannot be read, or is of another version.
    """
    path = Path(path)
    values = own_values(TensorFile(path, {}, read_metadata(path), ""))
    return values is not None and "detector" in values


def _built(file: TensorFile) -> DetectorNet:
    """The detector that a file describes, holding its tensors."""
    described = own_detector(file)
    assert described is not None  # as `holds_detector` saw
    needed, held = cost(described.detector).params, sum(tensor.numel() for tensor in file.tensors.values())
    if held < needed:  # told before anything is built: a damaged description may ask for any amount of memory
        raise WeightsError(
            f"{file.path}: its detector has {needed:,} parameters, its tensors {held:,}; the file is damaged."
        )
    try:
        model = DetectorNet(described.detector, described.preprocessing, described.card, device="meta")
    except SpecError as error:
        raise FileError(f"{file.path}: its description of the detector is damaged: {error}") from None
    model.to_empty(device="cpu")
    report = load_weights(model, file)
    absent = tuple(key for key in report.new if not key.endswith(COUNTER))
    if report.adapted or absent or report.part:
        wrong = ", ".join((report.adapted + absent)[:3])
        raise WeightsError(f"{file.path}: its tensors are not those of its detector ({wrong}); the file is damaged.")
    for key in report.new:
        model.get_buffer(key).zero_()
    model.preprocessing, model.card = described.preprocessing, described.card
    return model.eval()
