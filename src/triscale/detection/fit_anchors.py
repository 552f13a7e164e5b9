"""Anchors fitted to the boxes of a data set, and how many of its objects they can reach at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from triscale.errors import SpecError
from triscale.spec.detector import Anchors
from triscale.spec.network import Size

REACHED = 0.5  # IoU from which an anchor answers for an object
LOST = 0.001  # share of the objects that may be lost for a better overlap of all others
SMALL, MEDIUM = 32.0**2, 96.0**2  # square pixels: COCO's limits, here of the network's input
MOST_BOXES = 4000  # that are looked at in the search, evenly over their sizes; all count in what is told
_STEPS = (0.4, 0.2, 0.1, 0.05, 0.025)  # of the search, in octaves
Fault = Literal["small", "large", "shape"]


@dataclass(frozen=True, slots=True)
class Reach:
    """How many objects of one size can be reached: the best possible recall.

    size: "small", "medium", "large" or "all", by area in pixels of the network's input. objects: how many there are.
    before, after: the share that some anchor overlaps by at least a half, with the given anchors and with the fitted
        ones; not a number where there are no objects.
    """

    size: str
    objects: int
    before: float
    after: float


@dataclass(frozen=True, slots=True, eq=False)
class AnchorFit:
    """What fitting anchors to boxes has found.

    before, after: the given and the fitted anchors, of as many boxes at each location; equal where none were better.
    reach: small, medium, large and all. overlap_before, overlap_after: mean IoU of an object with its best anchor.
    missed: numbers of the boxes that no fitted anchor reaches wherever they lie, the smallest first. faults: for each,
        whether it is "small" or "large" beside every anchor, on both axes, or of another "shape".
    """

    before: Anchors
    after: Anchors
    reach: tuple[Reach, ...]
    overlap_before: float
    overlap_after: float
    missed: np.ndarray
    faults: tuple[Fault, ...]


def in_input(boxes: np.ndarray, images: np.ndarray, size: Size) -> np.ndarray:
    """Boxes as they are in the network's input, where each image is letterboxed into `size` (H, W).

    boxes: (N, 4), (x1, y1, x2, y2) in pixels of the images. images: (N, 2), (H, W) of each box's image.
    Returns: (N, 4) float64.
    """
    images = np.asarray(images, float).reshape(-1, 2)
    scale = np.minimum(size[0] / images[:, 0], size[1] / images[:, 1])
    used = np.maximum(1, np.floor(images * scale[:, None]))
    return np.asarray(boxes, float).reshape(-1, 4) * np.tile((used / images)[:, ::-1], 2)


def best_overlaps(anchors: Anchors, boxes: np.ndarray, size: Size, map_sizes: Sequence[Size]) -> np.ndarray:
    """IoU of each box with the best of all anchors, exactly, without making them: of one shape it is the nearest.

    boxes: (N, 4) in pixels of an input of `size` (H, W). map_sizes: (H, W) of each level's map.
    Returns: (N,) float64.
    """
    return _overlaps(anchors, boxes, size, map_sizes, placed=True)


def fit_anchors(boxes: np.ndarray, size: Size, map_sizes: Sequence[Size], start: Anchors | None = None) -> AnchorFit:
    """Look for anchors that reach more of the boxes, with as many at each location; the same boxes give the same.

    boxes: (N, 4) in pixels of the network's input (`in_input` makes them), of positive width and height. size: (H, W)
        of it. map_sizes: (H, W) of each level's map. start: what to begin with; the released ones by default.
    Aspects begin as the k-means of the boxes' own, the scale at several values; then scale, octaves and aspects are
    moved by smaller and smaller steps, one at a time, as long as twice the share of objects that are reached, and the
    mean overlap, grow together. Anchors that reach clearly less than the given ones are never told.
    Raises: SpecError without boxes, or for one without area.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    if not len(boxes) or not np.isfinite(boxes).all() or sides.min() <= 0:
        raise SpecError("fit_anchors: boxes (N, 4) of finite corners, x2 > x1 and y2 > y1, are needed, at least one.")
    start = start or Anchors()
    few = _thinned(boxes)

    def worth(numbers: list[float]) -> float:
        overlaps = best_overlaps(made(numbers), few, size, map_sizes)
        return 2 * float((overlaps >= REACHED).mean()) + float(overlaps.mean())

    ratios = _clustered(np.log2(sides[:, 0] / sides[:, 1]), len(start.aspects))
    free = [math.log2(start.scale), *start.octaves[1:], *ratios]
    first = len(start.octaves)

    def made(numbers: Sequence[float]) -> Anchors:
        aspects = [(round(2 ** (each / 2), 4), round(2 ** (-each / 2), 4)) for each in numbers[first:]]
        octaves = [start.octaves[0], *(round(each, 4) for each in numbers[1:first])]
        return Anchors(round(2 ** numbers[0], 4), tuple(octaves), tuple(aspects))

    scales = [[free[0] + shift, *free[1:]] for shift in np.arange(-4, 1.01, 0.5).tolist()]
    fitted = made(_climbed(max(scales, key=worth), worth))
    fit = _told(start, fitted, boxes, size, map_sizes)
    whole = fit.reach[-1]
    gained = 2 * (whole.after - whole.before) + fit.overlap_after - fit.overlap_before
    return fit if gained > 0 and whole.after > whole.before - LOST else _told(start, start, boxes, size, map_sizes)


