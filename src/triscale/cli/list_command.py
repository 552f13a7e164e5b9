"""`triscale list`: the networks that have a name."""

from __future__ import annotations

import fnmatch
from typing import Annotated

from cyclopts import Parameter

from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network


def list_command(pattern: str = "*", *, json: Annotated[bool, Parameter(name="--json")] = False) -> int:
    """List networks with their cost at their own resolution.

    Example: triscale list 'efficientnet_lite*'

    Parameters
    ----------
    pattern
        only names that match, with * and ?
    json
        print JSON instead of a table
    """
    rows = []
    for name in _matching(pattern):
        net = network(name)
        own = cost(net)
        rows.append((name, net.resolution, own))
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
                }
                for name, resolution, own in rows
            ]
        )
        return 0
    table = [
        (name, f"{r[0]}", count(own.params), count(own.macs), count(own.activations), size(own.memory))
        for name, r, own in rows
    ]
    print_table(("name", "pixels", "params", "MACs", "activations", "memory"), table)
    return 0


def _matching(pattern: str) -> list[str]:
    names = fnmatch.filter(list_networks(), pattern)
    if not names:
        raise SpecError(f"no network is called {pattern!r}; `triscale list` shows all names.")
    return names
