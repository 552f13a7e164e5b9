"""Asking for scores: what was answered before is never asked again, and a failure is an answer too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from triscale.errors import SearchError, TriscaleError
from triscale.search.candidate import Candidate
from triscale.search.ledger import LONGEST, Entry, Ledger, Question

# (candidate, seed, steps) -> how good it is on validation images, 0..1, larger is better.
Score = Callable[[Candidate, int, int], float]
IN_A_ROW = 10  # failures, after which it is not the candidates that are at fault


class Asker:
    """A score with a memory.

    score: called as score(candidate, seed=..., steps=...) is by position; whatever it raises, and whatever is no finite
        number, is written down as a failure of that candidate, and the search goes on.
    ledger: where answers are looked up and written. worker: who asks, for the ledger.
    heard: called with every answer, new or known.
    """

    def __init__(
        self, score: Score, ledger: Ledger, worker: str = "", heard: Callable[[Entry], None] | None = None
    ) -> None:
        self.score, self.ledger, self.worker, self.heard = score, ledger, worker, heard
        self._failed = 0

    def __call__(self, candidate: Candidate, seed: int, steps: int) -> Entry:
        """The answer for a candidate that is trained with this seed for so many steps.

        Raises: SearchError after ten failures in a row, with the last one's reason.
        """
        question = Question(candidate.key, seed, steps)
        known = self.ledger.find(question)
        if known is None:
            known = self._new(candidate, question)
            self.ledger.add(known)
            self._failed = 0 if known.score is not None else self._failed + 1
        if self.heard is not None:
            self.heard(known)
        if self._failed >= IN_A_ROW:
            raise SearchError(
                f"{self._failed} scores in a row failed, the last one ({known.name}) with: {known.failure}; "
                f"mend that and run the same command again: {self.ledger.path} keeps all other answers."
            )
        return known

    def _new(self, candidate: Candidate, question: Question) -> Entry:
        began = time.perf_counter()
        score, failure = None, ""
        try:
            score = float(self.score(candidate, question.seed, question.steps))
            if not math.isfinite(score):
                score, failure = None, f"the score is {score}"
        except TriscaleError as error:
            failure = str(error)
        except Exception as error:
            failure = f"{type(error).__name__}: {error}"
        depth, width, resolution = candidate.multipliers
        return Entry(
            key=question.key,
            seed=question.seed,
            steps=question.steps,
            name=candidate.name,
            depth=depth,
            width=width,
            resolution=resolution,
            score=score,
            failure=" ".join(failure.split())[:LONGEST],
            params=candidate.params,
            macs=candidate.macs,
            seconds=time.perf_counter() - began,
            worker=self.worker,
        )
