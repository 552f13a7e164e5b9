"""Rare classes: how much an image of each class weighs, and an order in which every class comes as often.

The weight of a class is inverse to its effective number of images, (1 - b^n) / (1 - b) with b = 0.999: n images up to
some hundred count in full, thousands of one class hardly more than a thousand, since they show ever less that is new.
Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", https://arxiv.org/abs/1901.05555.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triscale.data.dataset import Dataset, Sample
from triscale.errors import DataError

BETA = 0.999


def class_counts(samples: Sequence[Sample], classes: Sequence[str]) -> np.ndarray:
    """How many samples each class has, (classes,) int64.

    Raises: DataError naming a file whose label is no position in `classes`.
    """
    labels = np.array([each.label for each in samples], dtype=np.int64)
    wrong = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(wrong):
        raise DataError(
            f"{samples[wrong[0]].path}: has label {labels[wrong[0]]}, but there are {len(classes)} classes "
            f"(0 to {len(classes) - 1}); a label is a position in the list of classes."
        )
    return np.bincount(labels, minlength=len(classes))


def training_weights(dataset: Dataset) -> np.ndarray:
    """`class_weights` of the training images, all 1 with several labels an image.

    Raises: DataError for a label outside the classes, in any split.
    """
    if dataset.several:
        return np.ones(len(dataset.classes))
    for split in (dataset.val, dataset.test):
        class_counts(split, dataset.classes)
    return class_weights(class_counts(dataset.train, dataset.classes))


def class_weights(counts: np.ndarray) -> np.ndarray:
    """What an image of each class weighs, (classes,) float64; their mean over all images is 1.

    counts: images of each class. A class without images weighs 0: nothing is learnt of it.
    """
    effective = (1 - BETA**counts) / (1 - BETA)
    weights = np.divide(1, effective, out=np.zeros(len(counts)), where=counts > 0)
    return weights * counts.sum() / max(1e-300, float((weights * counts).sum()))


def balance_note(weights: np.ndarray, classes: Sequence[str]) -> str:
    """What weights come to, for people."""
    there = np.flatnonzero(weights)
    low, high = there[weights[there].argmin()], there[weights[there].argmax()]
    return (
        f"an image of {classes[low]!r} counts {weights[low]:.3g} times, the least, "
        f"one of {classes[high]!r} {weights[high]:.3g} times, the most"
    )


def balanced(
    order: np.ndarray, starts: Sequence[int], labels: np.ndarray, weights: np.ndarray, dice: np.random.Generator
) -> np.ndarray:
    """An order of as many images in which each class comes as often as its weight says.

    Images of a class come equally often, give or take one: all of them before one comes twice.
    order: (N,) indices of images, shuffled. starts: where each part of it begins that is read by itself (the first at
        0); images stay within their part. labels: (N,) class numbers by index. weights: (classes,), of `class_weights`.
    Returns: (N,) int64, shuffled within each part.
    """
    parts = np.split(order, starts[1:])
    return np.concatenate([part[_rounds(labels[part], weights, dice)] for part in parts])


def _rounds(labels: np.ndarray, weights: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """As many places as there are labels, each class as often as it should come, shuffled."""
    shares = weights * np.bincount(labels, minlength=len(weights))
    wanted = _whole(shares * len(labels) / shares.sum(), dice)
    chosen = []
    for label in np.flatnonzero(wanted):
        own = np.flatnonzero(labels == label)
        rounds, rest = divmod(int(wanted[label]), len(own))
        chosen += [*[own] * rounds, dice.permutation(own)[:rest]]
    return dice.permutation(np.concatenate(chosen))


def _whole(wanted: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """Numbers rounded up or down at random, so that their sum stays and each is right on average."""
    # Marks at u, 1 + u, 2 + u, … on a line where the numbers lie end to end: how many fall into each.
    ends = np.floor(np.concatenate([[0.0], np.cumsum(wanted)]) + dice.random())
    ends[-1] = ends[0] + round(float(wanted.sum()))  # the sum is whole but for rounding
    return np.diff(ends).astype(np.int64)
