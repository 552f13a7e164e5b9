"""`report.html` of a fitted detector: the same page as a classifier's, with boxes where that has labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triscale import atomic
from triscale.report import plots, sections
from triscale.report.architecture import picture
from triscale.report.closing import environment
from triscale.report.detection import detection, detection_figures
from triscale.report.detection_pictures import pictures
from triscale.report.detection_summary import DetectionSummary
from triscale.report.html import (
    Html,
    badge,
    bullets,
    code,
    drawn,
    element,
    facts,
    fold,
    join,
    paragraph,
    scroll,
    section,
    table,
)
from triscale.report.model import Candidate, EpochPoint, LimitResult
from triscale.report.page import LINKS, whole_page
from triscale.report.text import duration, pixels
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.limits import quantity
from triscale.spec.network import Size

_PYTHON = """\
from triscale.deployment.predictor import open_box_predictor

predictor = open_box_predictor({file})
for found in predictor.predict(["photo.jpg"]):
    for box in found.boxes:
        print(box.name, round(box.score, 2), box.xyxy)  # pixels of the photograph
"""


@dataclass(frozen=True, slots=True)
class DetectorFile:
    """A file that was exported and compared: name inside the run folder, engine, precision, bytes, seconds per image.

    compared: what came of it, in words. verified: whether it tells the same detections. ships: whether the budget was
    held against it.
    """

    file: str
    engine: str
    precision: str
    bytes: int
    latency: float
    compared: str
    verified: bool
    ships: bool


@dataclass(frozen=True, slots=True)
class DetectorReport:
    """Everything that the page shows; fields that `FitReport` has mean the same.

    size: (H, W) of the input. images: of each split. objects: class name -> objects of it in each split.
    """

    title: str
    folder: str
    command: str
    budget: str
    limits: tuple[LimitResult, ...]
    detector: Detector
    size: Size
    weights: str
    choice: str
    candidates: tuple[Candidate, ...]
    data_path: str
    images: tuple[int, int, int]
    objects: Mapping[str, tuple[int, int, int]]
    data_notes: tuple[str, ...]
    skipped: tuple[str, ...]
    curve: tuple[EpochPoint, ...]
    evaluation: DetectionSummary
    exports: tuple[DetectorFile, ...]
    recipe: tuple[tuple[str, str], ...]
    environment: tuple[tuple[str, str], ...]
    seconds: float
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def write_detector_report(report: DetectorReport, path: str | Path) -> None:
    """Write the report as one self-contained HTML file, atomically. Raises: FileError when it cannot be written."""
    links = join(
        (element("a", title, attributes=f'href="#{place}"') for place, title in LINKS if place != "examples"), ""
    )
    parts = [
        sections.budget(report),
        _choice(report),
        _data(report),
        _training(report),
        detection(report.evaluation, pictures(report.evaluation.worst)),
        _files(report),
        _use(report),
        environment(report),
    ]
    header = join([_verdict(report), element("nav", links)])
    atomic.write_text(path, whole_page(f"{report.title}: triscale report", header, parts))


def _verdict(report: DetectorReport) -> Html:
    figures = detection_figures(report.evaluation)
    own = cost(report.detector, report.size)
    shipped = next(each for each in report.exports if each.ships)
    more = [
        ("parameters", quantity("params", own.params)),
        ("MACs per image", quantity("macs", own.macs)),
        ("image size in px", pixels(report.size)),
        ("file size", quantity("size", shipped.bytes)),
        ("time per image", quantity("latency", shipped.latency)),
    ]
    made = f", trained on {report.images[0]:,} images of {len(report.objects):,} classes in {duration(report.seconds)}"
    return join(
        [
            element("h1", report.title),
            element("p", " · ".join(f"{value} {name}" for name, value in figures[:2]), css="verdict"),
            paragraph(sections.limits_badge(report)),
            paragraph(join([element("b", report.detector.name), made], "")),
            facts([*figures, *more]),
        ]
    )


def _choice(report: DetectorReport) -> Html:
    own, backbone = report.detector, report.detector.backbone
    repeats, channels = own.pyramid.repeats, own.pyramid.channels
    behind = (
        f"Behind the backbone: {own.pyramid.kind or 'a pyramid'} of {channels} channels, {repeats} times over, on "
        f"levels P{own.pyramid.levels[0]} to P{own.pyramid.levels[1]}; heads of {own.heads.repeats} layers; "
        f"{own.anchors.per_location} anchors at each place."
    )
    parts = [
        paragraph(report.choice),
        paragraph(f"It started from: {report.weights}."),
        sections.candidates_table(report.candidates, report.limits, "published AP"),
        element("h3", "Its backbone, stage by stage"),
        scroll(Html(picture(backbone, cost(backbone, report.size)))),
        paragraph(behind),
    ]
    return section("choice", "What was chosen, and what else was possible", parts)


def _data(report: DetectorReport) -> Html:
    totals = [sum(each[split] for each in report.objects.values()) for split in range(3)]
    rows = [(name, *(f"{each:,}" for each in counts)) for name, counts in report.objects.items()]
    rows.append(("all", *(f"{each:,}" for each in totals)))
    figures = [("images", f"{sum(report.images):,}"), ("objects", f"{sum(totals):,}")]
    figures += zip(("for training", "for validation", "for testing"), (f"{n:,}" for n in report.images), strict=True)
    parts = [
        paragraph(join(["From ", element("code", report.data_path)], "")),
        facts(figures),
        paragraph("Objects of each class:"),
        table(("class", "train", "validation", "test"), rows, styles=("name", *["number"] * 3)),
        bullets(report.data_notes),
        fold(f"Left out: {len(report.skipped):,}", bullets(report.skipped)) if report.skipped else Html(""),
    ]
    return section("data", "The data", parts)


def _training(report: DetectorReport) -> Html:
    parts = [
        bullets(report.notes),
        drawn(lambda: plots.curves(report.curve, "mAP")),
        fold("What was decided", table(("setting", "value"), report.recipe, styles=("name", "name"))),
    ]
    return section("training", "Training", parts)


def _files(report: DetectorReport) -> Html:
    rows = []
    for each in report.exports:
        name: object = element("code", each.file)
        rows.append(
            (
                join([name, badge("ships", good=True)], " ") if each.ships else name,
                f"{each.engine}, {each.precision}",
                quantity("size", each.bytes),
                quantity("latency", each.latency),
                badge("same detections" if each.verified else "differs", good=each.verified),
                each.compared,
            )
        )
    titles = ("file", "runs on", "size", "time per image", "", "compared with the detector")
    note = (
        "The figures above are those of the file that ships. A file gives boxes (x1, y1, x2, y2) in pixels of its "
        "input, scores, labels and their count. Beside them: model.safetensors (what triscale loads), network.json, "
        "config.toml, metrics.json and evaluation.json."
    )
    shown = table(titles, rows, styles=("name", "", "number", "number", "", "why"))
    return section("files", "The files", [shown, bullets(report.missing), paragraph(note, "note")])


def _use(report: DetectorReport) -> Html:
    folder, data = (shlex.quote(each) for each in (report.folder.rstrip("/"), report.data_path))
    commands = (
        f"triscale predict {folder} photo.jpg --draw pictures\n"
        f"triscale eval {folder} {data}\n"
        f"triscale export {folder} model.onnx --suppression out --images photos"
    )
    shipped = next(each.file for each in report.exports if each.ships)
    python = _PYTHON.format(file=repr(f"{report.folder.rstrip('/')}/{shipped}"))
    return section("use", "How to use it", [code(commands), element("h3", "In Python"), code(python)])
