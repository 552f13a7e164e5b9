"""The published networks: tables with their papers, one file for each line of work, and the loop that reads them.

A name fixes its numerics as its owner does: `efficientnet_b0` is timm's (symmetric padding, eps 1e-5),
`tf_efficientnet_b0` Google's (SAME padding, eps 1e-3), `mobilenet_v3_large` torchvision's.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from triscale.errors import SpecError
from triscale.spec.families import detnas, efficientnet, efficientnet_v2, mnasnet, mobilenet, resnet
from triscale.spec.families.family import GOOGLE, TIMM, Family, Member, made, read_as
from triscale.spec.network import Network, Numerics
from triscale.spec.preprocessing import Preprocessing

__all__ = ["GOOGLE", "NETWORKS", "TIMM", "Published", "list_networks", "network", "preprocessing"]


class Published(NamedTuple):
    """One network with a name: its family, its size, and its numerics."""

    family: Family
    member: Member
    numerics: Numerics


def _published() -> Iterator[tuple[str, Published]]:
    for module in (efficientnet, efficientnet_v2, mobilenet, mnasnet, resnet, detnas):
        for family in module.FAMILIES:
            for name, member in family.members.items():
                yield name, Published(family, member, member.numerics or family.numerics)
                if family.google is not None:
                    yield f"tf_{name}", Published(family, member, family.google)


NETWORKS = dict(_published())


def list_networks() -> list[str]:
    """Every name that `network` knows, in the order of families and sizes."""
    return list(NETWORKS)


@lru_cache(maxsize=256)
def network(name: str) -> Network:
    """The published network of that name.

    Raises: SpecError for an unknown name, with the nearest ones.
    """
    found = _find(name)
    return made(found.family, name, found.member, found.numerics)


def preprocessing(name: str) -> Preprocessing:
    """How the published weights of that name want their photographs.

    Raises: SpecError for an unknown name, with the nearest ones.
    """
    found = _find(name)
    return read_as(found.family, found.member)


def _find(name: str) -> Published:
    if name in NETWORKS:
        return NETWORKS[name]
    near = difflib.get_close_matches(name.lower().replace("-", "_"), NETWORKS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`triscale list` shows all names."
    raise SpecError(f"no network is called {name!r}; {hint}")
