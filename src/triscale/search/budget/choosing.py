"""Which proposal is scored next, from what is known so far: the same history always gives the same one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triscale.search.budget.acquisition import log_expected_improvement, log_news, spread_out
from triscale.search.budget.process import Process, fit_process
from triscale.search.budget.proposals import Proposals

FIRST = 8  # networks that are spread out before a process is fitted
NEARLY_FULL = 0.9  # share of the limits above which those are sought
# A process that was fitted to few scores may be too sure of itself and stay where it is: in each third choice its
# deviations count threefold.
BOLD_EACH, BOLDNESS = 3, 3.0
SAME = 1e-9  # octaves; two networks this close are one to the process


@dataclass(frozen=True, eq=False)
class History:
    """What was asked: octaves (n, 3) and scores (n,), NaN where one failed; `running` (m, 3) is not answered yet."""

    octaves: np.ndarray
    scores: np.ndarray
    running: np.ndarray

    def __len__(self) -> int:
        return len(self.octaves) + len(self.running)


NOTHING = History(np.empty((0, 3)), np.empty(0), np.empty((0, 3)))


def choose(
    proposals: Proposals,
    history: History,
    first: int = FIRST,
    within: np.ndarray | None = None,
    barred: np.ndarray | None = None,
) -> int | None:
    """The row to ask next; None where all were.

    first: so many are spread out, beginning with those that the compound rule and one direction alone make: over the
        networks that nearly fill the limits, or over all where `within` is given. Then comes the network from which the
        largest improvement is expected, times the probability that it is inside.
    within: (N,) bool, the rows among which it is sought, while any is left. barred: (N,) bool, rows never to be asked.
    """
    free = _free(proposals, history)
    free = free if barred is None else free & ~barred
    if not free.any():
        return None
    if len(history) < first or np.isfinite(history.scores).sum() < 2:
        spread = _first(proposals, max(first, len(history) + 1), within is not None)
        return next((row for row in spread if free[row]), int(np.flatnonzero(free)[0]))
    if within is None or not (free & within).any():
        within = np.ones(len(proposals), dtype=bool)
    process, rows = fitted(history), np.flatnonzero(free & within)
    mean, deviation = process.predict(proposals.octaves[rows])
    if len(history) % BOLD_EACH == 0:
        deviation = BOLDNESS * deviation
    worth = log_expected_improvement(mean, deviation, _best(process, history, proposals, within))
    worth += log_news(deviation, process.deviation_of_noise)
    return int(rows[np.argmax(worth + np.log(np.maximum(proposals.inside[rows], 1e-300)))])


def fitted(history: History) -> Process:
    """The process of a history. A score that failed counts as the lowest that was seen, so that the search moves away;
    one that is not answered yet as what is expected of it, so that nobody asks beside it."""
    failed = ~np.isfinite(history.scores)
    scores = np.where(failed, np.min(history.scores[~failed]), history.scores)
    process = fit_process(history.octaves, scores)
    return process.believing(history.running) if len(history.running) else process


def _best(process: Process, history: History, proposals: Proposals, within: np.ndarray) -> float:
    """The best score that is expected of a network that was asked `within`; scores themselves are noisy.

    The lowest of all where none was asked there.
    """
    mean, _ = process.predict(history.octaves)
    scored = np.isfinite(history.scores)
    among = scored if within.all() else scored & [within[_nearest(proposals, each)] for each in history.octaves]
    return float(mean[among].max() if among.any() else mean[scored].min())


def _nearest(proposals: Proposals, octaves: np.ndarray) -> int:
    return int(np.argmin(((proposals.octaves - octaves) ** 2).sum(axis=1)))


def _free(proposals: Proposals, history: History) -> np.ndarray:
    """(N,) bool: the rows that nobody has asked."""
    free = np.ones(len(proposals), dtype=bool)
    for asked in (*history.octaves, *history.running):
        free &= np.abs(proposals.octaves - asked).max(axis=1) > SAME
    return free


def _first(proposals: Proposals, wanted: int, all_costs: bool) -> list[int]:
    least = 0.0 if all_costs else NEARLY_FULL * proposals.share.max()
    rows = np.flatnonzero(proposals.share >= least)
    place = {int(row): number for number, row in enumerate(rows)}
    anchors = [place[row] for row in proposals.anchors.values() if row in place]
    return [int(rows[number]) for number in spread_out(proposals.octaves[rows], anchors, wanted)]
