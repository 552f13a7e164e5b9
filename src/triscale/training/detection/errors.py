"""What kind of mistake each wrong box and each object that was not found is, and what each kind costs.

Source: Bolya et al. 2020, TIDE, https://arxiv.org/abs/2008.08115, section 2.2 and figure 2; where a box fits several
kinds, in the order of the authors' own code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triscale.training.detection.matches import OVERLAP, Matches

NEAR = 0.1  # IoU below which a box is on background
KINDS = ("classification", "localisation", "both", "duplicate", "background")  # of boxes; an object can be "missed"
MISSED = "missed"
NO_MISTAKE = -1
MEANINGS = {
    "classification": "on an object of another class",
    "localisation": f"on an object of its class, but the two overlap by less than {OVERLAP}",
    "both": f"on an object of another class, and the two overlap by less than {OVERLAP}",
    "duplicate": "on an object that a surer box has found",
    "background": f"where there is no object (overlap below {NEAR})",
    MISSED: "objects that no box found, nor would if its class or place were better",
}
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, slots=True)
class Errors:
    """Mistakes of one kind. count: at the chosen threshold. cost: AP50 that would be won if there were none, over boxes
    of any score, each kind by itself.
    """

    kind: str
    count: int
    cost: float


def kinds_of(matches: Matches) -> np.ndarray:
    """(N,) the number in `KINDS` of every box, `NO_MISTAKE` where it is right or ignored."""
    nearest = np.maximum(matches.own_iou, matches.other_iou)
    conditions = [  # the first that holds
        matches.hit | matches.ignored,
        (matches.own_iou >= NEAR) & (matches.own_iou < OVERLAP),
        matches.other_iou >= OVERLAP,
        matches.own_iou >= OVERLAP,
        nearest < NEAR,
    ]
    names = ["localisation", "classification", "duplicate", "background"]
    return np.select(conditions, [NO_MISTAKE, *map(KINDS.index, names)], KINDS.index("both"))


def errors_by_kind(matches: Matches, kinds: np.ndarray, threshold: float, classes: int) -> tuple[Errors, ...]:
    """Count the mistakes of boxes with a score of at least `threshold`, and say what each kind costs in AP50."""
    counts = np.bincount(kinds[(kinds >= 0) & (matches.score >= threshold)], minlength=len(KINDS))
    before = average_precision50(matches, matches.hit, matches.label, matches.hit | (kinds >= 0), classes)
    found = [
        Errors(kind, int(counts[number]), _cost(matches, kinds, number, classes, before))
        for number, kind in enumerate(KINDS)
    ]
    missed = missed_at(matches, kinds, threshold)
    return (*found, Errors(MISSED, int(missed.sum()), _cost(matches, kinds, None, classes, before)))


def missed_at(matches: Matches, kinds: np.ndarray, threshold: float) -> np.ndarray:
    """(M,) bool: objects that no box has found, nor would have if its class or its place were better."""
    missed = ~matches.found_at(threshold)
    shown = matches.score >= threshold
    for kind, target in (("classification", matches.other), ("localisation", matches.own)):
        missed[target[shown & (kinds == KINDS.index(kind))]] = False
    return missed


def average_precision50(
    matches: Matches,
    hit: np.ndarray,
    label: np.ndarray,
    counted: np.ndarray,
    classes: int,
    left: np.ndarray | None = None,
) -> float:
    """Mean over the classes that have objects of COCO's AP at IoU .5.

    hit, label, counted: (N,), whether each box is right, its class, and whether it is looked at. left: (M,) objects
        that count; all by default.
    """
    objects = matches.object_label if left is None else matches.object_label[left]
    totals = np.bincount(objects, minlength=classes)
    rows = np.flatnonzero(counted)
    rows = rows[np.lexsort((-matches.score[rows], label[rows]))]
    starts = np.searchsorted(label[rows], np.arange(classes + 1))
    found = [
        _interpolated(hit[rows[starts[each] : starts[each + 1]]], int(total))
        for each, total in enumerate(totals)
        if total
    ]
    return float(np.mean(found)) if found else 0.0


def _interpolated(hit: np.ndarray, total: int) -> float:
    """Mean over 101 recalls of the best precision at that recall or a larger one. hit: (n,), best first."""
    hits = hit.cumsum()
    precision = hits / np.arange(1, len(hit) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / total, _RECALLS, side="left")
    reached = best[places[places < len(best)]]
    return float(reached.sum() / len(_RECALLS))


def _cost(matches: Matches, kinds: np.ndarray, number: int | None, classes: int, before: float) -> float:
    """AP50 won by making good all mistakes of a kind; None stands for missed objects."""
    hit, label, counted = matches.hit.copy(), matches.label, matches.hit | (kinds >= 0)
    left = None
    if number is None:
        left = ~missed_at(matches, kinds, -np.inf)
    else:
        counted = counted & (kinds != number)
    if number in (KINDS.index("classification"), KINDS.index("localisation")):
        target = matches.other if KINDS[number] == "classification" else matches.own
        rows = np.flatnonzero(kinds == number)
        rows = rows[matches.taken[target[rows]] < 0]
        rows = rows[np.argsort(-matches.score[rows], kind="stable")]
        rows = rows[np.unique(target[rows], return_index=True)[1]]  # the surest of those that mean one object
        hit[rows], counted[rows] = True, True
        label = label.copy()
        label[rows] = matches.object_label[target[rows]]
    return max(0.0, average_precision50(matches, hit, label, counted, classes, left) - before)
