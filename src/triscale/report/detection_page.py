"""A page of its own about one evaluation of a detector: one file that opens anywhere."""

from __future__ import annotations

from pathlib import Path

from triscale import atomic
from triscale.report.detection import detection, detection_figures
from triscale.report.detection_pictures import pictures
from triscale.report.detection_summary import DetectionSummary
from triscale.report.html import element, facts, join, paragraph
from triscale.report.page import whole_page


def write_detection(found: DetectionSummary, title: str, source: str, data: str, path: str | Path) -> None:
    """Write an evaluation as one self-contained HTML file, atomically; the worst images are read and drawn.

    title: the page's. source: what was evaluated. data: on what.
    Raises: FileError when the page cannot be written.
    """
    figures = detection_figures(found)
    header = join(
        [
            element("h1", title),
            element("p", " · ".join(f"{value} {name}" for name, value in figures[:2]), css="verdict"),
            paragraph(join([element("code", source), " on ", element("code", data)], "")),
            facts(figures),
        ]
    )
    body = detection(found, pictures(found.worst))
    atomic.write_text(path, whole_page(f"{title}: evaluation", header, [body]))
