"""`triscale scale`: a network or detector at other multipliers, by a rule, at a budget; and how its family scales."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from triscale.cli.names import resolve_subject
from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.modules.reference import is_reference
from triscale.spec.budget import MEASURED, Budget, counted, parse, quantity, solution
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.files import network_to_dict, write_network
from triscale.spec.network import Network
from triscale.spec.rules import COMPOUND, FAST_ALPHA, RULES, Multipliers, Rule, RuleName, fast_compound, fast_rule
from triscale.spec.scaling import compound, scale


def scale_command(
    name: str,
    *,
    depth: float | None = None,
    width: float | None = None,
    resolution: float | None = None,
    phi: float | None = None,
    fast: float | None = None,
    to: Annotated[str | None, Parameter(name=("--to", "--budget"))] = None,
    pixels: Annotated[int | None, Parameter(name="--size")] = None,
    rule: RuleName | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    gamma: float | None = None,
    engine: Literal["onnx", "openvino"] = "onnx",
    threads: int | None = None,
    out: Path | None = None,
    table: bool = False,
    curve: Path | None = None,
    photographs: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    panels: Path | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Scale a network or a detector: by three multipliers, by a rule, or to a budget; or show how its family scales.

    Example: triscale scale efficientnet_b0 --to "macs<=1G, params<=8M" --out mine.json

    Parameters
    ----------
    name
        a name from `triscale list`, a network or detector file, a model file, a run's folder, or your own code as
        file.py:factory
    depth
        multiplier of the blocks per stage; of a detector also of its pyramid's repeats and its heads' layers
    width
        multiplier of the channels, in a detector's pyramid and heads too
    resolution
        multiplier of the pixels on a side
    phi
        scaling by alpha^phi, beta^phi and gamma^phi; a detector by EfficientDet's rule
    fast
        fast compound scaling to this many times the MACs (before rounding): mostly width
    to
        a budget of params, macs, activations, memory, latency or size
    pixels
        side of the images that a module of your own reads; 224 by default
    rule
        how --phi and --to grow: compound (as usual), fast, or depth, width or resolution alone
    alpha
        depth per step of phi, 1.2 for compound; with --fast or --rule fast: width's share of the growth, 0.8
    beta
        width per step of phi, 1.1 for compound
    gamma
        resolution per step of phi, 1.15 for compound
    engine
        which engine latency and size are measured on: onnx or openvino
    threads
        of one inference, with which latency is measured; every core by default. Fewer are steadier on a shared machine
    out
        write the network to this file (.json), or the module's weights (.safetensors)
    table
        the released members of the family, and the paper's scaled networks, beside what the rule gives; of a detector
        EfficientDet's rule beside what was released
    curve
        draw what each way of scaling costs into this .png or .svg file
    photographs
        with --curve: image files, or scikit-image's chelsea, coffee, rocket, ...; what the family's members with
        installed weights say of them
    panels
        draw the network and what depth, width, resolution and all three make of it into this .png or .svg file
    json
        print JSON instead of a table
    """
    ways = {"--depth, --width or --resolution": (depth, width, resolution) != (None, None, None)}
    ways |= {"--phi": phi is not None, "--fast": fast is not None, "--to": to is not None}
    ways |= {"--table": table, "--curve": curve is not None, "--panels": panels is not None}
    if is_reference(name):
        from triscale.cli.scale_module import scale_own

        views = {"--table": table or None, "--curve": curve, "--panels": panels, "--threads": threads}
        foreign = {"--resolution": resolution, "--phi": phi, "--fast": fast, "--rule": rule, **views}
        given = [option for option, value in foreign.items() if value is not None]
        return scale_own(name, depth, width, to, pixels, out, json, given)
    if pixels is not None:
        raise SpecError(f"--size is for a module of your own; {name} has a resolution: change it with --resolution.")
    way = _only(ways)
    if rule is not None and (fast is not None or way.startswith("--depth")):
        raise SpecError("--rule says how --phi, --to, --table, --curve and --panels grow; leave it away here.")
    base = resolve_subject(name)
    by = _rule("fast" if fast is not None else rule, alpha, beta, gamma)
    if way in ("--table", "--curve", "--panels") and out is not None:
        raise SpecError(f"--out writes one network, but {way} shows many; leave --out away.")
    _check_belonging(base, to, threads, photographs, curve)
    given = Multipliers(*(1.0 if each is None else each for each in (depth, width, resolution)))
    share = FAST_ALPHA if alpha is None else alpha
    if isinstance(base, Detector):
        from triscale.cli import scale_detector

        scale_detector.refuse(base, {"--curve": curve, "--panels": panels})
        return scale_detector.scaled(base, by, given, (phi, fast, to), share, table, out, json)
    if way in ("--table", "--curve", "--panels"):
        return _show(base, by, curve, panels, photographs, json)
    if to is not None:
        return _to_budget(base, parse(to), by, (engine, threads), out, json)
    if fast is not None:
        made = fast_compound(base, fast, share)
        return _answer(base, made, by, by.multipliers(math.log2(fast)), out, json)
    if phi is not None:
        return _answer(base, _at(base, by, phi), by, by.multipliers(phi), out, json)
    return _answer(base, scale(base, *given), None, given, out, json)


