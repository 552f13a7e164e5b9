"""The twelve figures of COCO, and average precision class by class."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from triscale.data.detection.dataset import BoxSample
from triscale.detection.detections import Detections
from triscale.errors import MissingExtraError

# In the order in which COCO tells them.
NAMES = ("map", "map50", "map75", "map_small", "map_medium", "map_large",
         "mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large")  # fmt: skip


@dataclass(frozen=True, slots=True)
class CocoFigures:
    """Average precision and recall over IoU .5 to .95, as COCO defines them.

    values: of `NAMES`, in 0..1; nan where there is no object of that size. average_precision, average_precision50:
        (classes,), nan for a class without an object, which no mean counts.
    Source: https://cocodataset.org/#detection-eval; Lin et al. 2014, https://arxiv.org/abs/1405.0312.
    """

    values: dict[str, float]
    average_precision: np.ndarray
    average_precision50: np.ndarray


def coco_figures(found: Sequence[Detections], samples: Sequence[BoxSample], classes: int) -> CocoFigures:
    """Ask faster-coco-eval: pycocotools' figures, but for its 0.9999999999999998 where one box of one is right.

    found, samples: of the same images in the same order, boxes in pixels of the image. classes: how many there are.
    An object is small below 32 x 32 pixels and large above 96 x 96, by `BoxLabel.area` where the set says it, else by
    its box. Of each class at most 100 boxes of an image count.
    Raises: MissingExtraError without faster-coco-eval.
    """
    require_coco()
    from faster_coco_eval.core.coco import COCO
    from faster_coco_eval.core.faster_eval_api import COCOeval_faster

    images = [{"id": i, "height": each.size[0], "width": each.size[1]} for i, each in enumerate(samples)]
    categories = [{"id": i, "name": str(i)} for i in range(classes)]
    truth = {"images": images, "categories": categories, "annotations": _objects(samples)}
    told = {"images": images, "categories": categories, "annotations": _answers(found)}
    asked = COCOeval_faster(COCO(truth), COCO(told), "bbox")
    asked.run()
    precision = np.asarray(asked.eval["precision"])[..., 0, -1]  # (IoUs, recalls, classes) of all sizes
    return CocoFigures(
        {name: _or_nan(value) for name, value in zip(NAMES, asked.stats, strict=True)},
        np.array([_mean(precision[:, :, i]) for i in range(classes)]),
        np.array([_mean(precision[0, :, i]) for i in range(classes)]),
    )


def require_coco() -> None:
    """Raises: MissingExtraError without faster-coco-eval."""
    if importlib.util.find_spec("faster_coco_eval") is None:
        raise MissingExtraError("faster-coco-eval", "detect", "scoring boxes")


def _objects(samples: Sequence[BoxSample]) -> list[dict[str, Any]]:
    records = []
    for image, sample in enumerate(samples):
        for box in sample.boxes:
            width, height = box.x2 - box.x1, box.y2 - box.y1
            records.append(
                {"id": len(records) + 1, "image_id": image, "category_id": box.label, "iscrowd": int(box.crowd),
                 "bbox": [box.x1, box.y1, width, height], "area": width * height if box.area is None else box.area}
            )  # fmt: skip
    return records


def _answers(found: Sequence[Detections]) -> list[dict[str, Any]]:
    records = []
    for image, each in enumerate(found):
        boxes = each.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        areas = (boxes[:, 2] * boxes[:, 3]).tolist()
        rows = zip(boxes.tolist(), areas, each.scores.tolist(), each.labels.tolist(), strict=True)
        for number, (box, area, score, label) in enumerate(rows, start=len(records) + 1):
            records.append(
                {"id": number, "image_id": image, "category_id": label, "iscrowd": 0,
                 "bbox": box, "area": area, "score": score}
            )  # fmt: skip
    return records


def _or_nan(value: float) -> float:
    """COCO says -1 where there is nothing to average over."""
    return float(value) if value >= 0 else math.nan


def _mean(precision: np.ndarray) -> float:
    there = precision[precision > -1]
    return float(there.mean()) if there.size else math.nan
