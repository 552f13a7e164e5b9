"""From image files to named boxes, with whatever holds the detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from triscale.data.images import image_header, open_image
from triscale.data.member import ImagePlace
from triscale.data.transforms import needed_size, to_values
from triscale.detection.detect import to_image
from triscale.detection.detections import Detections
from triscale.errors import DataError
from triscale.spec.network import Size
from triscale.spec.placement import Placement, place
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.suppression import Suppression

BATCH = 8
THRESHOLD = 0.3  # score from which a box is told, where nobody says otherwise


@dataclass(frozen=True, slots=True)
class FoundBox:
    """One answer: the class, its score in 0..1, and where: (x1, y1, x2, y2) in pixels of the upright image."""

    name: str
    score: float
    xyxy: tuple[float, float, float, float]
    label: int


@dataclass(frozen=True, slots=True)
class BoxPrediction:
    """What was found in one file: `boxes`, best first; or `error`, why it is unread. size: (H, W) of the image."""

    file: str
    boxes: tuple[FoundBox, ...] = ()
    error: str = ""
    size: Size = (0, 0)


class PlacedImage(NamedTuple):
    """An image as a network reads it, (C, H, W) float32; where it lies in that; and its own (H, W), upright."""

    values: np.ndarray
    placement: Placement
    size: Size


@dataclass(frozen=True, slots=True)
class BoxPredictor:
    """A detector that answers. Its preprocessing, class names and suppression came with its weights.

    find: images (N, C, H, W) float32, and a rule, to what is found on them, in pixels of these.
    suppression: which of its boxes are told. outputs: how many classes it tells, named or not.
    """

    source: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    outputs: int
    find: Callable[[np.ndarray, Suppression], list[Detections]]
    suppression: Suppression

    def detections(self, paths: Iterable[ImagePlace], threshold: float = 0.0) -> list[Detections]:
        """What is found in each file, in pixels of the upright image. Raises: DataError for one that cannot be read."""
        return self._found([read_placed(path, self.preprocessing) for path in paths], threshold)

    def predict(
        self, paths: Iterable[Path], top: int | None = None, threshold: float | None = None
    ) -> Iterator[BoxPrediction]:
        """Answer for each file in order; a file that cannot be read gets an error and stops nobody else.

        top: boxes per file at most; None for all that suppression leaves.
        threshold: score that a box must have; None for 0.3.
        """
        batch: list[tuple[Path, PlacedImage | str]] = []
        for path in paths:
            try:
                batch.append((path, read_placed(path, self.preprocessing)))
            except DataError as error:
                batch.append((path, str(error)))
            if len(batch) == BATCH:
                yield from self._answers(batch, top, threshold)
                batch = []
        yield from self._answers(batch, top, threshold)

    def _answers(
        self, batch: list[tuple[Path, PlacedImage | str]], top: int | None, threshold: float | None
    ) -> Iterator[BoxPrediction]:
        images = [image for _, image in batch if isinstance(image, PlacedImage)]
        found = iter(self._found(images, THRESHOLD if threshold is None else threshold))
        for path, image in batch:
            if isinstance(image, PlacedImage):
                yield BoxPrediction(str(path), self._named(next(found))[:top], size=image.size)
            else:
                yield BoxPrediction(str(path), error=image)

    def _found(self, images: list[PlacedImage], threshold: float) -> list[Detections]:
        if not images:
            return []
        rule = self.suppression
        if rule.method == "hard":  # what is too low never decides about what is not; soft scores are known at the end
            rule = replace(rule, score=max(rule.score, threshold))
        told = self.find(np.stack([each.values for each in images]), rule)
        placed = [to_image(each, image.placement, image.size) for each, image in zip(told, images, strict=True)]
        return [_above(each, threshold) for each in placed]

    def _named(self, found: Detections) -> tuple[FoundBox, ...]:
        return tuple(
            FoundBox(self._name(int(label)), float(score), (x1, y1, x2, y2), int(label))
            for label, score, (x1, y1, x2, y2) in zip(found.labels, found.scores, found.boxes.tolist(), strict=True)
        )

    def _name(self, output: int) -> str:
        return self.classes[output] if output < len(self.classes) else f"class {output}"


def read_placed(path: ImagePlace, preprocessing: Preprocessing) -> PlacedImage:
    """Read an image for a detector. Raises: ImageError (a DataError) for a file that cannot be read."""
    _, size = image_header(path)
    image = open_image(path, needed_size(preprocessing, preprocessing.size))
    decoded = (image.height, image.width)
    values = to_values(image, preprocessing, preprocessing.size).transpose(2, 0, 1)
    return PlacedImage(values, place(preprocessing, decoded).of_original(decoded, size), size)


def _above(found: Detections, threshold: float) -> Detections:
    enough = found.scores >= threshold
    return Detections(found.boxes[enough], found.scores[enough], found.labels[enough])
