"""The section on how good a network is: figures, calibration, what it confuses, each class, what corruption leaves."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triscale.report import accuracy
from triscale.report.confusion import matrix, mistakes
from triscale.report.html import Html, bar, drawn, element, facts, fold, join, paragraph, scroll, section, table
from triscale.report.model import EvaluationSummary
from triscale.report.text import percent
from triscale.training.calibration import UNKNOWN, Calibration
from triscale.training.figures import ClassFigures

SHORT = 20  # rows of a table that is shown at once; the rest is folded away

SPLITS = {"test": "test images", "val": "validation images", "train": "training images", "all": "images of all splits"}
NO_TEST = (
    "There is no test split, and training chose its best state on these very images: expect somewhat less on new ones."
)
SEEN = "The network was trained on these images, or on some of them: expect less on new ones."
HOW = {
    "held out": "The temperature was fitted on the validation images; these images had no part in it.",
    "cross-fitted": "There is no test split: each half of the validation images was scaled by the other half's.",
    "not held out": "The temperature may have been fitted on these very images: expect more error on new ones.",
}
NONE = "The model file carries no temperature; a model that triscale trains has one where its images tell it."
UNTOLD = (
    "The validation images do not tell a temperature: with hardly a mistake in them, any network could be surer. The "
    "model file carries none."
)
OWN = (
    "The corruptions follow the idea of Hendrycks & Dietterich 2019 and are triscale's own, at the size that the "
    "network reads: they compare networks with each other, not with published figures on ImageNet-C."
)


def evaluation(found: EvaluationSummary, names: Sequence[str]) -> Html:
    """How good the network is. names: of the classes, in output order."""
    wrong = mistakes(found.confusion, names)
    confused = table(
        ("images of", "taken for", "how many", "of its images"),
        [(each.truth, each.predicted, f"{each.images:,}", percent(each.share)) for each in wrong],
        styles=("name", "name", "number", "number"),
    )
    errors = join([element("h3", "Most frequent mistakes"), confused]) if wrong else paragraph("There are no mistakes.")
    parts = [
        paragraph(_on(found)),
        paragraph({"val": NO_TEST, "train": SEEN, "all": SEEN}.get(found.split, ""), "note"),
        facts(figures(found)),
        _matrix(found, names),
        _classes(found, names),  # seven columns: below the matrix, not beside it
        errors if found.map is None else Html(""),
        _calibration(found.calibration, found.map is not None) if found.calibration is not None else Html(""),
        _corruptions(found),
    ]
    return section("evaluation", "How good it is", parts)


def figures(found: EvaluationSummary) -> list[tuple[str, str]]:
    """The figures that stand out, with their names."""
    rates = (
        ("top-1", found.top1),
        ("top-5", found.top5),
        ("mAP", found.map),
        ("F1, all answers", found.f1_micro),
        ("F1, mean of classes", found.f1_macro),
        ("calibration error", None if found.calibration is None else found.calibration.ece),
    )
    shown = [(name, percent(rate)) for name, rate in rates if rate is not None]
    shown += [("loss", f"{found.loss:.3f}")] if found.loss is not None else []
    return [*shown, ("images", f"{found.images:,}")]


def interval(rate: float, images: int, z: float = 1.96) -> tuple[float, float]:
    """Within which bounds the true rate lies, with 95 % confidence.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if images < 1:
        return 0.0, 1.0
    spread = z * math.sqrt(rate * (1 - rate) / images + z * z / (4 * images * images))
    middle, scale = rate + z * z / (2 * images), 1 + z * z / images
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def _on(found: EvaluationSummary) -> str:
    images = SPLITS.get(found.split, found.split)
    if found.top1 is None:
        return (
            f"On the {images}, which may have several labels each. Average precision is of all images ranked by their "
            f"score for a class; precision, recall and F1 are of labels with a probability of one half or more."
        )
    low, high = interval(found.top1, found.images)
    return (
        f"On the {images}. With this many images, the true rate lies between {percent(low)} and {percent(high)} "
        f"(95 % interval)."
    )


