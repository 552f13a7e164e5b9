"""`triscale predict` with a detector: what is where on these images?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triscale.cli.output import print_json, require_read
from triscale.data.detection.draw import Mark, class_colour
from triscale.data.detection.pictures import draw_found, require_folder
from triscale.deployment.box_predictor import BoxPrediction, BoxPredictor


def predict_boxes(
    predictor: BoxPredictor,
    files: Sequence[Path],
    top: int | None,
    threshold: float | None,
    draw: Path | None,
    json: bool,
) -> int:
    """Find boxes on images; the arguments are those of `triscale predict`."""
    if draw is not None:
        require_folder(draw)
    answers: list[BoxPrediction] = []
    pictures: set[str] = set()
    for answer in predictor.predict(files, top, threshold):
        answers.append(answer)
        if not json:
            _print(answer)
        if draw is not None and not answer.error:
            _draw(answer, draw / _picture(answer.file, pictures))
    if json:
        print_json([_document(answer) for answer in answers])
    require_read([answer.error for answer in answers])
    return 0


def _draw(answer: BoxPrediction, target: Path) -> None:
    marks = [Mark(each.xyxy, f"{each.name} {each.score:.2f}", class_colour(each.label)) for each in answer.boxes]
    draw_found(Path(answer.file), marks, answer.size, target)


def _picture(file: str, taken: set[str]) -> str:
    """A name for a file's picture that no other file of this call has."""
    stem, name, number = Path(file).stem, f"{Path(file).stem}.jpg", 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}.jpg"
    taken.add(name)
    return name


def _print(answer: BoxPrediction) -> None:
    if answer.error:
        print(f"{answer.file}\n  error: {answer.error.removeprefix(f'{answer.file}: ')}")
        return
    print(answer.file)
    for box in answer.boxes:
        corners = " ".join(f"{side:7.1f}" for side in box.xyxy)
        print(f"  {box.score:6.1%} {corners}  {box.name}")
    if not answer.boxes:
        print("  no box has enough of a score; a lower --threshold shows more")


def _document(answer: BoxPrediction) -> dict[str, object]:
    if answer.error:
        return {"file": answer.file, "error": answer.error}
    boxes = [{"name": each.name, "score": each.score, "xyxy": list(each.xyxy)} for each in answer.boxes]
    return {"file": answer.file, "boxes": boxes}
