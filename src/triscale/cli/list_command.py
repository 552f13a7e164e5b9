"""`triscale list`: the networks that have a name."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.aliases import ALIASES
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network
from triscale.spec.published import best


def list_command(
    pattern: str = "*", *, aliases: bool = False, json: Annotated[bool, Parameter(name="--json")] = False
) -> int:
    """List networks with their cost at their own resolution, and their highest published top-1.

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
    rows = []
    for name in _matching(pattern, list_networks()):
        net = network(name)
        rows.append((name, net.resolution, cost(net), best(name)))
    if json:
        print_json(
            [
                {
                    "name": name,
                    "resolution": list(resolution),
                    "params": own.params,
                    "macs": own.macs,
                    "activations": own.activations,
                    "memory": own.memory,
                    "best_top1": None if top is None else top._asdict(),
                }
                for name, resolution, own, top in rows
            ]
        )
        return 0
    table = [
        (
            name,
            f"{r[0]}",
            count(own.params),
            count(own.macs),
            count(own.activations),
            size(own.memory),
            *(("", "") if top is None else (f"{top.top1:.1f}", f"{top.source}, {top.of}")),
        )
        for name, r, own, top in rows
    ]
    print_table(("name", "pixels", "params", "MACs", "activations", "memory", "top-1", "of"), table, last=1)
    return 0


def _list_aliases(pattern: str, json: bool) -> int:
    names = _matching(pattern, list(ALIASES))
    rows = [(name, ALIASES[name].network, ALIASES[name].owner, network(name).numerics) for name in names]
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
