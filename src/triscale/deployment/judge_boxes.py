"""How good a detector is: what it finds on images, held against their boxes, class by class and by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from triscale.data.detection.dataset import BoxDataset, BoxSample
from triscale.data.images import open_image
from triscale.data.parallel import map_files
from triscale.data.transforms import needed_size, to_values
from triscale.deployment.judge import outputs_by_name
from triscale.detection.detect import to_image
from triscale.detection.detections import Detections
from triscale.spec.placement import Placement, place
from triscale.spec.preprocessing import Preprocessing
from triscale.training.detection.coco import require_coco
from triscale.training.detection.evaluation import DetectionEvaluation, require_objects, score_detections
from triscale.training.progress import Progress

BATCH = 8
READ = 8 * BATCH  # images that are read at a time
# Of images (B, C, H, W) float32, preprocessed: what is found on each, in pixels of these.
Find = Callable[[np.ndarray], Sequence[Detections]]


@dataclass(frozen=True, slots=True)
class BoxQuestion:
    """Images, and what a detector should find on them.

    names: of the detector's outputs; a label of `samples` is a position in them.
    """

    samples: tuple[BoxSample, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BoxAnswers:
    """What was found on each image, in its pixels, and how good that is."""

    found: tuple[Detections, ...]
    evaluation: DetectionEvaluation


def box_question(
    known: Sequence[str], source: str, dataset: BoxDataset, samples: Sequence[BoxSample], in_order: bool = False
) -> BoxQuestion:
    """What a detector is asked; the data's classes are found among its own by their names.

    known: its classes, in output order; none where it does not say. source: of the detector, for messages.
    in_order: of one that does not say: its outputs are the data's classes, in their order.
    Raises: DataError where it does not know a class of the data, or names none.
    """
    outputs = outputs_by_name(known, source, dataset.classes, dataset.root, in_order).tolist()
    asked = [
        replace(sample, boxes=tuple(box._replace(label=outputs[box.label]) for box in sample.boxes))
        for sample in samples
    ]
    return BoxQuestion(tuple(asked), tuple(known) or dataset.classes)


def judge_boxes(
    find: Find,
    preprocessing: Preprocessing,
    asked: BoxQuestion,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> BoxAnswers:
    """Find boxes on all images of a question, and score them.

    threshold: see `score_detections`. progress: is advanced by the images that are done.
    Raises: DataError for a file that cannot be read; TrainingError where no image has an object, and
        MissingExtraError without faster-coco-eval, both before anything is looked for.
    """
    require_coco()
    require_objects(asked.samples)
    began = time.perf_counter()

    def prepared(sample: BoxSample) -> tuple[np.ndarray, Placement]:
        image = open_image(sample.path, needed_size(preprocessing, preprocessing.size))
        decoded = (image.height, image.width)
        values = to_values(image, preprocessing, preprocessing.size).transpose(2, 0, 1)
        return values, place(preprocessing, decoded).of_original(decoded, sample.size)

    found: list[Detections] = []
    for start in range(0, len(asked.samples), READ):
        images = map_files(prepared, asked.samples[start : start + READ])
        for at in range(0, len(images), BATCH):
            some = images[at : at + BATCH]
            told = find(np.stack([values for values, _ in some]))
            sizes = [sample.size for sample in asked.samples[len(found) : len(found) + len(some)]]
            placed = zip(told, (placement for _, placement in some), sizes, strict=True)
            found += [to_image(*each) for each in placed]
            if progress is not None:
                progress.advance(len(some))
    seconds = time.perf_counter() - began
    return BoxAnswers(tuple(found), score_detections(found, asked.samples, asked.names, seconds, threshold=threshold))
