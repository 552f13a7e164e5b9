"""Candidate: a baseline at some multipliers, which is all that a search of scaling ever proposes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from triscale.errors import SpecError
from triscale.models.create import create_model
from triscale.models.model import Model
from triscale.spec.cost import cost
from triscale.spec.files import network_to_dict
from triscale.spec.network import Network, Size
from triscale.spec.scaling import scale


class Multipliers(NamedTuple):
    """What a baseline's depth, width and resolution are multiplied by."""

    depth: float = 1.0
    width: float = 1.0
    resolution: float = 1.0

    def __str__(self) -> str:
        return f"d {self.depth:.4g}, w {self.width:.4g}, r {self.resolution:.4g}"


@dataclass(frozen=True, slots=True)
class OwnModule:
    """What a module of the user's own becomes at some multipliers, where that is no Network.

    name: for people; two that differ only in it are equal. sources: name and SHA-256 of each file of its code.
    layers: what tells its layers from those at other multipliers. resolution: (H, W) of its images, in pixels.
    """

    name: str = field(compare=False)
    sources: tuple[tuple[str, str], ...]
    layers: tuple[int | str, ...]
    resolution: Size


@dataclass(frozen=True)
class Candidate:
    """A baseline at some multipliers.

    made: the network or module that they make. Two candidates are equal where those are: multipliers that round to the
        same channels, blocks and pixels.
    params, macs: by arithmetic, at its own resolution.
    """

    made: Network | OwnModule
    multipliers: Multipliers
    params: int
    macs: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and self.made == other.made

    def __hash__(self) -> int:
        return hash(self.made)

    @property
    def network(self) -> Network:
        """What was made. Raises: SpecError of a module that has no Network."""
        if not isinstance(self.made, Network):
            raise SpecError(f"{self.name} is a module of its own and has no Network; use its multipliers.")
        return self.made

    @property
    def name(self) -> str:
        """For people; says the multipliers."""
        return self.made.name

    @property
    def size(self) -> Size:
        """(H, W) of its images, in pixels."""
        return self.made.resolution

    @cached_property
    def key(self) -> str:
        """The same for equal candidates, whatever they are called, and in every process: what a ledger knows it by."""
        described = network_to_dict(self.made) if isinstance(self.made, Network) else asdict(self.made)
        text = json.dumps(described | {"name": ""}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Baseline(Protocol):
    """What is scaled: a network, or a module of the user's own."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def described(self) -> dict[str, Any]:
        """All that decides what it is, as plain values."""
        ...

    def at(self, multipliers: Multipliers) -> Candidate:
        """The baseline at some multipliers. Raises: SpecError where they make what cannot be."""
        ...

    def of_classes(self, classes: int) -> Baseline:
        """The same for so many classes, which its costs count."""
        ...

    def model(self, candidate: Candidate, classes: int) -> Model:
        """Its module with fresh weights, from PyTorch's random state, for so many classes."""
        ...


@dataclass(frozen=True)
class NetworkBaseline:
    """See `Baseline`; of a Network."""

    network: Network

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    def described(self) -> dict[str, Any]:
        """See `Baseline.described`."""
        return {"network": network_to_dict(self.network)}

    def at(self, multipliers: Multipliers) -> Candidate:
        """See `Baseline.at`."""
        made = scale(self.network, *multipliers)
        counted = cost(made)
        return Candidate(made, multipliers, counted.params, counted.macs)

    def of_classes(self, classes: int) -> NetworkBaseline:
        """See `Baseline.of_classes`."""
        return NetworkBaseline(replace(self.network, classes=classes))

    def model(self, candidate: Candidate, classes: int) -> Model:
        """See `Baseline.model`."""
        return create_model(candidate.network, num_classes=classes)
