"""`report.html` of a search inside a budget: whether it won, the network, how it went, and what was expected where."""

from __future__ import annotations

from pathlib import Path

from triscale import atomic
from triscale.report.budget_plots import process_plot, trials_plot
from triscale.report.html import Html, drawn, element, join, paragraph, section, table
from triscale.report.page import whole_page
from triscale.report.search import Searched, closing, compared, verdict
from triscale.report.text import duration
from triscale.search.budget.job import BudgetFound
from triscale.search.budget.result import BudgetResult, Scored
from triscale.spec.limits import quantity


def write_budget_report(found: BudgetFound, on: Searched, path: str | Path) -> None:
    """Write the page as one self-contained HTML file, atomically. Raises: FileError when it cannot be written."""
    result, winner = found.result, found.result.winner
    parts = [_winner(found, on), _trials(result), _process(result)]
    if found.honesty is not None:
        parts.insert(0, compared(found.honesty))
    if result.pareto is not None:
        parts.insert(-1, _front(result))
    parts += closing(on, winner.candidate)
    figures = [
        ("depth, width, resolution", ", ".join(f"{each:.3g}" for each in winner.candidate.multipliers)),
        ("MACs", quantity("macs", winner.candidate.macs)),
        ("parameters", quantity("params", winner.candidate.params)),
        ("of the budget", ", ".join(f"{word} {share:.1%}" for word, share in winner.used.items())),
        ("trainings", f"{found.trainings:,}"),
        ("time", duration(found.seconds)),
    ]
    header = join([element("h1", f"{on.baseline} inside {found.budget}"), verdict(found.honesty, figures)])
    atomic.write_text(path, whole_page(f"{on.baseline}: budget", header, parts))


def _winner(found: BudgetFound, on: Searched) -> Html:
    result = found.result
    proposals = result.proposals
    return section(
        "winner",
        "The network",
        [
            paragraph(found.sentence() + "."),
            paragraph(
                f"Chosen from {len(proposals):,} networks inside the limits, of {proposals.costed:,} that were costed; "
                f"none outside was trained. It is the one of which most is expected without noise (standard deviation "
                f"of one score {result.noise:.2%}). Data: {on.data}; preset {on.preset}.",
                "note",
            ),
        ],
    )


def _trials(result: BudgetResult) -> Html:
    rows = [(number, *_row(each)) for number, each in enumerate(result.scored, start=1)]
    titles = ("", "depth", "width", "resolution", "MACs", "parameters", "of the budget", "top-1", "expected", "±")
    chosen = result.scored.index(result.winner)
    return section(
        "trials",
        "Every network that was trained",
        [drawn(lambda: trials_plot(result)), table(titles, rows, styles=["number"] * len(titles), chosen=chosen)],
    )


def _front(result: BudgetResult) -> Html:
    titles = ("depth", "width", "resolution", "MACs", "parameters", "of the budget", "top-1", "expected", "±")
    rows = [_row(each) for each in result.front]
    return section(
        "front", f"Score against {result.pareto}: what nothing beats", [table(titles, rows, styles=["number"] * 9)]
    )


def _process(result: BudgetResult) -> Html:
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
