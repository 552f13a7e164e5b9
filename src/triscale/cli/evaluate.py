"""`triscale eval`: how good a trained or exported model is on images with labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from triscale.cli.output import print_json, print_table
from triscale.errors import DataError, SpecError

if TYPE_CHECKING:
    from triscale.data.dataset import Dataset
    from triscale.deployment.judge import Corrupted, Question
    from triscale.deployment.predictor import Predictor
    from triscale.training.calibration import Calibration
    from triscale.training.evaluate import AnyEvaluation

CORRUPTED_IMAGES = 500


def evaluate_command(
    model: str,
    data: str,
    *,
    split: Literal["auto", "test", "val", "train", "all"] = "auto",
    corruptions: bool = False,
    severity: Annotated[list[int] | None, Parameter(consume_multiple=True)] = None,
    images: int = CORRUPTED_IMAGES,
    report: Path | None = None,
    in_order: bool = False,
    seed: int = 0,
    skip_broken: bool = False,
    module: str | None = None,
    threshold: float | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Evaluate a model on images that have labels or boxes, with the preprocessing that its weights came with.

    Classes are matched by their names. With several labels an image (a CSV with cat|dog), average precision and F1 take
    the place of top-1 and top-5; with boxes, COCO's twelve figures (extra detect), each class, and how many mistakes of
    which kind there are at one score. Corruptions are triscale's own, at the size that the network reads: they compare
    networks with each other, not with published figures on ImageNet-C.

    Example: triscale eval runs/photos photos --split test --corruptions --report evaluation.html

    Parameters
    ----------
    model
        a run's folder, a model file, an exported file (.onnx, .xml), hf://OWNER/REPO, or a name with installed weights
    data
        an image folder, a CSV, or shards; or images with boxes: COCO JSON, Pascal VOC, YOLO
    split
        auto takes test where there is one, else val
    corruptions
        also measure what is left under noise, blur, fog, compression and others
    severity
        of the corruptions, 1 to 5; 3 by default
    images
        of the split that are corrupted, at most, evenly spread
    report
        write a page with all figures and pictures into this .html file
    in_order
        for a model that names no classes: its outputs are the data's classes, sorted
    seed
        of the split, where the data has none: the one that the model was trained with; and of the corruptions
    skip_broken
        go on without images that cannot be read
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
    threshold
        of boxes: the score from which one counts, where one is needed; by default the one with the best F1 on these
    json
        print JSON instead of a table
    """
    severities = _severities(severity, images, corruptions, report)
    if _has_boxes(data, severities, module, threshold):
        from triscale.cli.evaluate_boxes import evaluate_boxes

        return evaluate_boxes(model, data, split, threshold, report, in_order, seed, skip_broken, json)

    from triscale.cli.models import loader_of
    from triscale.data.dataset import read_dataset
    from triscale.deployment.judge import calibration_of, judge, judge_corrupted, question
    from triscale.deployment.predictor import open_predictor
    from triscale.training.corruption import CORRUPTIONS
    from triscale.training.progress import choose_progress

    dataset = read_dataset(data, seed=seed, skip_broken=skip_broken)
    predictor = open_predictor(model, own=loader_of(module))
    chosen = ("test" if dataset.test else "val") if split == "auto" else split
    samples = dataset.train + dataset.val + dataset.test if chosen == "all" else getattr(dataset, chosen)
    if not samples:
        raise DataError(f"{data}: has no {chosen} images; choose another --split.")
    asked = question(predictor, dataset, samples, in_order)
    part, progress = asked.part(images if severities else len(samples)), choose_progress()
    again = len(part.samples) if len(part.samples) < len(samples) else 0
    progress.start("evaluating", len(samples) + again + len(severities) * len(CORRUPTIONS) * len(part.samples))
    try:
        found = judge(predictor, asked, progress=progress)
        clean = judge(predictor, part, progress=progress) if again else found
        under = judge_corrupted(predictor, part, severities, seed, progress)
    finally:
        progress.finish()
    calibration = calibration_of(predictor, found, "held out" if chosen == "test" else "not held out")
    corrupted = _corrupted(under, clean.score, part)
    document = _document(chosen, found, calibration, dataset) | corrupted
    if report is not None:
        _write_report(report, predictor, data, chosen, found, calibration, corrupted, asked)
    if json:
        print_json(document)
        return 0
    print(f"{predictor.source} on {len(samples)} {chosen} images of {data}")
    _print(document)
    if report is not None:
        print(f"report: {report}")
    return 0


def _severities(severity: Sequence[int] | None, images: int, corruptions: bool, report: Path | None) -> tuple[int, ...]:
    """The severities to measure, none where no corruption was asked for; what cannot be asked is refused first."""
    if report is not None and report.suffix != ".html":
        raise SpecError(f"--report writes a page, got {report.name!r}; give a name that ends in .html.")
    if not corruptions:
        if severity is not None or images != CORRUPTED_IMAGES:
            raise SpecError("--severity and --images are for --corruptions; give that too, or leave them out.")
        return ()
    wrong = [each for each in severity or () if not 1 <= each <= 5]
    if wrong:
        raise SpecError(f"--severity must be 1 to 5, got {wrong[0]}.")
    if images < 1:
        raise SpecError(f"--images must be at least 1, got {images}.")
    return tuple(sorted(set(severity or (3,))))


