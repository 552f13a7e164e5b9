"""`triscale scale`: a network at other multipliers, at a phi, or at a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from triscale.cli.names import resolve
from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.modules.reference import is_reference
from triscale.spec.budget import MEASURED, Budget, counted, parse, quantity, solve
from triscale.spec.cost import cost
from triscale.spec.files import network_to_dict, write_network
from triscale.spec.network import Network
from triscale.spec.scaling import ALPHA, BETA, GAMMA, compound, scale

if TYPE_CHECKING:
    from triscale.deployment.on_device import OnDevice


def scale_command(
    name: str,
    *,
    depth: float | None = None,
    width: float | None = None,
    resolution: float | None = None,
    phi: float | None = None,
    alpha: float = ALPHA,
    beta: float = BETA,
    gamma: float = GAMMA,
    to: str | None = None,
    pixels: Annotated[int | None, Parameter(name="--size")] = None,
    engine: Literal["onnx", "openvino"] = "onnx",
    out: Path | None = None,
    quiet: bool = False,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Scale a network: by three multipliers, by the compound rule, or to a budget.

    Example: triscale scale efficientnet_b0 --to "macs<=1G, params<=8M" --out mine.json

    Parameters
    ----------
    name
        a name from `triscale list`, a network file, a model file, a run's folder, or your own code as file.py:factory
    depth
        multiplier of the blocks per stage
    width
        multiplier of the channels
    resolution
        multiplier of the pixels on a side
    phi
        compound scaling by alpha^phi, beta^phi and gamma^phi
    alpha
        depth per step of phi
    beta
        width per step of phi
    gamma
        resolution per step of phi
    to
        a budget of params, macs, activations, memory, latency or size
    pixels
        side of the images that a module of your own reads; 224 by default
    engine
        which engine latency and size are measured on: onnx or openvino
    out
        write the network to this file (.json), or the module's weights (.safetensors)
    quiet
        show no progress of what is measured
    json
        print JSON instead of a table
    """
    if is_reference(name):
        from triscale.cli.scale_module import scale_own

        given = {"--resolution": resolution, "--phi": phi}
        return scale_own(name, depth, width, to, pixels, out, json, [option for option in given if given[option]])
    if pixels is not None:
        raise SpecError(f"--size is for a module of your own; {name} has a resolution: change it with --resolution.")
    base = resolve(name)
    multipliers = (depth, width, resolution)
    ways = [any(m is not None for m in multipliers), phi is not None, to is not None]
    if sum(ways) != 1:
        raise SpecError(
            "scale takes either --depth/--width/--resolution, or --phi, or --to BUDGET; give one of the three."
        )
    budget = parse(to) if to is not None else None
    held: OnDevice | None = None
    if budget is not None and any(word in MEASURED for word in budget.limits):
        held = _on_device(base, budget, engine, (alpha, beta, gamma), quiet)
        made = held.network
    elif budget is not None:
        made = solve(base, budget, alpha=alpha, beta=beta, gamma=gamma)
    elif phi is not None:
        made = compound(base, phi, alpha, beta, gamma)
    else:
        made = scale(base, *(1.0 if m is None else m for m in multipliers))
    if out is not None:
        write_network(made, out)
    if json:
        print_json({"network": network_to_dict(made), **_costs(made), **(held.as_json() if held else {})})
        return 0
    _print(base, made)
    if budget is not None:
        values = held.values if held else counted(made)
        for word, share in budget.used(values).items():
            limit = quantity(word, budget.limits[word])
            print(f"{word}: {quantity(word, values[word])} of {limit} ({share:.1%})")
    if held is not None and held.latency is not None:
        _print_latency(held)
    print(f"written to {out}" if out else "add --out FILE.json to keep it")
    return 0


def _on_device(
    base: Network, budget: Budget, engine: Literal["onnx", "openvino"], bases: tuple[float, float, float], quiet: bool
) -> OnDevice:
    """A network for a budget that must be measured; torch is loaded only here."""
    from triscale.deployment.on_device import solve_on_device
    from triscale.training.progress import choose_progress

    alpha, beta, gamma = bases
    return solve_on_device(base, budget, engine, alpha=alpha, beta=beta, gamma=gamma, progress=choose_progress(quiet))


def _print_latency(held: OnDevice) -> None:
    low, high = held.spread
    print(f"measured in a fresh process: {held.latency}; predicted {held.prediction}")
    print(
        f"speed of this device: {low - 1:+.0%} to {high - 1:+.0%} of its middle; "
        f"kept free for its slow moments: {(held.slowdown or 1) - 1:.1%}"
    )


def _costs(net: Network) -> dict[str, int]:
    own = cost(net)
    return {"params": own.params, "macs": own.macs, "activations": own.activations, "memory": own.memory}


def _print(base: Network, made: Network) -> None:
    rows = []
    for net in (base, made):
        own = cost(net)
        blocks = sum(len(each.blocks) for each in net.stages)
        pixels = " x ".join(map(str, net.resolution))
        rows.append(
            (
                net.name,
                str(blocks),
                pixels,
                count(own.params),
                count(own.macs),
                count(own.activations),
                size(own.memory),
            )
        )
    print_table(("network", "blocks", "pixels", "params", "MACs", "activations", "memory"), rows)
    print("stage widths: " + " ".join(str(each.channels) for each in made.stages))