def _overlaps(anchors: Anchors, boxes: np.ndarray, size: Size, map_sizes: Sequence[Size], placed: bool) -> np.ndarray:
    """`best_overlaps`; without `placed` as if there were an anchor about the centre of every box."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + sides / 2
    best = np.zeros(len(boxes))
    factors = np.array([(2**octave * w, 2**octave * h) for octave in anchors.octaves for w, h in anchors.aspects])
    for rows, columns in map_sizes:
        stride = np.array([size[1] / columns, size[0] / rows])
        cells = np.clip(np.floor(centres / stride), 0, [columns - 1, rows - 1])
        away = np.abs(centres - (cells + 0.5) * stride) if placed else np.zeros_like(centres)
        for own in factors * stride * anchors.scale:
            shared = np.minimum(np.minimum(sides, own), (sides + own) / 2 - away).clip(0).prod(1)
            np.maximum(best, shared / (sides.prod(1) + own.prod() - shared), out=best)
    return best


def _thinned(boxes: np.ndarray) -> np.ndarray:
    """At most MOST_BOXES, evenly over their sizes."""
    if len(boxes) <= MOST_BOXES:
        return boxes
    order = np.argsort((boxes[:, 2:] - boxes[:, :2]).prod(1), kind="stable")
    return boxes[order[np.linspace(0, len(boxes) - 1, MOST_BOXES).astype(int)]]


def _clustered(values: np.ndarray, count: int) -> list[float]:
    """Centres of `count` clusters of numbers: k-means from their quantiles."""
    centres = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(50):
        nearest = np.abs(values[:, None] - centres).argmin(1)
        moved = np.array([values[nearest == n].mean() if (nearest == n).any() else centres[n] for n in range(count)])
        if np.allclose(moved, centres, atol=1e-6):
            break
        centres = moved
    return centres.tolist()


def _climbed(numbers: list[float], worth: Callable[[list[float]], float]) -> list[float]:
    """Move one number at a time, by smaller and smaller steps, as long as it is worth it."""
    best = worth(numbers)
    for step in _STEPS:
        better = True
        while better:
            better = False
            for place in range(len(numbers)):
                for move in (step, -step):
                    tried = [*numbers[:place], numbers[place] + move, *numbers[place + 1 :]]
                    if abs(tried[place]) < 8 and (gained := worth(tried)) > best + 1e-9:
                        numbers, best, better = tried, gained, True
    return numbers


def _told(before: Anchors, after: Anchors, boxes: np.ndarray, size: Size, map_sizes: Sequence[Size]) -> AnchorFit:
    given, fitted = (best_overlaps(each, boxes, size, map_sizes) for each in (before, after))
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    limits = {"small": (0, SMALL), "medium": (SMALL, MEDIUM), "large": (MEDIUM, math.inf), "all": (0, math.inf)}
    reach = []
    for name, (low, high) in limits.items():
        inside = (areas >= low) & (areas < high)
        shares = [float((each[inside] >= REACHED).mean()) if inside.any() else math.nan for each in (given, fitted)]
        reach.append(Reach(name, int(inside.sum()), *shares))
    out = np.flatnonzero(_overlaps(after, boxes, size, map_sizes, placed=False) < REACHED)
    missed = out[np.argsort(areas[out], kind="stable")]
    faults = tuple(_fault(boxes[number, 2:] - boxes[number, :2], after, size, map_sizes) for number in missed)
    return AnchorFit(before, after, tuple(reach), float(given.mean()), float(fitted.mean()), missed, faults)


def _fault(sides: np.ndarray, anchors: Anchors, size: Size, map_sizes: Sequence[Size]) -> Fault:
    """Why no anchor reaches a box: it is smaller than all of them on each axis, or larger, or neither."""
    strides = np.array([(size[1] / columns, size[0] / rows) for rows, columns in map_sizes])
    factors = np.array([(2**octave * w, 2**octave * h) for octave in anchors.octaves for w, h in anchors.aspects])
    own = (strides[:, None] * factors * anchors.scale).reshape(-1, 2)
    if (sides < own.min(0)).all():
        return "small"
    return "large" if (sides > own.max(0)).all() else "shape"