def _has_boxes(data: str, severities: Sequence[int], module: str | None, threshold: float | None) -> bool:
    """Whether it is a detector that is evaluated. Raises: SpecError for an option of the other kind of data."""
    from triscale.data.detection.find import is_boxes

    if not is_boxes(data):
        if threshold is not None:
            raise SpecError(f"--threshold is for boxes, and {data} has none that triscale can find.")
        return False
    if severities or module is not None:
        raise SpecError(f"{data}: has boxes, for which there is no {'--corruptions' if severities else '--module'}.")
    return True


def _document(split: str, found: AnyEvaluation, calibration: Calibration, dataset: Dataset) -> dict[str, Any]:
    """Everything that was found, as plain values. Classes of the model that the data does not have are left out."""
    from dataclasses import asdict

    import numpy as np

    from triscale.training.evaluate import Evaluation

    document: dict[str, Any] = {"split": split, "images": found.count, **found.metrics()}
    document |= calibration.metrics()
    document["classes"] = [asdict(each) for each in found.classes if each.name in set(dataset.classes)]
    if isinstance(found, Evaluation):
        there = found.occurring()
        counts = found.confusion[np.ix_(there, there)].tolist()
        document["confusion"] = {"classes": [found.classes[i].name for i in there], "counts": counts}
    return document


def _corrupted(under: Sequence[Corrupted], clean: float, part: Question) -> dict[str, Any]:
    if not under:
        return {}
    rows = [{"kind": each.kind, "severity": each.severity, "score": each.score} for each in under]
    mean = sum(each.score for each in under) / len(under)
    return {"corruptions": {"images": len(part.samples), "clean": clean, "mean": mean, "found": rows}}


def _print(document: dict[str, Any]) -> None:
    several = "map" in document
    if several:
        print(f"mAP {document['map']:.2%}, F1 {document['f1_micro']:.2%} (micro), {document['f1_macro']:.2%} (macro)")
    else:
        print(f"top-1 {document['top1']:.2%}, top-5 {document['top5']:.2%}, F1 {document['f1_macro']:.2%} (macro)")
    print(f"calibration error {document['ece']:.2%}{_scaled(document)}")
    titles = ("class", "images", *(("AP",) if several else ()), "precision", "recall", "F1")
    keys = (*(("average_precision",) if several else ()), "precision", "recall", "f1")
    rows = [
        (each["name"], f"{each['images']}", *(_rate(each[key]) for key in keys))
        for each in document["classes"]
        if each["images"]
    ]
    print_table(titles, rows)
    if "corruptions" in document:
        _print_corruptions(document["corruptions"], "mAP" if several else "top-1")


def _scaled(document: dict[str, Any]) -> str:
    if "temperature" not in document:
        return ""
    where = "" if document["calibration"] == "held out" else " (on images that the temperature may have been fitted on)"
    return f", {document['ece_scaled']:.2%} at the model's temperature {document['temperature']:.3g}{where}"


def _print_corruptions(found: dict[str, Any], score: str) -> None:
    severities = list(dict.fromkeys(each["severity"] for each in found["found"]))
    scores = {(each["kind"], each["severity"]): each["score"] for each in found["found"]}
    print(
        f"\n{score} on {found['images']} images: {found['clean']:.1%} clean, {found['mean']:.1%} corrupted on average"
    )
    kinds = list(dict.fromkeys(each["kind"] for each in found["found"]))
    titles = ("corruption", *(f"severity {each}" for each in severities))
    print_table(titles, [(kind, *(f"{scores[kind, each]:.1%}" for each in severities)) for kind in kinds])
    print("triscale's own corruptions: not comparable with published figures on ImageNet-C")


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _write_report(
    path: Path,
    predictor: Predictor,
    data: str,
    split: str,
    found: AnyEvaluation,
    calibration: Calibration,
    corruptions: dict[str, Any],
    asked: Question,
) -> None:
    from triscale.report.evaluated import evaluation_summary
    from triscale.report.evaluation_page import write_evaluation
    from triscale.report.model import CorruptionSummary
    from triscale.training.evaluate import Evaluation

    under = corruptions.get("corruptions")
    rows = tuple((each["kind"], each["severity"], each["score"]) for each in under["found"]) if under else ()
    corrupted = CorruptionSummary(under["images"], under["clean"], rows) if under else None
    there = found.occurring() if isinstance(found, Evaluation) else list(range(len(asked.names)))
    summary = evaluation_summary(asked.names, found, split, calibration, corrupted, there)
    write_evaluation(
        summary, [asked.names[i] for i in there], Path(predictor.source).name, predictor.source, data, path
    )
