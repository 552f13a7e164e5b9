"""A detector on images with boxes, as training judges it: what it finds, mapped back to the images, and its loss."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triscale.data.loader import Batches
from triscale.detection.detect import detections, to_image
from triscale.detection.detections import Detections
from triscale.detection.detector import DetectorNet
from triscale.training.detection.evaluation import DetectionEvaluation, score_detections
from triscale.training.detection.objective import DetectionObjective
from triscale.training.evaluate import place
from triscale.training.world import World

_ROW = 7  # numbers of a box on its way between processes: image, x1, y1, x2, y2, score, class


@torch.no_grad()
def evaluate_detectors(
    models: Sequence[DetectorNet],
    batches: Batches,
    objective: DetectionObjective,
    classes: Sequence[str],
    each_batch: Callable[[], None] | None,
    world: World,
    quick: bool,
) -> list[DetectionEvaluation]:
    """Evaluate several detectors on the same images, reading each once; they are left in the mode they were in.

    batches: of images with boxes, without augmentation. objective: whose loss is told; over the positives of all images
        + 1. classes: names. each_batch: called after each batch. quick: COCO's figures alone.
    world: processes that share each batch; all of them get the figures of all images.
    Raises: TrainingError where no image has an object; MissingExtraError without faster-coco-eval.
    """
    modes = [model.training for model in models]
    for model in models:
        model.eval()
    began = time.perf_counter()
    judges = [_Judge(model, batches, objective) for model in models]
    epoch = batches.epoch(0)
    try:
        with contextlib.closing(epoch):
            for images, targets, indices in epoch:
                for judge in judges:
                    if len(images):  # of a small batch, a process may have no part
                        judge.look(images, targets, indices.tolist())
                if each_batch is not None:
                    each_batch()
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)
    told = [judge.of_all(world) for judge in judges]
    seconds = time.perf_counter() - began
    samples: Sequence[Any] = batches.samples
    return [score_detections(found, samples, classes, seconds, loss, quick) for found, loss in told]


class _Judge:
    """One detector: what it found so far, in pixels of the images, and the sums of its loss."""

    def __init__(self, model: DetectorNet, batches: Batches, objective: DetectionObjective) -> None:
        self.model, self.batches, self.objective = model, batches, objective
        self.samples: Sequence[Any] = batches.samples
        self.rows: list[np.ndarray] = [np.empty((0, _ROW))]
        self.sums = torch.zeros(2, dtype=torch.float64)  # loss, positives

    def look(self, images: Tensor, targets: Tensor, indices: Sequence[int]) -> None:
        """Add a batch."""
        own, loss = self.model, self.objective
        images = place(images, own)
        wanted, _ = loss.weigh(images, targets.to(images.device), 0.0)
        logits, offsets = own(images)
        anchors, size = loss.anchors(images), (images.shape[2], images.shape[3])
        sums = loss.loss.sums(logits, offsets, wanted.matches, anchors)
        self.sums += torch.tensor([float(loss.loss.total(sums, 1.0)), sums.positives], dtype=torch.float64)
        told = detections(logits.float(), offsets.float(), anchors, size, own.detector.suppression)
        for index, each in zip(indices, told, strict=True):
            self.rows.append(self._in_image(index, each))

    def _in_image(self, index: int, found: Detections) -> np.ndarray:
        sample = self.samples[index]
        found = to_image(found, self.batches.placement(index), sample.size)
        rows = np.empty((len(found), _ROW))
        rows[:, 0], rows[:, 1:5], rows[:, 5], rows[:, 6] = index, found.boxes, found.scores, found.labels
        return rows

    def of_all(self, world: World) -> tuple[list[Detections], float]:
        """What all processes found on each image, in the images' order, and the loss."""
        parts = world.gather_bytes(np.concatenate(self.rows).tobytes())
        rows = np.concatenate([np.frombuffer(each).reshape(-1, _ROW) for each in parts])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        ends = np.searchsorted(rows[:, 0], np.arange(len(self.batches.samples) + 1))
        found = [rows[start:end] for start, end in itertools.pairwise(ends)]
        loss, positives = world.sum(self.sums).tolist()
        return [Detections(each[:, 1:5], each[:, 5], each[:, 6]) for each in found], loss / (positives + 1)
