"""`report.html`: one file that opens anywhere, without scripts, without a network, in light and dark, on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from triscale import atomic
from triscale.report import closing, sections
from triscale.report.evaluation import evaluation
from triscale.report.html import Html, element, join
from triscale.report.model import FitReport
from triscale.report.text import escape

LINKS = (
    ("budget", "Budget"),
    ("choice", "What was chosen"),
    ("data", "Data"),
    ("training", "Training"),
    ("evaluation", "How good it is"),
    ("examples", "Examples"),
    ("files", "Files"),
    ("use", "How to use it"),
    ("environment", "Environment"),
)


def write_report(report: FitReport, path: str | Path) -> None:
    """Write a report as one self-contained HTML file, atomically.

    Example images are read and made small; one that has gone since is said to be gone. Plots need matplotlib; without
    it the page says so and the tables stand alone.
    Raises: FileError when the page cannot be written.
    """
    atomic.write_text(path, page(report))


def page(report: FitReport) -> str:
    """The whole page as HTML; see `write_report`."""
    links = join((element("a", title, attributes=f'href="#{place}"') for place, title in LINKS), "")
    header = join([sections.verdict(report), element("nav", links)])
    return whole_page(f"{report.title}: triscale report", header, _all(report))


def whole_page(title: str, header: Html, parts: Sequence[Html]) -> str:
    """A page that is one file, loads nothing and runs nothing."""
    style = resources.files("triscale.report").joinpath("report.css").read_text(encoding="utf-8")
    body = join(
        [
            element("header", header),
            element("main", join(parts)),
            element("footer", element("p", "Everything on this page is in this one file.", css="note")),
        ]
    )
    # What the page may load is nothing: not even a class name that escaped could fetch or run anything.
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>"
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def _all(report: FitReport) -> list[Html]:
    return [
        sections.budget(report),
        sections.choice(report),
        sections.data(report),
        sections.training(report),
        evaluation(report.evaluation, [each.name for each in report.data.classes]),
        closing.examples(report),
        closing.files(report),
        closing.use(report),
        closing.environment(report),
    ]
