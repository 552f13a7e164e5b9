"""Asking together: every worker asks for the same scores, each is trained by one of them, and all of them hear it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from triscale.search.asking import Ask, Asker, Score, answer
from triscale.search.ledger import Entry, Ledger
from triscale.search.shared.listener import Listener
from triscale.search.shared.study import SharedStudy, holds

PAUSE = 1.0  # seconds between two looks at what the others do


class SharedAsker(Asker):
    """See `Asker`; answers with other workers.

    Searches are made so that the same answers lead to the same questions: each worker runs the whole search, and where
    another one has claimed what it wants to know, it takes the next thing, or waits. If all but one die, that one ends
    the search alone.
    ledger: of this worker, where it keeps its own answers and those of the others. What it holds already is told to
    them, so that a search that was begun alone can be joined.
    others: told each answer of another worker that is new here.
    """

    def __init__(
        self,
        score: Score,
        ledger: Ledger,
        study: SharedStudy,
        worker: str = "",
        others: Callable[[Entry], None] | None = None,
        pause: float = PAUSE,
    ) -> None:
        super().__init__(score, ledger, worker)
        self.study, self.pause, self._listen = study, pause, Listener(ledger, others)

    def all(self, asks: Sequence[Ask]) -> list[Entry]:
        """See `Asker.all`. Raises: SearchError also where the storage stays away."""
        while True:
            trials = self.study.trials()
            self._listen(trials)
            held = {holds(each) for each in trials}
            free = next((ask for ask in asks if ask.question not in held), None)
            if free is not None:
                self._answer(free)
            elif all(self.ledger.find(ask.question) is not None for ask in asks):
                return self.known(asks)
            elif not self.study.free_dead():
                time.sleep(self.pause)

    def _answer(self, ask: Ask) -> None:
        """Claim a question and answer it, unless another was faster."""
        number = self.study.claim(ask.candidate, ask.question)
        if number is None:
            return
        known = self.ledger.find(ask.question)
        with self.study.held(number):
            found = answer(self.score, ask, self.worker) if known is None else known
        score = float("nan") if found.score is None else found.score
        if self.study.answer(number, [found], score) and known is None:
            self.write(found)
