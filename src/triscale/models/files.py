"""A model as one file: tensors, network, preprocessing and card together, so that none is used without the others."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from triscale import atomic
from triscale.errors import FileError, WeightsError
from triscale.models.assembler import ConvNet, for_channels
from triscale.models.hub.fetch import Fetched, fetch_weights
from triscale.models.hub.place import is_place
from triscale.models.model import Model
from triscale.models.published import published_beside
from triscale.models.recognise import COUNTER
from triscale.models.tensors import TensorFile, read_tensors, storable
from triscale.models.weights import FORMAT, VERSION, OwnMetadata, load_weights, own_metadata
from triscale.spec.cost import cost
from triscale.spec.files import card_to_dict, preprocessing_to_dict
from triscale.spec.preprocessing import Preprocessing


def save(model: Model, path: str | Path) -> None:
    """Write `model` to one .safetensors file, atomically; `load` gives it back, with the same answers to the last bit.

    Raises: FileError when it cannot be written; a file that was there is then untouched.
    """
    description = {
        "version": VERSION,
        **model.description(),
        "preprocessing": preprocessing_to_dict(model.preprocessing),
        "card": card_to_dict(model.card),
    }
    tensors = storable(model.tensors())
    with atomic.replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {FORMAT: json.dumps(description)})
        except SafetensorError as error:
            # It reports the operating system's errors as its own; a full disk should read as one.
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code[1]) if code else 0, str(error)) from error


def load(path: str | Path) -> ConvNet:
    """A model that `save` wrote, or of weights beside a config.json of timm's; in evaluation mode, on the CPU.

    path: of the file; or `hf://OWNER/REPO[@REVISION][/FILE]`, a repository on the Hub in our layout or timm's.
    Raises: FileError when it cannot be read, is of another version, or does not say of which network it is; HubError
        when it cannot be fetched; WeightsError when its tensors are not those of its network.
    """
    if is_place(path):
        return load_fetched(fetch_weights(path))
    file = read_tensors(path)
    return _built(file, describe(file))


def load_fetched(fetched: Fetched) -> ConvNet:
    """`load` of a file that was fetched from the Hub. Raises: as it does."""
    file = read_tensors(fetched.path)
    model = _built(file, describe(file))
    model.card = fetched.card(model.card, file.sha256)
    return model


def describe(file: TensorFile) -> OwnMetadata:
    """Network, preprocessing and card of a file of weights, from itself or from the config.json beside it.

    Raises: FileError when neither says so; SpecError when it is of a network that triscale does not know.
    """
    own = own_metadata(file)
    if own is not None:
        return own
    published = published_beside(file.path)
    if published is None:
        raise FileError(
            f"{file.path}: holds weights but no network; say which they are of: "
            f"create_model(NAME, weights={str(file.path)!r})."
        )
    network = published.required_network(str(file.path))
    preprocessing = published.preprocessing or Preprocessing(size=network.resolution)
    card = replace(published.card, origin=file.path.name, sha256=file.sha256)
    return OwnMetadata(network, for_channels(preprocessing, network.in_channels), card)


def _built(file: TensorFile, description: OwnMetadata) -> ConvNet:
    """The model of a description, holding the tensors of its file."""
    needed, held = cost(description.network).params, sum(tensor.numel() for tensor in file.tensors.values())
    if held < needed:  # told before anything is built: a damaged description may ask for any amount of memory
        raise WeightsError(
            f"{file.path}: its network has {needed:,} parameters, its tensors {held:,}; the file is damaged."
        )
    model = ConvNet(description.network, description.preprocessing, description.card, device="meta")
    model.to_empty(device="cpu")
    report = load_weights(model, file.tensors, description.network.numerics)
    absent = tuple(key for key in report.new if not key.endswith(COUNTER))
    if report.adapted or absent:
        wrong = ", ".join((report.adapted + absent)[:3])
        raise WeightsError(f"{file.path}: its tensors are not those of its network ({wrong}); the file is damaged.")
    for key in report.new:
        model.get_buffer(key).zero_()
    return model.eval()
