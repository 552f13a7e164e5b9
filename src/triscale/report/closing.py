"""The sections of a report on single images, on the files, and on how to use them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from triscale.report import usage
from triscale.report.html import Html, badge, bullets, code, element, join, paragraph, section, table
from triscale.report.model import Example, FitReport
from triscale.report.text import percent
from triscale.report.thumbnail import thumbnail
from triscale.spec.limits import quantity

SHOWN = 24  # images of each kind


def examples(report: FitReport) -> Html:
    """The images that were hardest and easiest for the network."""
    parts: list[object] = []
    for title, shown in (("Hardest for the network", report.worst), ("Easiest for the network", report.best)):
        if shown:
            parts += [element("h3", title), _gallery(shown[:SHOWN])]
    if not parts:
        parts = [paragraph("No examples were kept.")]
    note = "The percentage is how sure the network was of what it said; “was” is the true class and its share."
    return section("examples", "Examples", [*parts, paragraph(note, "note")])


def files(report: FitReport) -> Html:
    """Each exported file: whether it gives the model's answers, how large and how fast it is."""
    rows = [
        (
            join([element("code", file.file), badge("ships", good=True)], " ")
            if file.ships
            else element("code", file.file),
            f"{file.engine}, {file.precision}",
            quantity("size", file.bytes),
            "–" if file.latency is None else quantity("latency", file.latency),
            badge("same answers" if file.verified else "differs", good=file.verified),
            f"largest difference {file.max_error:.1e} (allowed {file.tolerance:g}), "
            f"same class first on {percent(file.agreement)} of {file.images} images",
        )
        for file in report.exports
    ]
    titles = ("file", "runs on", "size", "time per image", "", "compared with the model")
    parts = [
        table(titles, rows, styles=("name", "", "number", "number", "", "why")) if rows else paragraph("None."),
        bullets(report.missing),
        paragraph(
            "Beside them: model.safetensors (what triscale loads), network.json, config.toml, metrics.json and "
            "evaluation.json.",
            "note",
        ),
    ]
    return section("files", "The files", parts)


def use(report: FitReport) -> Html:
    """Commands and programs that are ready to copy."""
    folder, several = report.folder.rstrip("/"), report.evaluation.map is not None
    parts = [
        code(usage.commands(folder, report.data.path)),
        element("h3", "In Python"),
        code(usage.with_triscale(folder, several)),
    ]
    portable = next((file for file in report.exports if file.file.endswith(".onnx")), None)
    if portable is not None:
        parts += [
            element("h3", "In Python, without triscale"),
            paragraph("Only ONNX Runtime, numpy and Pillow. The image must be prepared exactly like this."),
            code(usage.without_triscale(f"{folder}/{portable.file}", report.preprocessing, several)),
        ]
    return section("use", "How to use it", parts)


class Made(Protocol):
    """A report that says where it was made."""

    @property
    def command(self) -> str:
        """What was typed."""
        ...

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """Versions and machine."""
        ...


def environment(report: Made) -> Html:
    """Where and with what this was made."""
    parts = [
        paragraph(join(["Made by ", element("code", report.command)], "")),
        table(("", ""), report.environment, styles=("", "name")),
    ]
    return section("environment", "Where this was made", parts)


def _gallery(shown: Sequence[Example]) -> Html:
    return element("div", join(_figure(example) for example in shown), css="examples")


def _figure(example: Example) -> Html:
    right = example.truth == example.predicted
    said = join([element("b", example.predicted, css="right" if right else "wrong"), f" {percent(example.score)}"], "")
    lines: list[object] = [said]
    if not right:
        lines.append(f"was {example.truth} {percent(example.true_score)}")
    lines.append(element("span", "/".join(example.path.parts[-2:]), css="soft"))
    image = thumbnail(example.path, f"{example.path.name}: {example.truth}")
    return element("figure", join([image, element("figcaption", join(lines, "<br>"))]))
