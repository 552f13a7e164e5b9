"""How long it takes to score 5,000 images with 100 boxes each: COCO's validation set with all that a detector tells.

Objects are drawn as COCO has them (80 classes, 7 an image, a hundredth crowds), boxes near them or anywhere. "quick" is
what is done after every epoch, "whole" also matches boxes one by one for thresholds, confusion and kinds of mistakes.
Run: python benchmarks/detection_evaluation.py [--images 5000] [--boxes 100] [--classes 80] [--seed 0]
Exit 1 when the whole takes more than 15 seconds. Time of the processor is told too: on a busy machine it is the lesser.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from triscale.data.detection.dataset import BoxLabel, BoxSample
from triscale.detection.detections import Detections
from triscale.training.detection.coco import coco_figures
from triscale.training.detection.errors import errors_by_kind, kinds_of
from triscale.training.detection.evaluation import confusion_at, score_detections
from triscale.training.detection.matches import match_boxes

SIZE = (480, 640)
OBJECTS, CROWDS = 7, 0.01
NEAR, RIGHT = 0.5, 0.7  # share of boxes near an object, and of those with its class
LIMIT = 15.0  # seconds


def drawn(images: int, boxes: int, classes: int, seed: int) -> tuple[list[Detections], list[BoxSample]]:
    dice = np.random.default_rng(seed)
    found, samples = [], []
    for number in range(images):
        count = int(dice.poisson(OBJECTS))
        sides = np.exp(dice.uniform(np.log(8), np.log(400), (count, 2)))
        corners = dice.uniform(0, 1, (count, 2)) * (SIZE[1], SIZE[0])
        truth, labels = np.concatenate([corners, corners + sides], 1), dice.integers(classes, size=count)
        crowd = dice.random(count) < CROWDS
        rows = zip(truth.tolist(), labels.tolist(), crowd.tolist(), strict=True)
        objects = tuple(BoxLabel(*box, label, each) for box, label, each in rows)
        samples.append(BoxSample(Path(f"{number}.jpg"), SIZE, objects))
        found.append(_near(truth, labels, boxes, classes, dice))
    return found, samples


def _near(truth: np.ndarray, labels: np.ndarray, boxes: int, classes: int, dice: np.random.Generator) -> Detections:
    places = dice.uniform(0, 400, (boxes, 2))
    told, own = (
        np.concatenate([places, places + dice.uniform(8, 200, (boxes, 2))], 1),
        dice.integers(classes, size=boxes),
    )
    if len(truth):
        which = dice.integers(len(truth), size=boxes)
        moved = truth[which] + dice.normal(0, 0.15, (boxes, 4)) * np.tile(truth[which, 2:] - truth[which, :2], 2)
        ordered = np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1)
        near = dice.random(boxes) < NEAR
        told, own = (
            np.where(near[:, None], ordered, told),
            np.where(near & (dice.random(boxes) < RIGHT), labels[which], own),
        )
    return Detections(told, dice.random(boxes) ** 3, own)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--boxes", type=int, default=100)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found, samples = drawn(given.images, given.boxes, given.classes, given.seed)
    names = [f"class {i}" for i in range(given.classes)]
    print(f"{given.images:,} images x {given.boxes} boxes, {given.classes} classes")
    coco_figures(found[:2], samples[:2], given.classes)  # the library is loaded before the clock starts
    taken, processor = {}, {}
    for name, quick in (("quick", True), ("whole", False)):
        began, began_here = time.perf_counter(), time.process_time()
        evaluation = score_detections(found, samples, names, quick=quick)
        taken[name] = time.perf_counter() - began
        processor[name] = time.process_time() - began_here
    began = time.perf_counter()
    matches = match_boxes(found, samples)
    matched = time.perf_counter() - began
    details = evaluation.details
    assert details is not None
    began = time.perf_counter()
    errors_by_kind(matches, kinds_of(matches), details.threshold, given.classes)
    confusion_at(matches, details.threshold, given.classes)
    judged = time.perf_counter() - began
    print(f"quick {taken['quick']:5.1f} s ({processor['quick']:.1f} s of the processor): {evaluation.said()}")
    print(f"whole {taken['whole']:5.1f} s ({processor['whole']:.1f} s of the processor)")
    print(f"      of which matching {matched:.1f} s, mistakes and confusion {judged:.1f} s")
    within = taken["whole"] <= LIMIT
    print(f"at most {LIMIT:.0f} s, which {'holds' if within else 'does NOT hold'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
