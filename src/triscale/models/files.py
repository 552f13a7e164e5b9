"""A model as one file: tensors, network, preprocessing and card together, so that none is used without the others."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from triscale import atomic
from triscale.errors import FileError, WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.models.tensors import read_tensors, storable
from triscale.models.weights import FORMAT, VERSION, load_weights, own_metadata
from triscale.spec.cost import cost
from triscale.spec.files import card_to_dict, preprocessing_to_dict


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
    """Read a model that `save` wrote. It is ready to answer: in evaluation mode, on the CPU.

    Raises: FileError when it cannot be read, is of another version, or is no file of ours; WeightsError when its
        tensors are not those of its network.
    """
    file = read_tensors(path)
    description = own_metadata(file)
    if description is None:
        raise FileError(
            f"{file.path}: holds weights but no network; say which they are of: "
            f"create_model(NAME, weights={str(path)!r})."
        )
    needed, held = cost(description.network).params, sum(tensor.numel() for tensor in file.tensors.values())
    if held < needed:  # told before anything is built: a damaged description may ask for any amount of memory
        raise WeightsError(
            f"{file.path}: its network has {needed:,} parameters, its tensors {held:,}; the file is damaged."
        )
    model = ConvNet(description.network, description.preprocessing, description.card, device="meta")
    model.to_empty(device="cpu")
    report = load_weights(model, file.tensors, description.network.numerics)
    if report.adapted or report.new:
        wrong = ", ".join((report.adapted + report.new)[:3])
        raise WeightsError(f"{file.path}: its tensors are not those of its network ({wrong}); the file is damaged.")
    return model.eval()