def _check_belonging(
    base: Network | Detector, to: str | None, threads: int | None, photographs: Sequence[str], curve: Path | None
) -> None:
    """Refuse photographs without a curve, and threads where no latency is measured. Raises: SpecError, BudgetError."""
    if photographs and curve is None:
        raise SpecError("--photographs belongs to --curve FILE.png; give both.")
    if threads is not None and (isinstance(base, Detector) or to is None or "latency" not in parse(to).limits):
        raise SpecError('--threads says how a latency is measured: it goes with a network and --to "latency<=5ms".')


def _show(
    base: Network, rule: Rule, curve: Path | None, panels: Path | None, photographs: Sequence[str], json: bool
) -> int:
    from triscale.cli import scale_views

    if curve is not None:
        return scale_views.draw_curve(base, rule, curve, photographs, json)
    return scale_views.show_table(base, rule, json) if panels is None else scale_views.draw_panels(base, rule, panels)


def _only(ways: dict[str, bool]) -> str:
    """The one way that was asked for."""
    asked = [way for way, given in ways.items() if given]
    if len(asked) == 1:
        return asked[0]
    found = f"got {' and '.join(asked)}" if asked else "got none"
    known = list(ways)
    raise SpecError(f"scale takes one of {'; '.join(known[:-1])}; or {known[-1]}; {found}.")


def _rule(name: RuleName | None, alpha: float | None, beta: float | None, gamma: float | None) -> Rule:
    """The rule that is meant. Raises: SpecError for coefficients that it does not have."""
    if name == "fast" and beta is None and gamma is None:
        return fast_rule(FAST_ALPHA if alpha is None else alpha)
    if (alpha, beta, gamma) == (None, None, None):
        return RULES[name or "compound"]
    if name not in (None, "compound"):
        theirs = "only --alpha, width's share of the growth" if name == "fast" else "none of them"
        raise SpecError(f"--alpha, --beta and --gamma are those of compound scaling; {name} takes {theirs}.")
    given = (("alpha", alpha), ("beta", beta), ("gamma", gamma))
    return dataclasses.replace(COMPOUND, **{word: value for word, value in given if value is not None})


def _at(base: Network, rule: Rule, phi: float) -> Network:
    """The network at phi; its name tells the rule."""
    made = compound(base, phi, rule.alpha, rule.beta, rule.gamma)
    if made is base or rule.name == "compound":
        return made
    return dataclasses.replace(made, name=f"{made.name}-{rule.name}")


def _to_budget(
    base: Network,
    budget: Budget,
    rule: Rule,
    on: tuple[Literal["onnx", "openvino"], int | None],
    out: Path | None,
    json: bool,
) -> int:
    """Solve and tell. on: the engine, and threads of one inference, None for every core."""
    if not any(word in MEASURED for word in budget.limits):
        made, multipliers = solution(base, budget, rule=rule)
        return _answer(base, made, rule, multipliers, out, json, _used(budget, counted(made)))
    from triscale.deployment.on_device import solve_on_device  # torch is loaded only here
    from triscale.training.progress import choose_progress

    engine, threads = on
    held = solve_on_device(base, budget, engine, rule=rule, threads=threads, progress=choose_progress())
    used = [*_used(budget, held.values), *held.lines()]
    return _answer(base, held.network, rule, held.multipliers, out, json, used, held.as_json())


def _used(budget: Budget, values: Mapping[str, float]) -> list[str]:
    """A line for each limit: what of it is used."""
    return [
        f"{word}: {quantity(word, values[word])} of {quantity(word, budget.limits[word])} ({share:.1%})"
        for word, share in budget.used(values).items()
    ]


def _answer(
    base: Network,
    made: Network,
    rule: Rule | None,
    multipliers: Multipliers,
    out: Path | None,
    json: bool,
    used: Sequence[str] = (),
    measured: Mapping[str, object] | None = None,
) -> int:
    """Write the network where asked, and tell what it is, by which rule, and what it costs beside its baseline."""
    if out is not None:
        write_network(made, out)
    if json:
        by = {} if rule is None else {"rule": rule.name, "alpha": rule.alpha, "beta": rule.beta, "gamma": rule.gamma}
        own = cost(made)
        costs = {word: getattr(own, word) for word in ("params", "macs", "activations", "memory")}
        print_json(
            {"network": network_to_dict(made), **costs, "scaling": {**by, **multipliers._asdict()}, **(measured or {})}
        )
        return 0
    _print(base, made)
    print(f"rule: {rule.name}; {multipliers}" if rule else f"multipliers: {multipliers}")
    for line in used:
        print(line)
    print(f"written to {out}" if out else "add --out FILE.json to keep it")
    return 0


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
