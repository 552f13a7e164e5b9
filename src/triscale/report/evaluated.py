"""An evaluation as the plain values that a page shows."""

from __future__ import annotations

from collections.abc import Sequence

from triscale.report.model import CorruptionSummary, EvaluationSummary
from triscale.training.calibration import Calibration
from triscale.training.evaluate import AnyEvaluation, Evaluation
from triscale.training.figures import mean


def evaluation_summary(
    classes: Sequence[str],
    found: AnyEvaluation,
    split: str,
    calibration: Calibration | None,
    corruptions: CorruptionSummary | None = None,
    only: Sequence[int] | None = None,
) -> EvaluationSummary:
    """What a page shows of an evaluation.

    classes: names, in output order. split: "test", "val", "train" or "all". only: the classes to show, by number.
    """
    there = range(len(classes)) if only is None else only
    per_class = tuple(found.per_class.get(classes[i]) for i in there)
    if not isinstance(found, Evaluation):
        return EvaluationSummary(
            split, found.count, None, None, found.loss, per_class, (), found.map, found.f1_micro, found.f1_macro,
            found.classes, calibration, corruptions,
        )  # fmt: skip
    return EvaluationSummary(
        split=split,
        images=found.count,
        top1=found.top1,
        top5=found.top5 if len(classes) > 5 else None,
        loss=found.loss,
        per_class=per_class,
        confusion=tuple(tuple(int(found.confusion[row, column]) for column in there) for row in there),
        f1_macro=mean([each.f1 for each in found.classes if each.images]),
        classes=found.classes,
        calibration=calibration,
        corruptions=corruptions,
    )
