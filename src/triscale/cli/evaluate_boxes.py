"""`triscale eval` on images with boxes: COCO's figures, each class, and what kinds of mistakes there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from triscale.cli.output import print_json, print_table
from triscale.errors import DataError, SpecError

if TYPE_CHECKING:
    import numpy as np

    from triscale.deployment.box_predictor import BoxPredictor
    from triscale.deployment.judge_boxes import BoxAnswers, BoxQuestion
    from triscale.detection.detections import Detections
    from triscale.training.detection.evaluation import DetectionEvaluation

Split = Literal["auto", "test", "val", "train", "all"]
SIZES = ("small", "medium", "large")


def evaluate_boxes(
    model: str,
    data: str,
    split: Split = "auto",
    threshold: float | None = None,
    report: Path | None = None,
    in_order: bool = False,
    seed: int = 0,
    skip_broken: bool = False,
    json: bool = False,
) -> int:
    """Evaluate a detector; the arguments are those of `triscale eval`."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise SpecError(f"--threshold is a score in 0..1, got {threshold:g}.")

    from triscale.data.detection.read import read_boxes
    from triscale.deployment.judge_boxes import box_question, judge_boxes
    from triscale.training.detection.coco import require_coco
    from triscale.training.progress import choose_progress

    require_coco()
    detector = _detector(model, data)  # a wrong name is told before every image of the data is read
    dataset = read_boxes(data, seed=seed, skip_broken=skip_broken)
    chosen = ("test" if dataset.test else "val") if split == "auto" else split
    samples = dataset.train + dataset.val + dataset.test if chosen == "all" else getattr(dataset, chosen)
    if not samples:
        raise DataError(f"{data}: has no {chosen} images; choose another --split.")
    asked = box_question(detector.classes, model, dataset, samples, in_order)
    if detector.outputs != len(asked.names):
        raise DataError(f"{model}: tells {detector.outputs} classes, and there are {len(asked.names)}.")
    progress = choose_progress()
    progress.start("evaluating", len(samples))
    try:
        answers = judge_boxes(_find(detector), detector.preprocessing, asked, threshold, progress)
    finally:
        progress.finish()
    if report is not None:
        _write_report(report, model, data, chosen, asked, answers)
    if json:
        print_json(document(chosen, answers.evaluation))
        return 0
    print(f"{model}: {answers.evaluation.sentence(chosen)} of {data}")
    _print(document(chosen, answers.evaluation))
    if report is not None:
        print(f"report: {report}")
    return 0


def document(split: str, found: DetectionEvaluation) -> dict[str, Any]:
    """Everything that was found, as plain values. Classes without an object and without a box are left out."""
    assert found.details is not None  # only `quick` leaves them out
    record = found.details.record()
    confusion = record["confusion"]
    counts = confusion["counts"]
    there = [i for i in range(len(counts) - 1) if any(counts[i]) or any(row[i] for row in counts)]
    with_background = [*there, len(counts) - 1]
    return {
        "split": split,
        "images": found.count,
        "objects": found.objects,
        **found.metrics(),
        "classes": [record["classes"][i] for i in there],
        "confusion": {
            "classes": [confusion["classes"][i] for i in with_background],
            "counts": [[counts[i][j] for j in with_background] for i in with_background],
        },
    }


def _print(found: dict[str, Any]) -> None:
    print()
    keys = ("map", "map50", "map75", "mar_1", "mar_10", "mar_100")
    rows = [("all", *(_rate(found[key]) for key in keys))]
    rows += [(size, _rate(found[f"map_{size}"]), "", "", "", "", _rate(found[f"mar_{size}"])) for size in SIZES]
    print_table(("objects", "AP", "AP50", "AP75", "recall, 1 box", "10 boxes", "100 boxes"), rows)
    print()
    if found["threshold"] is None:
        print("no box is right at any score")
    else:
        print(
            f"at a score of {found['threshold']:.3f}: precision {found['precision']:.1%}, "
            f"recall {found['recall']:.1%}, F1 {found['f1']:.1%}"
        )
    errors = found["errors"].items()
    rows = [(kind, f"{each['count']}", f"{each['cost']:.1%}") for kind, each in errors]
    print_table(("mistakes", "how many", "cost in AP50"), rows)
    print()
    keys = ("ap", "ap50", "precision", "recall", "f1")
    rows = [(each["name"], f"{each['objects']}", *(_rate(each[key]) for key in keys)) for each in found["classes"]]
    print_table(("class", "objects", "AP", "AP50", "precision", "recall", "F1"), rows)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _detector(model: str, data: str) -> BoxPredictor:
    """What finds the boxes; of a run the file that ships. Raises: SpecError for a model that is no detector."""
    from triscale.deployment.box_predictor import BoxPredictor
    from triscale.deployment.predictor import open_any

    opened = open_any(model)
    if not isinstance(opened, BoxPredictor):
        raise SpecError(f"{data} has boxes, and {model} is no detector; train one: triscale train DETECTOR {data} ….")
    return opened


def _find(detector: BoxPredictor) -> Callable[[np.ndarray], list[Detections]]:
    return lambda images: detector.find(images, detector.suppression)


def _write_report(path: Path, model: str, data: str, split: str, asked: BoxQuestion, answers: BoxAnswers) -> None:
    from triscale.report.detection_page import write_detection
    from triscale.report.detection_summary import detection_summary

    summary = detection_summary(answers.evaluation, answers.found, asked.samples, split)
    write_detection(summary, Path(model).name, model, data, path)
