"""The sections of a report, from the verdict to training. `evaluation` and `closing` have the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from triscale.report import plots
from triscale.report.architecture import picture
from triscale.report.evaluation import SHORT, SPLITS
from triscale.report.html import (
    Html,
    badge,
    bar,
    bullets,
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
from triscale.report.model import Candidate, ClassCount, FitReport, LimitResult
from triscale.report.text import duration, percent, pixels
from triscale.spec.cost import cost
from triscale.spec.limits import quantity
from triscale.spec.table import table_rows

QUARTILE = (
    "For latency the upper quartile of three measurements, taken apart, must be inside the limit. "
    "The time per image elsewhere on this page is their median."
)


class Budgeted(Protocol):
    """A report on something that was fitted to a budget."""

    @property
    def budget(self) -> str:
        """As it was asked for; empty without one."""
        ...

    @property
    def limits(self) -> tuple[LimitResult, ...]:
        """Each limit, measured again."""
        ...


def verdict(report: FitReport) -> Html:
    """What was asked, what came out, and whether every limit is met."""
    evaluation = report.evaluation
    images = SPLITS.get(evaluation.split, evaluation.split)
    sentence = f"{percent(evaluation.top1)} of {evaluation.images:,} {images} are named correctly."
    if evaluation.map is not None:
        sentence = f"Mean average precision {percent(evaluation.map)} on {evaluation.images:,} {images}."
    own = cost(report.network, report.preprocessing.size)
    shipped = next((file for file in report.exports if file.ships), None)
    figures = [
        ("top-1", percent(evaluation.top1)) if evaluation.map is None else ("mAP", percent(evaluation.map)),
        ("parameters", quantity("params", own.params)),
        ("MACs per image", quantity("macs", own.macs)),
        ("image size in px", pixels(report.preprocessing.size)),
    ]
    if shipped is not None:
        figures.append(("file size", quantity("size", shipped.bytes)))
        if shipped.latency is not None:
            figures.append(("time per image", quantity("latency", shipped.latency)))
    trained = sum(each.train for each in report.data.classes)
    made = f", trained on {trained:,} images of {len(report.data.classes):,} classes in {duration(report.seconds)}"
    return join(
        [
            element("h1", report.title),
            element("p", sentence, css="verdict"),
            paragraph(limits_badge(report)),
            paragraph(join([element("b", report.network.name), made], "")),
            facts(figures),
        ]
    )


def budget(report: Budgeted) -> Html:
    """Each limit, what was measured again on what ships, and how."""
    if not report.limits:
        return section("budget", "The budget", [paragraph("No budget was asked for.")])
    rows = [
        (
            limit.word,
            badge("met" if limit.met else "not met", good=limit.met),
            quantity(limit.word, limit.limit),
            quantity(limit.word, limit.measured),
            join([percent(limit.measured / limit.limit), bar(limit.measured / limit.limit, over=not limit.met)], ""),
            limit.how,
        )
        for limit in report.limits
    ]
    titles = ("limit", "", "asked for", "measured", "used", "how it was measured")
    parts = [
        paragraph(join(["Asked for: ", element("code", report.budget)], "")),
        table(titles, rows, styles=("", "", "number", "number", "", "why")),
        paragraph("Every limit was measured again on the files in this folder, after training and export.", "note"),
        paragraph(QUARTILE if any(limit.word == "latency" for limit in report.limits) else "", "note"),
    ]
    return section("budget", "The budget", parts)


def choice(report: FitReport) -> Html:
    """What was chosen and why, what else was possible, and the network itself."""
    parts = [
        paragraph(report.choice),
        paragraph(f"It started from: {report.weights}." if report.weights else ""),
        candidates_table(report.candidates, report.limits, report.score_name),
        paragraph(report.candidates_note, "note"),
        element("h3", "The network, stage by stage"),
        scroll(Html(picture(report.network, cost(report.network, report.preprocessing.size)))),
        fold("Row by row", _architecture(report)),
    ]
    return section("choice", "What was chosen, and what else was possible", parts)


def candidates_table(candidates: Sequence[Candidate], limits: Sequence[LimitResult], score_name: str) -> Html:
    """What was considered: cost over score as a picture, and a table with the reasons."""
    words = _columns(candidates, limits)
    scored = any(candidate.score is not None for candidate in candidates)
    titles = ["network", *words, *([score_name] if scored else []), "why"]
    rows = []
    for candidate in candidates:
        costs = {word: candidate.cost(word) for word in words}
        values = ["–" if own is None else quantity(word, own) for word, own in costs.items()]
        values += [_score(candidate.score)] if scored else []
        name = join([candidate.name, element("span", candidate.scaled, css="soft")], "<br>")
        rows.append([name, *values, candidate.reason])
    chosen = next((i for i, candidate in enumerate(candidates) if candidate.chosen), None)
    styles = ["name", *["number"] * (len(words) + scored), "why"]
    plot = drawn(lambda: plots.trade_off(candidates, limits, score_name))
    return join([plot, table(titles, rows, styles=styles, chosen=chosen) if rows else Html("")])


def data(report: FitReport) -> Html:
    """What was learnt from: images per class and split, and what was remarked or left out."""
    classes = report.data.classes
    totals = [sum(getattr(each, split) for each in classes) for split in ("train", "val", "test")]
    most = max((_total(each) for each in classes), default=1) or 1

    def row(each: ClassCount) -> list[object]:
        return [each.name, bar(_total(each) / most), f"{each.train:,}", f"{each.val:,}", f"{each.test:,}"]

    def counted(shown: list[ClassCount]) -> Html:
        return table(
            ("class", "", "train", "validation", "test"), map(row, shown), styles=("name", "", *["number"] * 3)
        )

    figures = [("images", f"{sum(totals):,}"), ("classes", f"{len(classes):,}")]
    figures += zip(("for training", "for validation", "for testing"), (f"{total:,}" for total in totals), strict=True)
    ordered = sorted(classes, key=_total)
    if len(classes) > SHORT:
        counts = [paragraph(f"The {SHORT} classes with the fewest images:"), counted(ordered[:SHORT])]
        counts.append(fold(f"All {len(classes):,} classes", counted(list(classes))))
    else:
        counts = [counted(list(classes))]
    skipped = bullets(report.data.skipped)
    parts = [
        paragraph(
            join(["From ", element("code", report.data.path), report.data.split and f" ({report.data.split})"], "")
        ),
        facts(figures),
        *counts,
        bullets(report.data.notes),
        fold(f"Left out: {len(report.data.skipped):,}", skipped) if report.data.skipped else Html(""),
    ]
    return section("data", "The data", parts)


def training(report: FitReport) -> Html:
    """Notes, curves and what was decided."""
    parts = [
        bullets(report.notes),
        drawn(lambda: plots.curves(report.curve, "top-1" if report.evaluation.map is None else "mAP")),
        fold("What was decided", table(("setting", "value"), report.recipe, styles=("name", "name"))),
    ]
    return section("training", "Training", parts)


def limits_badge(report: Budgeted) -> Html:
    """Whether every limit is met."""
    missed = [limit.word for limit in report.limits if not limit.met]
    if not report.limits:
        return Html("")
    if missed:
        count = f"{len(missed)} of {len(report.limits)}" if len(report.limits) > 1 else "The"
        verb = "limits are" if len(missed) > 1 else "limit is" if len(report.limits) == 1 else "limits is"
        return badge(f"{count} {verb} not met: {', '.join(missed)}", good=False)
    asked = join(["  asked for ", element("code", report.budget)], "")
    words = "Every limit of the budget is met" if len(report.limits) > 1 else "The budget is met"
    return join([badge(words, good=True), element("span", asked, css="soft")], "")


def _columns(candidates: Sequence[Candidate], limits: Sequence[LimitResult]) -> list[str]:
    """What the table of candidates compares: what the budget limits, then the usual costs, as far as there is room."""
    words = [limit.word for limit in limits]
    words += [word for word in ("macs", "params") if word not in words][: max(0, 3 - len(words))]
    return [word for word in words if any(each.cost(word) is not None for each in candidates)]


def _score(score: float | None) -> str:
    if score is None:
        return "–"
    return percent(score) if 0 <= score <= 1 else f"{score:.4g}"


def _total(each: ClassCount) -> int:
    return each.train + each.val + each.test


def _architecture(report: FitReport) -> Html:
    titles = ("stage", "operator", "reads", "channels", "layers", "parameters", "MACs")
    rows = [
        (
            row.stage,
            row.operator + (", squeeze-excite" if row.squeeze else ""),
            pixels(row.resolution),
            f"{row.channels:,}",
            row.layers,
            quantity("params", row.params),
            quantity("macs", row.macs),
        )
        for row in table_rows(report.network, report.preprocessing.size)
    ]
    return table(titles, rows, styles=("", "", "", *["number"] * 4))
