"""What `triscale train` trains: a network, or a module of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from triscale.cli.names import resolve
from triscale.errors import SpecError
from triscale.modules.reference import is_reference
from triscale.spec.files import network_to_dict, write_network
from triscale.spec.network import as_size

if TYPE_CHECKING:
    from triscale.models.assembler import ConvNet
    from triscale.models.model import Model


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

    def make(self, classes: int, folder: Path, say: Callable[[str], None]) -> Model:
        """The model with its first weights and `classes` outputs.

        folder: of the run; what was chosen is written there, where `run.json` does not say it.
        say: gets a line on everything that a person should know.
        """
        ...


class NetworkSubject:
    """A network, made by its description."""

    def __init__(self, name: str, weights: str | None, pixels: int | None) -> None:
        network = resolve(name)
        self.network = network if pixels is None else replace(network, resolution=(pixels, pixels))
        self.weights = weights
        self.name = network.name.split("@")[0]
        self.arguments = {"network": network_to_dict(self.network)}

    def make(self, classes: int, folder: Path, say: Callable[[str], None]) -> ConvNet:
        """The network's module; the network goes to `network.json`."""
        from triscale.models.create import create_model

        model = create_model(self.network, self.weights, num_classes=classes)
        model.preprocessing = replace(model.preprocessing, size=self.network.resolution)
        write_network(model.network, folder / "network.json")
        return model


def subject_of(
    name: str, weights: str | None, pixels: int | None, depth: float | None, width: float | None, to: str | None
) -> Subject:
    """What NAME means. Raises: FileError or SpecError when it is nothing, or options do not belong to it."""
    if is_reference(name):
        from triscale.cli.own import OwnSubject, scaling_of

        return OwnSubject(name, None if pixels is None else as_size(pixels), scaling_of(depth, width, to), weights)
    if (depth, width, to) != (None, None, None):
        raise SpecError(
            f"--depth, --width and --to scale a module of your own (file.py:factory); for {name}: "
            f"`triscale scale {name} … --out net.json`, then `triscale train net.json …`."
        )
    return NetworkSubject(name, weights, pixels)
