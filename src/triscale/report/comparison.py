"""Several runs side by side: their curves in one picture, and a page with all that tells them apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triscale import atomic
from triscale.report.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, figure, style, svg
from triscale.report.html import Html, bar, drawn, element, join, paragraph, section, table
from triscale.report.model import Candidate
from triscale.report.page import whole_page
from triscale.report.plots import trade_off
from triscale.report.text import duration, percent, shorten
from triscale.spec.limits import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, GREY)
STYLES = ("-", "--", ":", "-.")
CLASSES = 10  # whose difference is shown
NOTE = "Runs with another number of * were evaluated on other images: their figures do not compare."


@dataclass(frozen=True, slots=True)
class EpochScore:
    """After one epoch: seconds of training so far, and the score on the validation images; None where not taken."""

    epoch: int
    seconds: float
    raw: float | None
    ema: float | None

    @property
    def best(self) -> float | None:
        """The better of the two, which is the one that training keeps."""
        return max((each for each in (self.raw, self.ema) if each is not None), default=None)


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run. name: of its folder. marks: as many * as tell its images from others'. metrics: what it measured.

    curve: its epochs so far.
    """

    name: str
    state: str
    marks: str
    metrics: Mapping[str, Any]
    curve: tuple[EpochScore, ...] = ()

    @property
    def score(self) -> float | None:
        """Top-1, or mAP where images may have several labels; None while nothing was measured."""
        return self.metrics.get("map", self.metrics.get("top1"))

    @property
    def score_name(self) -> str:
        """What the score is."""
        return "mAP" if "map" in self.metrics else "top-1"

    @property
    def chosen(self) -> EpochScore | None:
        """The epoch whose weights were kept."""
        return next((each for each in self.curve if each.epoch == self.metrics.get("best_epoch")), None)


@dataclass(frozen=True, slots=True)
class ClassDifference:
    """A class in two runs; rates in 0..1."""

    name: str
    first: float
    second: float


def class_differences(first: ComparedRun, second: ComparedRun) -> tuple[ClassDifference, ...]:
    """Classes that two runs know more or less well, the largest difference first; none where they saw other images."""
    if first.marks != second.marks or first.score_name != second.score_name:
        return ()
    one, other = first.metrics.get("per_class", {}), second.metrics.get("per_class", {})
    found = [ClassDifference(name, one[name], other[name]) for name in one if other.get(name, one[name]) != one[name]]
    return tuple(sorted(found, key=lambda each: -abs(each.second - each.first)))


def score_title(runs: Sequence[ComparedRun]) -> str:
    """What to call the score of all runs."""
    names = {run.score_name for run in runs if run.score is not None}
    return names.pop() if len(names) == 1 else "score"


def draw_curves(runs: Sequence[ComparedRun]) -> Figure | None:
    """The score on the validation images against epochs and against seconds, a line for each run.

    Returns: None where no run has finished an epoch. Raises: MissingExtraError without matplotlib.
    """
    shown = [run for run in runs if any(each.best is not None for each in run.curve)]
    if not shown:
        return None
    with style():
        drawing = figure(9.0, 3.8 + 0.16 * math.ceil(len(shown) / 3))
        by_epoch, by_time = drawing.subplots(1, 2, sharey=True)
        for number, run in enumerate(shown):
            points = [each for each in run.curve if each.best is not None]
            scores = [each.best or 0.0 for each in points]
            looks = {
                "color": COLORS[number % len(COLORS)],
                "linestyle": STYLES[number // len(COLORS) % len(STYLES)],
                "marker": "o" if len(points) < 12 else "",
            }
            by_epoch.plot([each.epoch for each in points], scores, markersize=3.5, **looks)
            label = shorten(run.name, 40) + run.marks
            by_time.plot([each.seconds for each in points], scores, markersize=3.5, label=label, **looks)
        _finish(by_epoch, "epoch", f"{score_title(shown)} on validation images")
        _finish(by_time, "seconds of training", "")
        by_epoch.xaxis.get_major_locator().set_params(integer=True)
        handles, labels = by_time.get_legend_handles_labels()
        legend = drawing.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
    return drawing


def _finish(axes: Axes, across: str, upwards: str) -> None:
    axes.set(xlabel=across, ylabel=upwards)
    axes.grid(visible=True, alpha=0.15)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")


def draw_trade_off(runs: Sequence[ComparedRun]) -> str:
    """Score against MACs, the best run filled. Returns: SVG; empty where fewer than two runs differ."""
    measured = [run for run in runs if run.score is not None and run.metrics.get("macs") is not None]
    points = [
        Candidate(run.name, "", {"macs": run.metrics["macs"]}, run.score, run is measured[0], "") for run in measured
    ]
    return trade_off(points, (), score_title(measured)) if measured else ""


def write_comparison(runs: Sequence[ComparedRun], path: str | Path) -> None:
    """Write a page that compares runs, best first, as one self-contained HTML file, atomically.

    Raises: FileError when the page cannot be written.
    """
    header = join([element("h1", "triscale compare"), element("p", _verdict(runs), css="verdict")])
    parts = [
        section("runs", "The runs", [_table(runs), _note(runs), drawn(lambda: draw_trade_off(runs))]),
        section("curves", "How they came there", [drawn(lambda: _curves(runs))]),
        *(_differences(*pair) for pair in itertools.islice(itertools.combinations(runs, 2), 1)),
    ]
    atomic.write_text(path, whole_page("triscale compare", header, parts))


def _verdict(runs: Sequence[ComparedRun]) -> str:
    best = runs[0]
    if best.score is None:
        return "No run has measured anything yet."
    return f"{best.name}: {best.score_name} {percent(best.score)}"


def _curves(runs: Sequence[ComparedRun]) -> str:
    drawing = draw_curves(runs)
    return "" if drawing is None else svg(drawing, "runs", "Scores on the validation images, by epoch and by time")


def _note(runs: Sequence[ComparedRun]) -> Html:
    return paragraph(NOTE if len({run.marks for run in runs}) > 1 else "", "note")


def _table(runs: Sequence[ComparedRun]) -> Html:
    titles = (
        "run", "state", score_title(runs), "raw, val", "EMA, val", "epochs", "calibration error", "parameters",
        "MACs", "time per image", "training",
    )  # fmt: skip
    rows = []
    for run in runs:
        found, chosen = run.metrics, run.chosen
        latency, seconds = found.get("latency_ms"), found.get("seconds")
        rows.append(
            (
                run.name + run.marks,
                run.state,
                percent(run.score),
                percent(None if chosen is None else chosen.raw),
                percent(None if chosen is None else chosen.ema),
                found.get("epochs", len(run.curve) or "–"),
                percent(found.get("ece")),
                "–" if found.get("params") is None else quantity("params", found["params"]),
                "–" if found.get("macs") is None else quantity("macs", found["macs"]),
                "–" if latency is None else quantity("latency", latency / 1e3),
                "–" if seconds is None else duration(seconds),
            )
        )
    return table(titles, rows, styles=("name", "", *["number"] * 9), chosen=0)


def _differences(first: ComparedRun, second: ComparedRun) -> Html:
    """Where the two best differ, class by class."""
    found = class_differences(first, second)[:CLASSES]
    if not found:
        return Html("")
    rows = [
        (each.name, percent(each.first), percent(each.second), bar(each.second, over=each.second < each.first))
        for each in found
    ]
    return section(
        "classes",
        "Where the two best differ",
        [
            table(("class", first.name, second.name, ""), rows, styles=("name", "number", "number", "")),
            paragraph("The bar is the second one's, orange where it is worse.", "note"),
        ],
    )
