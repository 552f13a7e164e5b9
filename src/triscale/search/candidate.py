"""Candidate: a baseline at some multipliers, which is all that a search of scaling ever proposes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

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


@dataclass(frozen=True)
class Candidate:
    """A baseline at some multipliers.

    network: what they make; of a module that has none, its baseline's `at` returns another kind with the same fields.
    Two candidates are equal where their networks are: multipliers that round to the same channels, blocks and pixels.
    params, macs: by arithmetic, at its own resolution. size: (H, W) in pixels.
    """

    network: Network
    multipliers: Multipliers
    params: int
    macs: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and self.network == other.network

    def __hash__(self) -> int:
        return hash(self.network)

    @property
    def name(self) -> str:
        """For people; says the multipliers."""
        return self.network.name

    @property
    def size(self) -> Size:
        """(H, W) of its images, in pixels."""
        return self.network.resolution

    @cached_property
    def key(self) -> str:
        """The same for equal networks, whatever they are called, and in every process: what a ledger knows it by."""
        described = network_to_dict(self.network) | {"name": ""}
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]


class Baseline(Protocol):
    """What is scaled: a network, or a module of the user's own."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    def at(self, multipliers: Multipliers) -> Candidate:
        """The baseline at some multipliers. Raises: SpecError where they make what cannot be."""
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

    def at(self, multipliers: Multipliers) -> Candidate:
        """See `Baseline.at`."""
        made = scale(self.network, *multipliers)
        counted = cost(made)
        return Candidate(made, multipliers, counted.params, counted.macs)

    def model(self, candidate: Candidate, classes: int) -> Model:
        """See `Baseline.model`."""
        return create_model(candidate.network, num_classes=classes)
