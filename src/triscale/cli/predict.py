"""`triscale predict`: what is on these images?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from triscale.cli.output import print_json, require_read
from triscale.errors import SpecError

if TYPE_CHECKING:
    from triscale.deployment.predictor import Prediction


def predict(
    model: str,
    images: Annotated[list[str], Parameter(consume_multiple=True)],
    /,
    *,
    top: int | None = None,
    threshold: Annotated[float | None, Parameter(name=["--threshold", "--score"])] = None,
    draw: Path | None = None,
    calibrated: bool = False,
    module: str | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Name what is on images, or find it: a detector tells boxes, in pixels of each image as a person sees it.

    A file that cannot be read is told at the end (exit 2), after all others were answered.

    Example: triscale predict efficientnet_lite0 photos/*.jpg

    Parameters
    ----------
    model
        a run's folder, a model file, an exported file (.onnx, .xml), hf://OWNER/REPO, or a name with installed weights
    images
        files, folders and globs
    top
        answers per image, best first; 5 by default, all that are likely where an image may have several labels, and
        all boxes
    threshold
        probability in 0..1 that an answer must have; 0 by default, 0.5 where an image may have several labels, 0.3 for
        the score of a box
    draw
        a folder for pictures of the images with their boxes
    calibrated
        divide by the temperature that the model was found to need, so that it is about as sure as it is right
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
    json
        print JSON instead of a table
    """
    if top is not None and top < 1:
        raise SpecError(f"--top must be at least 1, got {top}.")
    if threshold is not None and not 0 <= threshold <= 1:
        raise SpecError(f"--threshold must be in 0..1, got {threshold:g}.")
    from triscale.cli.models import loader_of
    from triscale.deployment.box_predictor import BoxPredictor
    from triscale.deployment.predictor import image_files, open_any

    predictor = open_any(model, own=loader_of(module))
    if isinstance(predictor, BoxPredictor):
        from triscale.cli.predict_boxes import predict_boxes

        if calibrated:
            raise SpecError(f"{model}: is a detector, whose scores have no temperature; leave --calibrated out.")
        return predict_boxes(predictor, image_files(images), top, threshold, draw, json)
    if draw is not None:
        raise SpecError(f"{model}: is a classifier and finds no boxes; leave --draw out.")
    predictor = predictor.calibrated() if calibrated else predictor
    answers: list[Prediction] = []
    for answer in predictor.predict(image_files(images), top, threshold):
        answers.append(answer)
        if not json:
            _print(answer)
    if json:
        print_json([_document(answer) for answer in answers])
    require_read([answer.error for answer in answers])
    return 0


def _print(answer: Prediction) -> None:
    if answer.error:
        print(f"{answer.file}\n  error: {answer.error.removeprefix(f'{answer.file}: ')}")
        return
    print(answer.file)
    for label in answer.labels:
        print(f"  {label.score:6.1%}  {label.name}")
    if not answer.labels:
        print("  no label is likely enough; a lower --threshold shows more")


def _document(answer: Prediction) -> dict[str, object]:
    if answer.error:
        return {"file": answer.file, "error": answer.error}
    return {"file": answer.file, "labels": [{"name": each.name, "score": each.score} for each in answer.labels]}
