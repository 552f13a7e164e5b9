"""Figures of classes: precision, recall, F1, average precision. Counts and ranks in, rates in 0..1 out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class on one set of images; rates in 0..1, None where nothing could be counted.

    images: that have it. precision: of the images that were given it, how many have it; None where none was given it.
    recall: of the images that have it, how many were given it; None where none has it.
    f1: harmonic mean of the two, 2 hits / (images that have it + images that were given it); None where neither is.
    average_precision: of the images ranked by their score for it; None with one label an image, or where none has it.
    """

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None = None


def class_figures(
    names: Sequence[str], hits: np.ndarray, given: np.ndarray, images: np.ndarray, ap: Sequence[float | None] = ()
) -> tuple[ClassFigures, ...]:
    """Figures of each class from counts.

    hits: (classes,) images that have it and were given it. given: that were given it. images: that have it.
    ap: average precision of each class, where there is one.
    """
    rows = zip(names, hits.tolist(), given.tolist(), images.tolist(), ap or [None] * len(names), strict=True)
    return tuple(
        ClassFigures(
            name,
            int(have),
            hit / said if said else None,
            hit / have if have else None,
            2 * hit / (have + said) if have + said else None,
            precision,
        )
        for name, hit, said, have, precision in rows
    )


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float | None:
    """Precision averaged over recall: the sum of precision x gain in recall, from the highest score down.

    scores: (N,). truth: (N,) whether each has the class. Equal scores are one step, whatever their order.
    Returns: in 0..1; None where none has the class.
    Source: Manning, Raghavan & Schuetze 2008, Introduction to Information Retrieval, section 8.4; not interpolated,
        which would make it too good.
    """
    truth = np.asarray(truth, bool)
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], truth[order].cumsum()
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of each run of equal scores
    gains = np.diff(hits[last], prepend=0)
    return float((gains * hits[last] / (last + 1)).sum() / hits[-1])


def mean(values: Sequence[float | None]) -> float:
    """Mean of what was measured; 0 where nothing was."""
    there = [each for each in values if each is not None]
    return sum(there) / len(there) if there else 0.0
