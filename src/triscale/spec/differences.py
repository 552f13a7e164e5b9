"""Where the owners of one network differ: padding, BatchNorm, and how they evaluate; in data and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from triscale.spec.aliases import ALIASES
from triscale.spec.families import NETWORKS, network, own_name, preprocessing
from triscale.spec.network import Numerics
from triscale.spec.owners import TIMM_READS, TORCHVISION_READS, Owner, Reading
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.published import Figure, Source, figures


class Form(NamedTuple):
    """A network as one owner has it: under which name, with which numerics, and how photographs are read for it."""

    owner: Owner
    name: str
    numerics: Numerics
    preprocessing: Preprocessing


def forms(name: str) -> tuple[Form, ...]:
    """The network of that name as each of its owners has it; one form where only one has it.

    Raises: SpecError for an unknown name.
    """
    plain = own_name(name).removeprefix("tf_")
    plain = plain if plain in NETWORKS else own_name(name)
    found: dict[Owner, Form] = {}
    named = [each for each in (plain, f"tf_{plain}") if each in NETWORKS]
    for each in named:
        owner = NETWORKS[each].owner
        found[owner] = Form(owner, each, network(each).numerics, preprocessing(each))
    shared: tuple[tuple[Owner, Mapping[str, Reading]], ...] = (("torchvision", TORCHVISION_READS), ("timm", TIMM_READS))
    for owner, readings in shared:
        if plain in readings:
            found[owner] = Form(owner, plain, readings[plain].numerics, readings[plain].preprocessing)
    for each, alias in ALIASES.items():
        if alias.network in named and alias.owner not in found:
            found[alias.owner] = Form(alias.owner, each, network(each).numerics, preprocessing(each))
    return tuple(found.values())


def differences(name: str) -> tuple[str, ...]:
    """One sentence for each thing in which the owners of a network differ; empty where they agree, or there is one."""
    owned = forms(name)
    told = figures(own_name(name))
    accuracies = {source: max(each.top1 for each in told if each.source == source) for source in _sources(told)}
    sentences = (
        ("padding", [form.numerics.padding for form in owned]),
        ("BatchNorm eps", [f"{form.numerics.eps:g}" for form in owned]),
        ("BatchNorm momentum", [f"{form.numerics.momentum:.2g}" for form in owned]),
        ("evaluation size", [f"{form.preprocessing.size[0]} px" for form in owned]),
        ("photograph", [share(form.preprocessing) for form in owned]),
        ("interpolation", [form.preprocessing.interpolation for form in owned]),
        ("mean of the input", [f"{form.preprocessing.mean[0]:.3g}" for form in owned]),
    )
    owners = [form.owner for form in owned]
    told_apart = [_sentence(what, owners, values) for what, values in sentences if len(set(values)) > 1]
    if len(set(accuracies.values())) > 1:
        told_apart.append(_sentence("highest top-1", list(accuracies), [f"{top1} %" for top1 in accuracies.values()]))
    return tuple(told_apart)


def _sources(told: Sequence[Figure]) -> list[Source]:
    """The owners of weights among the sources, each once; papers have no weights."""
    return list(dict.fromkeys(each.source for each in told if not each.source.endswith("paper")))


def _sentence(what: str, owners: Sequence[str], values: Sequence[str]) -> str:
    """ "padding: timm symmetric, Google same"; owners that agree are named together."""
    agreeing = {
        value: " and ".join(o for o, own in zip(owners, values, strict=True) if own == value) for value in values
    }
    return f"{what}: {', '.join(f'{named} {value}' for value, named in agreeing.items())}"


def share(reading: Preprocessing) -> str:
    """Which part of a photograph is looked at, in words."""
    if reading.fit == "squash":
        return "squashed to a square"
    return f"central {100 * reading.crop:.3g} %" if reading.crop < 1 else "central square"
