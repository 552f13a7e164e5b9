"""Asking for scores: what was answered before is never asked again, and a failure is an answer too."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from triscale.errors import SearchError, TriscaleError
from triscale.search.candidate import Candidate
from triscale.search.ledger import LONGEST, Entry, Ledger, Question


class Scores(NamedTuple):
    """What one training scores. score: on the images that are judged by. beside: on validation images, if others."""

    score: float
    beside: float | None = None


# (candidate, seed, steps) -> how good it is on validation images, 0..1, larger is better.
Score = Callable[[Candidate, int, int], float | Scores]
IN_A_ROW = 10  # failures, after which it is not the candidates that are at fault


class Ask(NamedTuple):
    """What is asked: how good a candidate is that is trained with a seed for so many steps."""

    candidate: Candidate
    seed: int
    steps: int

    @property
    def question(self) -> Question:
        """As a ledger knows it."""
        return Question(self.candidate.key, self.seed, self.steps)


class Asker:
    """A score with a memory.

    score: whatever it raises, and whatever is no finite number, is written down as a failure of that candidate, and the
        search goes on.
    ledger: where answers are looked up and written. worker: who asks, for the ledger.
    heard: called with every answer, new or known.
    This one answers here, one after the other; those that derive from it answer with the help of others.
    """

    slots = 1  # candidates that are looked at in one moment

    def __init__(
        self, score: Score, ledger: Ledger, worker: str = "", heard: Callable[[Entry], None] | None = None
    ) -> None:
        self.score, self.ledger, self.worker, self.heard = score, ledger, worker, heard
        self._failed = 0
        self._started: deque[list[Ask]] = deque()

    def __call__(self, candidate: Candidate, seed: int, steps: int) -> Entry:
        """One answer. Raises: see `all`."""
        return self.all([Ask(candidate, seed, steps)])[0]

    def all(self, asks: Sequence[Ask]) -> list[Entry]:
        """The answers, in the order of what is asked.

        Raises: SearchError after ten failures in a row, with the last one's reason.
        """
        for ask in asks:
            if self.ledger.find(ask.question) is None:
                self.write(answer(self.score, ask, self.worker))
        return self.known(asks)

    def start(self, asks: Sequence[Ask]) -> None:
        """Begin with what belongs together, one candidate's seeds; no more than `slots` such at once."""
        self._started.append(list(asks))

    def finished(self) -> list[Entry]:
        """The answers to something that was started; waits for them. Raises: see `all`."""
        return self.all(self._started.popleft())

    def write(self, entry: Entry) -> None:
        """Keep an answer. Raises: SearchError after ten failures in a row."""
        self.ledger.add(entry)
        self._failed = 0 if entry.score is not None else self._failed + 1
        if self._failed >= IN_A_ROW:
            raise SearchError(
                f"{self._failed} scores in a row failed, the last one ({entry.name}) with: {entry.failure}; "
                f"mend that and run the same command again: {self.ledger.path} keeps all other answers."
            )

    def known(self, asks: Sequence[Ask]) -> list[Entry]:
        """The answers, all of which are in the ledger."""
        found = [self.ledger.find(ask.question) for ask in asks]
        told = [each for each in found if each is not None]
        if self.heard is not None:
            for each in told:
                self.heard(each)
        return told


def seeds_of(candidate: Candidate, seeds: int, steps: int) -> list[Ask]:
    """A candidate with the seeds 0, 1, ..."""
    return [Ask(candidate, seed, steps) for seed in range(seeds)]


def entries_together(
    candidates: Iterable[Candidate], ask: Asker, steps: int, seeds: int
) -> dict[Candidate, list[Entry]]:
    """The answers for each; all are asked at once, so that several workers share them."""
    each = list(dict.fromkeys(candidates))
    entries = ask.all([one for candidate in each for one in seeds_of(candidate, seeds, steps)])
    parts = (entries[place : place + seeds] for place in range(0, len(entries), seeds))
    return dict(zip(each, parts, strict=True))


def asked_together(candidates: Iterable[Candidate], ask: Asker, steps: int, seeds: int) -> dict[Candidate, list[float]]:
    """The scores of each, without those that failed; see `entries_together`."""
    found = entries_together(candidates, ask, steps, seeds)
    return {each: scores_of(entries) for each, entries in found.items()}


def scores_of(entries: Iterable[Entry]) -> list[float]:
    """Without those that failed."""
    return [each.score for each in entries if each.score is not None]


def answer(score: Score, ask: Ask, worker: str = "") -> Entry:
    """Ask a score, whatever comes of it."""
    began = time.perf_counter()
    found, beside, failure = None, None, ""
    try:
        told = score(ask.candidate, ask.seed, ask.steps)
        found, beside = told if isinstance(told, Scores) else (float(told), None)
        if not math.isfinite(found):
            found, failure = None, f"the score is {found}"
    except TriscaleError as error:
        failure = str(error)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
    return entry_of(ask, found, failure, time.perf_counter() - began, worker, beside)


def entry_of(
    ask: Ask, score: float | None, failure: str, seconds: float, worker: str, beside: float | None = None
) -> Entry:
    """A line of the ledger."""
    candidate = ask.candidate
    depth, width, resolution = candidate.multipliers
    return Entry(
        key=candidate.key,
        seed=ask.seed,
        steps=ask.steps,
        name=candidate.name,
        depth=depth,
        width=width,
        resolution=resolution,
        score=score,
        failure=" ".join(failure.split())[:LONGEST],
        params=candidate.params,
        macs=candidate.macs,
        seconds=seconds,
        worker=worker,
        beside=beside,
    )
