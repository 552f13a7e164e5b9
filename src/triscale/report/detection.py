"""The section on how good a detector is: COCO's figures, kinds of mistakes, confusion, each class, the worst images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triscale.report.confusion import matrix
from triscale.report.detection_summary import DetectionSummary
from triscale.report.evaluation import NO_TEST, SEEN, SHORT, SPLITS
from triscale.report.html import Html, bar, element, facts, fold, join, paragraph, scroll, section, table
from triscale.report.text import percent
from triscale.training.detection.errors import MEANINGS
from triscale.training.detection.evaluation import BACKGROUND, BoxClass

HOW = (
    "Average precision and recall are COCO's: means over overlaps (IoU) of .5 to .95, and over classes. An object is "
    "small below 32 × 32 pixels of its image, large above 96 × 96."
)
KINDS_NOTE = (
    "Kinds of mistakes as in TIDE (Bolya et al. 2020). The cost is what AP50 would win if there were none of that kind "
    "among boxes of any score; kinds are made good one at a time, so that costs do not add up."
)
CONFUSION_NOTE = (
    "The last row counts boxes where no object was left for them, duplicates among them; the last column counts "
    "objects without a box."
)


def detection(found: DetectionSummary, pictures: Html | None = None) -> Html:
    """How good the detector is. pictures: of its worst images, where there are any."""
    parts = [
        paragraph(f"On the {SPLITS.get(found.split, found.split)}: {found.objects:,} objects. {HOW}"),
        paragraph({"val": NO_TEST, "train": SEEN, "all": SEEN}.get(found.split, ""), "note"),
        facts(detection_figures(found)),
        _coco(found),
        _told(found),
        _mistakes(found),
        _matrix(found),
        _classes(found.classes),
        pictures if pictures is not None else Html(""),
    ]
    return section("evaluation", "How good it is", parts)


def detection_figures(found: DetectionSummary) -> list[tuple[str, str]]:
    """The figures that stand out, with their names."""
    shown = [
        (name, percent(found.figures[key])) for name, key in (("mAP", "map"), ("mAP50", "map50"), ("mAP75", "map75"))
    ]
    shown += [("precision", percent(found.precision)), ("recall", percent(found.recall)), ("F1", percent(found.f1))]
    shown += [] if math.isnan(found.loss) else [("loss", f"{found.loss:.3f}")]
    return [*shown, ("images", f"{found.images:,}"), ("objects", f"{found.objects:,}")]


def _coco(found: DetectionSummary) -> Html:
    titles = ("objects", "AP", "AP50", "AP75", "recall, 1 box", "10 boxes", "100 boxes")
    keys = ("map", "map50", "map75", "mar_1", "mar_10", "mar_100")
    rows = [["all", *(_rate(found.figures[key]) for key in keys)]]
    for size in ("small", "medium", "large"):
        ap, recall = _rate(found.figures[f"map_{size}"]), _rate(found.figures[f"mar_{size}"])
        rows.append([size, ap, "", "", "", "", recall])
    return join([element("h3", "COCO's twelve figures"), table(titles, rows, styles=("", *["number"] * 6))])


def _told(found: DetectionSummary) -> Html:
    if not math.isfinite(found.threshold):
        return paragraph("No box is right at any score, so that there is no threshold to tell boxes by.")
    return paragraph(
        f"What follows is about boxes with a score of {found.threshold:.3f} or more, which are right when they overlap "
        f"an object of their class by an IoU of .5. Unless it was given, that is the score with the best F1 here."
    )


def _mistakes(found: DetectionSummary) -> Html:
    most = max((each.cost for each in found.errors), default=0.0) or 1.0
    rows = [
        (each.kind, MEANINGS[each.kind], f"{each.count:,}", bar(each.cost / most), percent(each.cost))
        for each in found.errors
    ]
    titles = ("kind", "what it is", "how many", "", "costs in AP50")
    listed = table(titles, rows, styles=("", "why", "number", "", "number"))
    return join([element("h3", "Mistakes by kind"), listed, paragraph(KINDS_NOTE, "note")])


def _matrix(found: DetectionSummary) -> Html:
    """Of the classes that an object or a told box has."""
    counts, names = found.confusion, [each.name for each in found.classes]
    there = [i for i in range(len(names)) if sum(counts[i]) or any(row[i] for row in counts)]
    there.append(len(names))
    titles = [*names, BACKGROUND]
    picture = matrix([[counts[i][j] for j in there] for i in there], [titles[i] for i in there])
    if not picture:  # too many to draw
        return Html("")
    return join([element("h3", "Confusion"), scroll(Html(picture)), paragraph(CONFUSION_NOTE, "note")])


def _classes(classes: Sequence[BoxClass]) -> Html:
    """Each class, the weakest first; only the weakest at once where there are many."""
    ordered = sorted(classes, key=lambda each: (each.ap is None, each.ap or 0.0))
    titles = ("class", "", "AP", "AP50", "precision", "recall", "F1", "objects")

    def listed(shown: Sequence[BoxClass]) -> Html:
        rows = [
            (each.name, bar(each.ap or 0.0), *map(percent, (each.ap, each.ap50, each.precision, each.recall, each.f1)),
             f"{each.objects:,}")
            for each in shown
        ]  # fmt: skip
        return table(titles, rows, styles=("name", "", *["number"] * 6))

    parts = [element("h3", "Class by class, the weakest first"), listed(ordered[:SHORT])]
    if len(ordered) > SHORT:
        parts.append(fold(f"All {len(ordered):,} classes", listed(ordered)))
    return element("div", join(parts))


def _rate(value: float) -> str:
    return percent(None if math.isnan(value) else value)
