"""`report.html` of a search inside a budget: whether it won, the network, how it went, and what was expected where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triscale import atomic
from triscale.report.budget_plots import process_plot, trials_plot
from triscale.report.html import Html, badge, drawn, element, facts, join, paragraph, section, table
from triscale.report.page import whole_page
from triscale.report.search import compared, made_how, used_how
from triscale.report.text import duration
from triscale.search.budget.job import BudgetFound
from triscale.search.budget.result import Scored
from triscale.spec.limits import quantity


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """What the page shows; fields that `SearchReport` has mean the same."""

    found: BudgetFound
    baseline: str
    asked_for: str
    command: str
    folder: str
    data: str
    preset: str
    environment: Mapping[str, object]


def write_budget_report(report: BudgetReport, path: str | Path) -> None:
    """Write the page as one self-contained HTML file, atomically. Raises: FileError when it cannot be written."""
    found = report.found
    parts = [_winner(report), _trials(report), _process(report)]
    if found.honesty is not None:
        parts.insert(0, compared(found.honesty))
    if found.result.pareto is not None:
        parts.insert(-1, _front(report))
    parts += [
        used_how(report.folder, report.asked_for, found.result.winner.candidate),
        made_how(report.command, report.environment),
    ]
    header = join([element("h1", f"{report.baseline} inside {found.budget}"), _verdict(found)])
    atomic.write_text(path, whole_page(f"{report.baseline}: budget", header, parts))


def _verdict(found: BudgetFound) -> Html:
    won = found.honesty is not None and found.headline().startswith("The search won")
    word = "won" if won else "not compared yet" if found.honesty is None else "did not win"
    winner = found.result.winner
    figures = [
        ("depth, width, resolution", ", ".join(f"{each:.3g}" for each in winner.candidate.multipliers)),
        ("MACs", quantity("macs", winner.candidate.macs)),
        ("parameters", quantity("params", winner.candidate.params)),
        ("of the budget", ", ".join(f"{word} {share:.1%}" for word, share in winner.used.items())),
        ("trainings", f"{found.trainings:,}"),
        ("time", duration(found.seconds)),
    ]
    return join([paragraph(join([badge(word, good=won), " ", found.headline()], ""), "verdict"), facts(figures)])


def _winner(report: BudgetReport) -> Html:
    result = report.found.result
    proposals = result.proposals
    return section(
        "winner",
        "The network",
        [
            paragraph(report.found.sentence() + "."),
            paragraph(
                f"Chosen from {len(proposals):,} networks inside the limits, of {proposals.costed:,} that were costed; "
                f"none outside was trained. It is the one of which most is expected without noise (standard deviation "
                f"of one score {result.noise:.2%}). Data: {report.data}; preset {report.preset}.",
                "note",
            ),
        ],
    )


def _trials(report: BudgetReport) -> Html:
    result = report.found.result
    rows = [(number, *_row(each)) for number, each in enumerate(result.scored, start=1)]
    titles = ("", "depth", "width", "resolution", "MACs", "parameters", "of the budget", "top-1", "expected", "±")
    chosen = result.scored.index(result.winner)
    return section(
        "trials",
        "Every network that was trained",
        [drawn(lambda: trials_plot(result)), table(titles, rows, styles=["number"] * len(titles), chosen=chosen)],
    )


def _front(report: BudgetReport) -> Html:
    result = report.found.result
    titles = ("depth", "width", "resolution", "MACs", "parameters", "of the budget", "top-1", "expected", "±")
    rows = [_row(each) for each in result.front]
    return section(
        "front", f"Score against {result.pareto}: what nothing beats", [table(titles, rows, styles=["number"] * 9)]
    )


def _process(report: BudgetReport) -> Html:
    result = report.found.result
    note = (
        "Left: what the Gaussian process expects of each network inside the limits after all trainings. Right: from "
        "which it expects the largest improvement. White: trained; ringed: the winner."
    )
    return section(
        "process",
        "What is expected where",
        [drawn(lambda: process_plot(result)), paragraph(note if result.mode != "phi" else "", "note")],
    )


def _row(each: Scored) -> tuple[str, ...]:
    depth, width, resolution = each.candidate.multipliers
    return (
        f"{depth:.4g}",
        f"{width:.4g}",
        f"{resolution:.4g}",
        quantity("macs", each.candidate.macs),
        quantity("params", each.candidate.params),
        ", ".join(f"{share:.1%}" for share in each.used.values()),
        "–" if each.score is None else f"{each.score:.2%}",
        f"{each.mean:.2%}",
        f"{each.deviation:.2%}",
    )
