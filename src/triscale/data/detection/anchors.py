"""Anchors for a data set: what a detector's can reach of its training objects, and what fitted ones would."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.detection.fit_anchors import AnchorFit, Fault, fit_anchors, in_input
from triscale.errors import DataError
from triscale.spec.detector import Detector
from triscale.spec.network import Size, shrink


@dataclass(frozen=True, slots=True)
class Missed:
    """An object that no anchor reaches.

    sample: the image. box: in its pixels. width, height: in pixels of the network's input. fault: why.
    """

    sample: BoxSample
    box: BoxLabel
    width: float
    height: float
    fault: Fault


@dataclass(frozen=True, slots=True)
class AnchorReport:
    """Anchors fitted to a set's training objects.

    detector: whose anchors were fitted. size: (H, W) of its input, into which images are letterboxed.
    images, objects: that were looked at; crowds are not.
    fit: see `AnchorFit`. missed: objects that the fitted anchors cannot reach, the smallest first.
    """

    detector: Detector
    size: Size
    images: int
    objects: int
    fit: AnchorFit
    missed: tuple[Missed, ...]

    def fitted(self) -> Detector:
        """The detector at this size, with the fitted anchors."""
        backbone = replace(self.detector.backbone, resolution=self.size)
        return replace(self.detector, name=f"{self.detector.name}-fitted", backbone=backbone, anchors=self.fit.after)


def anchor_report(dataset: BoxDataset, detector: Detector, size: Size | None = None) -> AnchorReport:
    """Fit the anchors of a detector to the training objects of a set.

    size: (H, W) of the network's input; by default the detector's resolution.
    Raises: DataError where no training image has an object.
    """
    size = size or detector.resolution
    objects = [(sample, box) for sample in dataset.train for box in sample.boxes if not box.crowd]
    if not objects:
        raise DataError(f"{dataset.root}: no training image has an object; anchors are fitted to objects.")
    boxes = in_input(np.array([box[:4] for _, box in objects]), np.array([each.size for each, _ in objects]), size)
    maps = [shrink(size, 2**level) for level in detector.pyramid.level_numbers]
    fit = fit_anchors(boxes, size, maps, detector.anchors)
    missed = []
    for number, fault in zip(fit.missed.tolist(), fit.faults, strict=True):
        x1, y1, x2, y2 = boxes[number].tolist()
        missed.append(Missed(*objects[number], x2 - x1, y2 - y1, fault))
    return AnchorReport(detector, size, len(dataset.train), len(objects), fit, tuple(missed))
