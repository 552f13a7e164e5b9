"""`triscale scale` of a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.budget import MEASURED, Budget, counted, parse, quantity, solution
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import is_detector
from triscale.spec.files import detector_to_dict, write_network
from triscale.spec.released_detectors import PHIS, rule_and_released, told
from triscale.spec.rules import Multipliers, Rule, fast_compound
from triscale.spec.scaling import compound, scale


def scaled(
    base: Detector,
    rule: Rule,
    given: Multipliers,
    asked: tuple[float | None, float | None, str | None],
    share: float,
    table: bool,
    out: Path | None,
    json: bool,
) -> int:
    """What was asked for, one of it: the table; --phi, --fast and --to as `asked`; else the multipliers `given`.

    share: width's of the growth in fast scaling.
    """
    phi, fast, to = asked
    if table:
        return show_table(base, json)
    if to is not None:
        return to_budget(base, parse(to), rule, out, json)
    if fast is not None:
        return by_factor(base, fast, share, out, json)
    if phi is not None:
        return by_rule(base, rule, phi, out, json)
    return _answer(base, scale(base, *given), given._asdict(), f"multipliers: {given}", out, json)


def by_rule(base: Detector, rule: Rule, phi: float, out: Path | None, json: bool) -> int:
    """Scale to a phi of EfficientDet's rule, or of another."""
    if rule.name == "compound":
        made = compound(base, phi, rule.alpha, rule.beta, rule.gamma)
        return _answer(base, made, {"rule": "compound", "phi": phi}, f"rule: EfficientDet's at phi {phi:g}", out, json)
    multipliers = rule.multipliers(phi)
    scaled = {"rule": rule.name, "phi": phi, **multipliers._asdict()}
    return _answer(base, scale(base, *multipliers), scaled, f"rule: {rule.name}; {multipliers}", out, json)


def by_factor(base: Detector, factor: float, alpha: float, out: Path | None, json: bool) -> int:
    """Fast compound scaling to so many times the MACs."""
    made = fast_compound(base, factor, alpha)
    said = f"rule: fast, to {factor:g} times the MACs before rounding"
    return _answer(base, made, {"rule": "fast", "factor": factor}, said, out, json)


def to_budget(base: Detector, budget: Budget, rule: Rule, out: Path | None, json: bool) -> int:
    """The largest detector inside a budget of what is counted.

    Raises: BudgetError when nothing is; SpecError for latency and size.
    """
    for word in budget.limits:
        if word in MEASURED:
            raise SpecError(
                f"budget {budget}: {word} is measured on networks only; limit a detector by params, macs, activations "
                "or memory."
            )
    made, multipliers = solution(base, budget, rule=rule)
    values = counted(made)
    used = [
        f"{word}: {quantity(word, values[word])} of {quantity(word, budget.limits[word])} ({share:.1%})"
        for word, share in budget.used(values).items()
    ]
    named = "EfficientDet's; the backbone's " if rule.name == "compound" else f"{rule.name}; "
    scaled = {"rule": rule.name, **multipliers._asdict()}
    return _answer(base, made, scaled, f"rule: {named}{multipliers}", out, json, used)


def show_table(base: Detector, json: bool) -> int:
    """Print EfficientDet's rule beside what was released.

    Raises: SpecError for a detector of which no rule was published.
    """
    if not is_detector(base.name) or not rule_and_released(base.name):
        raise SpecError(
            f"{base.name}: no rule was published of it, so there is no table; there is one for {', '.join(PHIS)}. "
            "For this detector try --phi, --fast or --to."
        )
    if json:
        print_json([{"name": name, **each._asdict()} for name in PHIS for each in rule_and_released(name)])
        return 0
    print("EfficientDet's rule, before rounding, and what was released; * where they depart by more than rounding")
    rows = []
    for name in PHIS:
        cells = [
            f"{told(each.rule)} / {told(each.released)}{' *' if each.departs else ''}"
            for each in rule_and_released(name)
        ]
        rows.append((name, *cells))
    print_table(("detector", *(each.what for each in rule_and_released(base.name))), rows, left=9)
    return 0


def refuse(base: Detector, options: Mapping[str, object]) -> None:
    """Raise SpecError where an option was given that is for networks."""
    for option, value in options.items():
        if value:
            raise SpecError(f"{option} is for networks, and {base.name} is a detector; try --phi, --to or --table.")


def _answer(
    base: Detector,
    made: Detector,
    scaling: Mapping[str, object],
    said: str,
    out: Path | None,
    json: bool,
    used: Sequence[str] = (),
) -> int:
    if out is not None:
        write_network(made, out)
    if json:
        own = cost(made)
        costs = {word: getattr(own, word) for word in ("params", "macs", "activations", "memory")}
        print_json({"detector": detector_to_dict(made), **costs, "scaling": dict(scaling)})
        return 0
    rows = []
    for each in (base, made):
        own = cost(each)
        blocks = sum(len(stage.blocks) for stage in each.backbone.stages)
        pyramid = f"{each.pyramid.channels} x {each.pyramid.repeats}"
        pixels = " x ".join(map(str, each.resolution))
        costs = count(own.params), count(own.macs), count(own.activations), size(own.memory)
        rows.append((each.name, str(blocks), pyramid, str(each.heads.repeats), pixels, *costs))
    columns = ("detector", "blocks", "pyramid", "head layers", "pixels", "params", "MACs", "activations", "memory")
    print_table(columns, rows)
    print(said)
    for line in used:
        print(line)
    print(f"written to {out}" if out else "add --out FILE.json to keep it")
    return 0
