"""What `triscale scale` shows of a whole family: released networks beside the rule, and pictures of scaling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.cli.output import count, print_json, print_table
from triscale.errors import SpecError
from triscale.spec.cost import cost
from triscale.spec.curves import scaling_curves
from triscale.spec.families import is_network, network, own_name
from triscale.spec.network import Network
from triscale.spec.paper import NOTES, PAPER, Counted, paper_rows
from triscale.spec.released import (
    Comparison,
    Phis,
    Scaled,
    baseline_of,
    compare_released,
    released_accuracies,
    released_members,
    scaled_families,
)
from triscale.spec.rules import RULES, Rule

if TYPE_CHECKING:
    from triscale.report.scaling import Published


def show_table(base: Network, rule: Rule, json: bool) -> int:
    """Print the released members of the family beside the rule, and the paper's scaled networks beside their counts.

    Raises: SpecError where neither the family's owners nor the paper scaled this network.
    """
    name = _published_name(base)
    compared = [compare_released(member, rule) for member in released_members(name)] if _grows(rule) else []
    rows = paper_rows(base, name.removeprefix("tf_"))
    if not compared and not rows:
        known = dict.fromkeys((*scaled_families(), *PAPER))
        raise SpecError(
            f"{base.name}: nothing scaled was released of it, so there is no table; there is one for "
            f"{', '.join(known)}. For this network try --phi, --fast, --to or --curve."
        )
    if json:
        print_json(_document(name, rule, compared, rows))
        return 0
    if compared:
        _print_released(name, rule, compared)
        print()
        _print_needed(rule, compared)
    if compared and rows:
        print()
    if rows:
        _print_paper(name.removeprefix("tf_"), rows)
    return 0


def draw_curve(base: Network, rule: Rule, path: Path, photographs: Sequence[str], json: bool) -> int:
    """Draw what the ways of scaling cost, and published accuracies where there are any, into `path`."""
    from triscale.report.canvas import require_picture, write
    from triscale.report.scaling import draw_curves

    require_picture("--curve", path)
    _grows(rule)
    curves = scaling_curves(base, tuple(rule if each.name == rule.name else each for each in RULES.values()))
    if photographs:
        from triscale.cli.scale_photographs import draw_photographs

        drawing = draw_photographs(base, curves, photographs)
    else:
        drawing = draw_curves(base, curves, published_points(base))
    write(drawing, path)
    if json:
        print_json([{"rule": each.rule.name, **point._asdict()} for each in curves for point in each.points])
    else:
        print(f"picture: {path}")
    return 0


def draw_panels(base: Network, rule: Rule, path: Path) -> int:
    """Draw a network and what depth, width, resolution and all three make of it into `path`."""
    from triscale.report import panels
    from triscale.report.canvas import require_picture, write

    require_picture("--panels", path)
    _grows(rule)
    write(panels.draw_panels(panels.scaling_panels(base, rule)), path)
    print(f"picture: {path}")
    return 0


def published_points(base: Network) -> list[Published]:
    """Scaled and released networks of `base` whose accuracy was published; empty without any."""
    from triscale.report.scaling import RELEASED, Published

    name = _published_name(base).removeprefix("tf_")
    points = [
        Published(row.way, own.macs if row.given else round(row.macs * 1e9), row.top1 / 100, row.given)
        for row, own, _ in paper_rows(base, name)
    ]
    for member, figure in released_accuracies(name):
        macs = cost(network(member), figure.pixels).macs
        where = f"{figure.source}, {figure.weights}"
        points.append(Published(RELEASED, macs, figure.top1 / 100, label=member.rpartition("_")[2], source=where))
    return points


def _published_name(base: Network) -> str:
    """Our name of a network that is published as it is; empty for any other."""
    return own_name(base.name) if is_network(base.name) and network(base.name) == base else ""


def _grows(rule: Rule) -> bool:
    if min(rule.alpha, rule.beta, rule.gamma) > 0 and 1 < rule.growth < math.inf:
        return True
    raise SpecError(
        "--table, --curve and --panels need alpha, beta and gamma above 0 with alpha x beta^2 x gamma^2 above 1, "
        f"got {rule.alpha:g}, {rule.beta:g} and {rule.gamma:g}."
    )


def _print_released(name: str, rule: Rule, compared: list[Comparison]) -> None:
    print(f"{baseline_of(name)} as it was released in other sizes, beside {rule.name} scaling at the best phi:")
    print(f"depth {rule.alpha:.4g}^phi, width {rule.beta:.4g}^phi, resolution {rule.gamma:.4g}^phi")
    rows = []
    for each in compared:
        rows.append((each.name, "", *_cells(each.released)))
        rows.append(("  rule", f"{each.phi:.2f}", *_cells(each.rule)))
        words = ("depth", "width", "pixels", "blocks", "params", "macs", "channels")
        rows.append(("  difference", "", *(_percent(each.difference[word]) for word in words)))
    print_table(("network", "phi", "depth", "width", "pixels", "blocks", "params", "MACs", "stage widths"), rows)
    print("difference: released over rule, minus 1; of the stage widths: of their sum")


def _cells(scaled: Scaled) -> tuple[str, ...]:
    depth, width, _ = scaled.multipliers
    return (
        f"{depth:.3f}",
        f"{width:.3f}",
        str(scaled.pixels),
        str(scaled.blocks),
        count(scaled.params),
        count(scaled.macs),
        " ".join(map(str, scaled.widths)),
    )


def _print_needed(rule: Rule, compared: list[Comparison]) -> None:
    print("the phi that each would need")
    rows = [(each.name, *(f"{phi:.2f}" if math.isfinite(phi) else "-" for phi in each.needed)) for each in compared]
    print_table(("network", "by depth", "by width", "by pixels", "by MACs", "fits best"), rows)
    print(
        "by MACs: log2 of MACs over the baseline's. fits best: least squares of the logarithms of the three multipliers"
    )
    print("no phi of a released network was published: the rule says how they were thought of, not what they are")


def _print_paper(name: str, rows: tuple[Counted, ...]) -> None:
    where = PAPER[name][0]
    print(f"{name} scaled as in {where} of the EfficientNet paper, https://arxiv.org/abs/1905.11946")
    table = [
        (
            row.way,
            *(f"{each:g}{'' if row.given else ' ?'}" for each in row.multipliers),
            str(own.size[0]),
            count(own.params),
            f"{own.macs / 1e9:.3f}G",
            f"{row.macs:g}G",
            _percent(difference),
            f"{row.top1:g} %",
        )
        for row, own, difference in rows
    ]
    columns = ("scaled", "depth", "width", "resolution", "pixels", "params", "MACs", "paper", "difference", "top-1")
    print_table(columns, table)
    print("difference: counted MACs over the paper's, minus 1. top-1: of the paper, on ImageNet")
    for note in NOTES[name]:
        print(note)


def _percent(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f} %"  # adding zero makes -0.0 a plain one


def _document(
    name: str, rule: Rule, compared: list[Comparison], rows: tuple[Counted, ...]
) -> dict[str, object]:  # fmt: skip
    return {
        "baseline": baseline_of(name) or name,
        "rule": {"name": rule.name, "alpha": rule.alpha, "beta": rule.beta, "gamma": rule.gamma},
        "released": [
            {
                "name": each.name,
                "phi": each.phi,
                "needed": {word: phi if math.isfinite(phi) else None for word, phi in _pairs(each.needed)},
                "released": _flat(each.released),
                "rule": _flat(each.rule),
                "difference": each.difference,
            }
            for each in compared
        ],
        "paper": [
            {
                "way": row.way,
                **row.multipliers._asdict(),
                "multipliers_in_paper": row.given,
                "pixels": own.size[0],
                "params": own.params,
                "macs": own.macs,
                "paper_macs": row.macs * 1e9,
                "difference": difference,
                "paper_top1": row.top1 / 100,
            }
            for row, own, difference in rows
        ],
        "notes": list(NOTES[name.removeprefix("tf_")]) if rows else [],
    }


def _pairs(phis: Phis) -> list[tuple[str, float]]:
    return list(phis._asdict().items())


def _flat(scaled: Scaled) -> dict[str, object]:
    document = scaled._asdict()
    return {**document.pop("multipliers")._asdict(), **document}
