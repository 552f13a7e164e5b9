"""What `triscale train` trains: a network, or a module of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from triscale.cli.names import resolve_subject
from triscale.cli.subject_detector import DetectorSubject, with_parts
from triscale.errors import SpecError, TrainingError
from triscale.models.hub.place import is_place
from triscale.modules.reference import is_reference
from triscale.spec.detector import Detector
from triscale.spec.files import network_to_dict, write_network
from triscale.spec.network import Network, Size

if TYPE_CHECKING:
    from triscale.models.assembler import ConvNet
    from triscale.models.model import Model
    from triscale.models.weights import LoadReport


class Subject(Protocol):
    """Something to train."""

    @property
    def name(self) -> str:
        """Of the run's folder."""
        ...

    @property
    def arguments(self) -> dict[str, Any]:
        """All that decides what is trained, as `run.json` keeps it."""
        ...

    @property
    def starts_trained(self) -> bool:
        """Whether it begins with weights that somebody trained."""
        ...

    @property
    def has_boxes(self) -> bool:
        """Whether it is a detector, which learns boxes."""
        ...

    def make(self, classes: int, folder: Path | None, say: Callable[[str], None]) -> Model:
        """The model with its first weights and `classes` outputs.

        folder: of the run; what was chosen is written there, where `run.json` does not say it. None writes nothing.
        say: gets a line on everything that a person should know.
        """
        ...


class NetworkSubject:
    """A network, with fresh weights, given ones, or those of a smaller network of its family."""

    has_boxes = False

    def __init__(
        self, name: str, network: Network, weights: str | None, grow_from: str | None, size: Size | None
    ) -> None:
        self.network = network if size is None else replace(network, resolution=size)
        self.weights = name if weights is None and is_place(name) else weights
        self.grow_from = grow_from
        self.name = network.name.split("@")[0]
        self.arguments = {"network": network_to_dict(self.network), **_weights_asked_for(self.weights, grow_from)}

    @property
    def starts_trained(self) -> bool:
        """With weights, its own or grown ones."""
        return bool(self.weights or self.grow_from)

    def make(self, classes: int, folder: Path | None, say: Callable[[str], None]) -> ConvNet:
        """The network's module; the network goes to `network.json`."""
        model, loaded = _starting_model(replace(self.network, classes=classes), self.weights, self.grow_from)
        model.preprocessing = replace(model.preprocessing, size=self.network.resolution)
        if folder is not None:
            write_network(model.network, folder / "network.json")
        if loaded:
            say(f"weights: {loaded}")
        return model


def subject_of(
    name: str,
    weights: str | None,
    grow_from: str | None,
    size: Size | None,
    scaling: tuple[float | None, float | None, str | None],
    parts: tuple[str | None, str | None] = (None, None),
) -> Subject:
    """What NAME means.

    size: (H, W) in pixels of the images that it sees; None leaves its own.
    scaling: --depth, --width and --to, as they were given. parts: --backbone and --pyramid.
    Raises: FileError or SpecError when NAME is nothing, or options do not belong to it.
    """
    if is_reference(name):
        from triscale.cli.own import OwnSubject, scaling_of

        if grow_from is not None:
            raise SpecError(f"--grow-from is for networks; {name} is a module of your own: give it --weights.")
        if parts != (None, None):
            raise SpecError(f"--backbone and --pyramid are for detectors; {name} is a module of your own.")
        return OwnSubject(name, size, scaling_of(*scaling), weights)
    if scaling != (None, None, None):
        raise SpecError(
            f"--depth, --width and --to scale a module of your own (file.py:factory); for {name}: "
            f"`triscale scale {name} … --out net.json`, then `triscale train net.json …`."
        )
    found = with_parts(resolve_subject(name), *parts)
    if isinstance(found, Detector):
        if grow_from is not None:
            raise SpecError(f"--grow-from is for networks; {found.name} is a detector: give it --weights.")
        return DetectorSubject(name, found, weights, size)
    return NetworkSubject(name, found, weights, grow_from, size)


def _weights_asked_for(weights: str | None, grow_from: str | None) -> dict[str, object]:
    """What the run's record says of the weights that it starts from; earlier runs knew nothing of growing."""
    if grow_from is None:
        return {"weights": _lasting(weights)}
    if weights is not None:
        raise TrainingError("--grow-from brings the weights of the smaller model; give it or --weights, not both.")
    return {"weights": "", "grow_from": str(Path(grow_from).resolve()) if Path(grow_from).exists() else grow_from}


def _lasting(weights: str | None) -> str:
    """The weights' name as it means the same from any folder; empty without."""
    return weights or "" if weights in (None, "pretrained") or is_place(weights) else str(Path(weights).resolve())


def _starting_model(network: Network, weights: str | None, grow_from: str | None) -> tuple[ConvNet, LoadReport | None]:
    """The network with the weights that it starts from, and what was loaded."""
    from triscale.cli.models import open_network
    from triscale.models.create import create_with_report, with_classes
    from triscale.models.grow import grow

    if grow_from is None:
        return create_with_report(network, weights)
    return grow(with_classes(open_network(grow_from), network.classes), network), None
