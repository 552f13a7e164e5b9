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
from triscale.spec.aliases import ALIASES, without_tag
from triscale.spec.families import detnas, efficientnet, efficientnet_v2, mnasnet, mobilenet, resnet
from triscale.spec.families.family import Family, Member, made, read_as
from triscale.spec.network import Network, Numerics
from triscale.spec.owners import GOOGLE, TIMM, Owner
from triscale.spec.preprocessing import Preprocessing

__all__ = [
    "GOOGLE",
    "NETWORKS",
    "TIMM",
    "Published",
    "is_network",
    "list_networks",
    "network",
    "own_name",
    "preprocessing",
]


class Published(NamedTuple):
    """One network with a name: its family, its size, whose it is, and its numerics."""

    family: Family
    member: Member
    owner: Owner
    numerics: Numerics


def _published() -> Iterator[tuple[str, Published]]:
    for module in (efficientnet, efficientnet_v2, mobilenet, mnasnet, resnet, detnas):
        for family in module.FAMILIES:
            for name, member in family.members.items():
                owner, numerics = member.owner or family.owner, member.numerics or family.numerics
                yield name, Published(family, member, owner, numerics)
                if family.google is not None:
                    yield f"tf_{name}", Published(family, member, "Google", family.google)


NETWORKS = dict(_published())


def list_networks() -> list[str]:
    """Our names, in the order of families and sizes; `network` knows the names in `spec.aliases` too."""
    return list(NETWORKS)


def is_network(name: str) -> bool:
    """Whether `network` knows the name: ours, another library's, or either with timm's tag of pretrained weights."""
    plain = without_tag(name)
    return plain in NETWORKS or plain in ALIASES


def own_name(name: str) -> str:
    """Our name of the network that is called so.

    Raises: SpecError for an unknown name, with the nearest ones.
    """
    plain = without_tag(name)
    if plain in NETWORKS:
        return plain
    if plain in ALIASES:
        return ALIASES[plain].network
    near = difflib.get_close_matches(plain.lower().replace("-", "_"), [*NETWORKS, *ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`triscale list` shows all names."
    raise SpecError(f"no network is called {name!r}; {hint}")


@lru_cache(maxsize=512)
def network(name: str) -> Network:
    """The published network of that name: one of ours, or another library's for it, with its owner's numerics.

    name: also with timm's tag of pretrained weights, which is cut: "efficientnet_b0.ra_in1k" is efficientnet_b0.
    Raises: SpecError for an unknown name, with the nearest ones.
    """
    found, plain = NETWORKS[own_name(name)], without_tag(name)
    alias = ALIASES.get(plain)
    return made(found.family, plain, found.member, (alias and alias.numerics) or found.numerics)


def preprocessing(name: str) -> Preprocessing:
    """How the owner of the published weights of that name reads photographs.

    Its size is the owner's for evaluation, which is the network's resolution but for a few of timm's own weights.
    Raises: SpecError for an unknown name, with the nearest ones.
    """
    own, alias = own_name(name), ALIASES.get(without_tag(name))
    found = NETWORKS[own]
    if alias is None or alias.preprocessing is None:
        return read_as(found.family, own, found.member)
    return alias.preprocessing