def _matrix(found: EvaluationSummary, names: Sequence[str]) -> Html:
    picture = matrix(found.confusion, names) if found.confusion else ""
    return element("div", join([element("h3", "Confusion"), scroll(Html(picture))])) if picture else Html("")


def _classes(found: EvaluationSummary, names: Sequence[str]) -> Html:
    """Each class with its rate, the weakest first; only the weakest at once where there are many."""
    several = found.map is not None
    measured = {each.name: each for each in found.classes}
    rates = list(zip(names, found.per_class, strict=True))
    ordered = sorted(rates, key=lambda each: (each[1] is None, each[1] or 0.0))

    def row(name: str, rate: float | None) -> list[object]:
        own = measured.get(name, ClassFigures(name, 0, None, None, None))
        more = (own.precision, *((own.recall,) if several else ()), own.f1)
        return [name, bar(rate or 0.0), percent(rate), *(percent(each) for each in more), f"{own.images:,}"]

    titles = ("class", "", *(("AP", "precision", "recall") if several else ("recall", "precision")), "F1", "images")

    def listed(shown: list[tuple[str, float | None]]) -> Html:
        numbers = ["number"] * (len(titles) - 2)
        return table(titles, [row(*each) for each in shown], styles=("name", "", *numbers))

    parts = [element("h3", "Class by class, the weakest first"), listed(ordered[:SHORT])]
    if len(ordered) > SHORT:
        parts.append(fold(f"All {len(ordered):,} classes", listed(ordered)))
    return element("div", join(parts))


def _calibration(found: Calibration, several: bool) -> Html:
    """Whether it is as sure as it is right, before and after one temperature."""
    change = "less sure" if found.temperature > 1 else "surer"
    scaling = (
        f"A temperature of {found.temperature:.3g} makes it {change}; which class comes first stays the same. "
        f"{HOW.get(found.how, '')} triscale predict applies it with --calibrated."
    )
    rows = [
        ("as it answers", percent(found.ece), f"{found.loss:.3f}"),
        (f"logits divided by {found.temperature:.3g}", percent(found.ece_scaled), f"{found.loss_scaled:.3f}"),
    ]
    return join(
        [
            element("h3", "Is it as sure as it is right?"),
            drawn(lambda: accuracy.reliability_diagram(found)),
            paragraph(
                "Each bar is the share of answers that is right; the mark beside it is their mean confidence. The "
                "distance between the two, weighted by how many answers there are, is the calibration error."
                + (" Every label of every image is an answer here." if several else ""),
                "note",
            ),
            table(
                ("", "calibration error", "loss"),
                rows[:1] if found.how == UNKNOWN else rows,
                styles=("name", "number", "number"),
            ),
            paragraph(NONE if found.how == UNKNOWN else scaling if found.told else UNTOLD, "note"),
        ]
    )


def _corruptions(found: EvaluationSummary) -> Html:
    """What is left under each corruption; nothing where it was not asked for."""
    corrupted = found.corruptions
    if corrupted is None:
        return Html("")
    severities = list(dict.fromkeys(severity for _, severity, _ in corrupted.found))
    scores = {(kind, severity): score for kind, severity, score in corrupted.found}
    rows = [
        (kind.replace("_", " "), *(percent(scores[kind, each]) for each in severities))
        for kind in dict.fromkeys(kind for kind, _, _ in corrupted.found)
    ]
    score = "mAP" if found.map is not None else "top-1"
    return join(
        [
            element("h3", "Under common corruptions"),
            paragraph(
                f"{score} on {corrupted.images:,} images: {percent(corrupted.clean)} as they are, "
                f"{percent(corrupted.mean)} corrupted, on average over kinds and severities."
            ),
            drawn(lambda: accuracy.corruption_bars(corrupted, score)),
            table(
                ("corruption", *(f"severity {each}" for each in severities)),
                rows,
                styles=("name", *["number"] * len(severities)),
            ),
            paragraph(OWN, "note"),
        ]
    )
