"""A page of its own about one evaluation: one file that opens anywhere, like a run's report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triscale import atomic
from triscale.report.evaluation import evaluation, figures
from triscale.report.html import element, facts, join, paragraph
from triscale.report.model import EvaluationSummary
from triscale.report.page import whole_page


def write_evaluation(
    found: EvaluationSummary, names: Sequence[str], title: str, source: str, data: str, path: str | Path
) -> None:
    """Write an evaluation as one self-contained HTML file, atomically.

    names: of the classes, in output order. title: the page's. source: what was evaluated. data: on what.
    Raises: FileError when the page cannot be written.
    """
    header = join(
        [
            element("h1", title),
            element("p", " · ".join(f"{value} {name}" for name, value in figures(found)[:1]), css="verdict"),
            paragraph(join([element("code", source), " on ", element("code", data)], "")),
            facts(figures(found)),
        ]
    )
    atomic.write_text(path, whole_page(f"{title}: evaluation", header, [evaluation(found, names)]))
