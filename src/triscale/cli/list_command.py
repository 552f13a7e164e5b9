"""`triscale list`: the networks and the detectors that have a name."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.aliases import ALIASES
from triscale.spec.cost import Cost, cost
from triscale.spec.families import list_networks, network
from triscale.spec.families.efficientdet import DETECTOR_ALIASES, detector, list_detectors
from triscale.spec.published import best
from triscale.spec.published_detectors import accuracies


def list_command(
    pattern: str = "*", *, aliases: bool = False, json: Annotated[bool, Parameter(name="--json")] = False
) -> int:
    """List networks and detectors with their cost at their own resolution, and their highest published accuracy.

    Example: triscale list 'efficientnet_lite*'

    Parameters
    ----------
    pattern
        only names that match, with * and ?
    aliases
        the names that other libraries give to them instead
    json
        print JSON instead of a table
    """
    return _list_aliases(pattern, json) if aliases else _list_networks(pattern, json)


def _list_networks(pattern: str, json: bool) -> int:
    names = _matching(pattern, [*list_networks(), *list_detectors()])
    detectors = set(list_detectors())
    networks = [name for name in names if name not in detectors]
    boxes = [name for name in names if name in detectors]
    if json:
        print_json([_network_document(name) for name in networks] + [_detector_document(name) for name in boxes])
        return 0
    if networks:
        tops = [best(name) for name in networks]
        told = [("", "") if top is None else (f"{top.top1:.1f}", f"{top.source}, {top.of}") for top in tops]
        _print_costs("top-1", [(name, cost(network(name)), *each) for name, each in zip(networks, told, strict=True)])
    if networks and boxes:
        print()
    if boxes:
        first = [accuracies(name)[0] for name in boxes]
        told = [(f"{each.ap:.1f}", f"{each.source}, {each.on}") for each in first]
        _print_costs("AP", [(name, cost(detector(name)), *each) for name, each in zip(boxes, told, strict=True)])
    return 0


def _print_costs(accuracy: str, rows: Sequence[tuple[str, Cost, str, str]]) -> None:
    table = [
        (
            name,
            f"{own.size[0]}",
            count(own.params),
            count(own.macs),
            count(own.activations),
            size(own.memory),
            reached,
            of,
        )
        for name, own, reached, of in rows
    ]
    print_table(("name", "pixels", "params", "MACs", "activations", "memory", accuracy, "of"), table, last=1)


def _document(name: str, own: Cost) -> dict[str, object]:
    counts = {word: getattr(own, word) for word in ("params", "macs", "activations", "memory")}
    return {"name": name, "resolution": list(own.size), **counts}


def _network_document(name: str) -> dict[str, object]:
    top = best(name)
    return _document(name, cost(network(name))) | {"best_top1": None if top is None else top._asdict()}


def _detector_document(name: str) -> dict[str, object]:
    told = [each._asdict() for each in accuracies(name)]
    return _document(name, cost(detector(name))) | {"kind": "detector", "ap": told}


def _list_aliases(pattern: str, json: bool) -> int:
    names = _matching(pattern, [*ALIASES, *DETECTOR_ALIASES])
    rows = []
    for name in names:
        if name in ALIASES:
            rows.append((name, ALIASES[name].network, ALIASES[name].owner, network(name).numerics))
        else:
            alias = DETECTOR_ALIASES[name]
            rows.append((name, alias.detector, alias.owner, detector(name).backbone.numerics))
    if json:
        print_json(
            [
                {"name": name, "network": own, "owner": owner, "numerics": asdict(numerics)}
                for name, own, owner, numerics in rows
            ]
        )
        return 0
    table = [(name, own, owner, n.padding, f"{n.eps:g}", f"{n.momentum:.2g}") for name, own, owner, n in rows]
    print_table(("name", "network", "owner", "padding", "eps", "momentum"), table, left=4)
    return 0


def _matching(pattern: str, known: list[str]) -> list[str]:
    names = fnmatch.filter(known, pattern)
    if not names:
        raise SpecError(
            f"no network is called {pattern!r}; `triscale list` and `triscale list --aliases` show all names."
        )
    return names
