"""NAME on a command line: a family name, a network or detector file, or a run folder."""

from __future__ import annotations

import difflib
import json
import struct
from pathlib import Path
from typing import Any

from triscale.errors import FileError, SpecError
from triscale.models.hub.place import is_place
from triscale.models.published import published_beside, read_published
from triscale.modules.reference import is_reference
from triscale.spec import families
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import detector, is_detector, list_detectors
from triscale.spec.files import LARGEST_FILE, detector_from_dict, network_from_dict, read_network
from triscale.spec.network import Network

TAKES_MODULES = "scale, train, export and bench take it, and eval and predict with --module"


def resolve(name: str) -> Network:
    """The network that NAME means; torch is not needed for it.

    name: "efficientnet_b0"; a network file "net.json"; a model file "model.safetensors"; a run's folder; or
        "hf://OWNER/REPO" on the Hub, of which only the config.json is fetched.
    Raises: FileError or SpecError when it is none of these, or a detector.
    """
    found = resolve_subject(name)
    if isinstance(found, Detector):
        raise SpecError(f"{name}: is a detector, and a network is needed here; `triscale list` shows which is which.")
    return found


def resolve_subject(name: str) -> Network | Detector:
    """The network or the detector that NAME means; see `resolve`.

    Raises: FileError or SpecError when it is neither.
    """
    path = Path(name)
    if not name.strip():
        raise SpecError("NAME is empty; `triscale list` shows all names.")
    if is_reference(name):
        raise SpecError(f"{name}: is a module of your own, not a Network: {TAKES_MODULES}.")
    if is_place(name):
        return network_on_hub(name)
    if families.is_network(name):
        return families.network(name)
    if is_detector(name):
        return detector(name)
    if path.is_dir():
        if not (path / "network.json").is_file():
            if (path / "model.safetensors").is_file():
                return _in_weights(path / "model.safetensors")
            raise FileError(
                f"{path}: is a folder without network.json; expected a run's folder, a network file or a name."
            )
        return read_network(path / "network.json")
    if path.suffix in (".onnx", ".xml"):
        raise FileError(f"{path}: is an exported file; give the run or the model.safetensors that it came from.")
    if path.suffix == ".safetensors":
        return _in_weights(path)
    if path.suffix != ".json" and path.is_file():
        raise FileError(
            f"{path}: is no network; expected a name, a network file (.json), a model file (.safetensors) or a run's "
            f"folder."
        )
    if path.suffix == ".json" or "/" in name:
        return read_network(path)
    near = difflib.get_close_matches(name.lower().replace("-", "_"), [*families.NETWORKS, *list_detectors()], n=1)
    return detector(name) if near and is_detector(near[0]) else families.network(name)


def resolve_detector(name: str) -> Detector:
    """The detector that NAME means. Raises: SpecError for a network; and as `resolve_subject`."""
    found = resolve_subject(name)
    if not isinstance(found, Detector):
        raise SpecError(f"{name}: is a network, not a detector; `triscale list` shows the detectors.")
    return found


def network_on_hub(name: str) -> Network:
    """The network of a repository on the Hub, as its config.json says."""
    from triscale.models.hub.fetch import fetch_config

    published = read_published(fetch_config(name).path)
    if published is None:
        raise FileError(f"{name}: its config.json is neither ours nor timm's; `triscale list` shows the networks.")
    return published.required_network(name)


def _in_weights(path: Path) -> Network | Detector:
    """What a model file carries in its header, read without its tensors; else what the config.json beside it says."""
    document = _description(path)
    if document is None:
        published = published_beside(path)
        if published is None:
            raise FileError(f"{path}: is no model file of triscale; `triscale train` and `fit` write them.")
        return published.required_network(str(path))
    if "module" in document:
        raise FileError(
            f"{path}: holds the weights of a module of your own, not of a Network; to train on, name its code, and the "
            f"file after --weights; export, bench, eval and predict take it with --module."
        )
    if "detector" in document:
        return detector_from_dict(document["detector"])
    return network_from_dict(document.get("network"))


def _description(path: Path) -> dict[str, Any] | None:
    """What a model file says beside its tensors; None for one that is not ours."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_FILE:
                raise ValueError
            return dict(json.loads(json.loads(file.read(length))["__metadata__"]["triscale"]))
    except FileNotFoundError:
        raise FileError(f"{path}: no such file.") from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}.") from None
    except (KeyError, ValueError, struct.error, TypeError):
        return None
