"""Layers that nobody has timed yet, from those that somebody has: a fit of time over the work that a layer does.

Time is modelled as a sum of what a layer does (see `layers.work`), each with a price that is not negative. The prices
are those that fit the measured layers of this device best, relative to each layer's time; the better, the nearer the
layers of the same kind are that stand in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from triscale.deployment.layers import Layer, work
from triscale.spec.block import Block

LEAST = 12  # layers from which prices can be told
NEAREST = 3  # layers of the same kind that correct an estimate
REACH = 0.5  # distance in log work at which a neighbour counts half


class Estimator:
    """Milliseconds of any layer, from measured ones. Immutable; make a new one when layers were added."""

    def __init__(self, measured: Mapping[Layer, float]) -> None:
        layers = list(measured)
        self._enough = len(layers) >= LEAST
        self._alike = Counter(kind_of(each) for each in layers)
        if not self._enough:
            return
        features = np.array([work(each) for each in layers])
        times = np.array([measured[each] for each in layers])
        self._prices = not_negative(features / times[:, None], np.ones(len(layers)))
        residuals = np.log(times / np.maximum(features @ self._prices, 1e-9))
        self._near: dict[object, tuple[np.ndarray, np.ndarray]] = {}
        for kind in {kind_of(each) for each in layers}:
            chosen = [i for i, each in enumerate(layers) if kind_of(each) == kind]
            self._near[kind] = _place(features[chosen]), residuals[chosen]
        self._memory: dict[Layer, float] = {}

    def __call__(self, layer: Layer) -> float | None:
        """Milliseconds of `layer`; None where too few layers were measured to say."""
        if not self._enough:
            return None
        if layer not in self._memory:
            features = np.array(work(layer))
            self._memory[layer] = float(features @ self._prices * np.exp(self._correction(kind_of(layer), features)))
        return self._memory[layer]

    def alike(self, layer: Layer) -> int:
        """How many measured layers are of the kind of this one; 0 where there are too few of all kinds."""
        return self._alike[kind_of(layer)] if self._enough else 0

    def _correction(self, kind: object, features: np.ndarray) -> float:
        """By how much the nearest measured layers of the same kind are off, weighted by their nearness."""
        if kind not in self._near:
            return 0.0
        places, residuals = self._near[kind]
        distances = np.linalg.norm(places - _place(features), axis=1)
        nearest = np.argsort(distances)[:NEAREST]
        weights = 1 / (REACH + distances[nearest]) ** 2
        return float(weights @ residuals[nearest] / weights.sum())


def kind_of(layer: Layer) -> object:
    """What makes two layers alike but for their widths and sizes."""
    part = layer.part
    if isinstance(part, Block):
        squeezed = part.squeeze is not None
        return part.kind, part.kernel, part.stride, part.expands(), squeezed, part.activation
    return type(part).__name__


def _place(features: np.ndarray) -> np.ndarray:
    """Where a layer lies among its kind: the logarithms of its arithmetic and of what it moves."""
    return np.log(np.stack([features[..., :3].sum(-1), features[..., 3]], axis=-1) + 1e-6)


def not_negative(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The x >= 0 for which rows @ x comes nearest to `wanted`, by least squares.

    rows: (N, F). wanted: (N,). Returns: (F,).
    Source: Lawson and Hanson 1974, chapter 23.
    """
    x = np.zeros(rows.shape[1])
    used = np.zeros(rows.shape[1], dtype=bool)
    for _ in range(3 * rows.shape[1]):
        gradient = rows.T @ (wanted - rows @ x)
        if used.all() or gradient[~used].max() <= 1e-9:
            break
        used[np.flatnonzero(~used)[np.argmax(gradient[~used])]] = True
        while True:
            solved = np.zeros_like(x)
            solved[used] = np.linalg.lstsq(rows[:, used], wanted, rcond=None)[0]
            if solved[used].min(initial=1.0) > 0:
                break
            falling = used & (solved <= 0)
            step = np.min(x[falling] / (x[falling] - solved[falling]))
            x = x + step * (solved - x)
            used &= x > 1e-12
        x = solved
    return x
