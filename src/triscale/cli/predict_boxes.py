"""`triscale predict` with a detector: what is where on these images?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triscale.cli.output import print_json, require_read
from triscale.data.detection.draw import Mark, class_colour
from triscale.data.detection.pictures import draw_found, require_folder
from triscale.deployment.box_predictor import BoxPrediction, BoxPredictor
from triscale.errors import FileError


def predict_boxes(
    predictor: BoxPredictor,
    files: Sequence[Path],
    top: int | None,
    threshold: float | None,
    draw: Path | None,
    json: bool,
) -> int:
    """Find boxes on images; the arguments are those of `triscale predict`."""
    pictures = [None] * len(files) if draw is None else _pictures(files, draw)
    answers: list[BoxPrediction] = []
    for answer, picture in zip(predictor.predict(files, top, threshold), pictures, strict=True):
        answers.append(answer)
        if not json:
            _print(answer)
        if picture is not None and not answer.error:
            _draw(answer, picture)
    if json:
        print_json([_document(answer) for answer in answers])
    require_read([answer.error for answer in answers])
    return 0


def _draw(answer: BoxPrediction, target: Path) -> None:
    marks = [Mark(each.xyxy, f"{each.name} {each.score:.2f}", class_colour(each.label)) for each in answer.boxes]
    draw_found(Path(answer.file), marks, answer.size, target)


def _pictures(files: Sequence[Path], folder: Path) -> list[Path]:
    """Where the picture of each file goes. Raises: FileError where an image to look at would be overwritten."""
    require_folder(folder)
    names: dict[str, None] = {}
    for file in files:
        name, number = f"{file.stem}.jpg", 1
        while name in names:
            number += 1
            name = f"{file.stem}-{number}.jpg"
        names[name] = None
    own = {file.resolve() for file in files}
    for name in names:
        if (folder / name).resolve() in own:
            raise FileError(f"{folder / name}: its picture would overwrite it; give --draw another folder.")
    return [folder / name for name in names]


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
