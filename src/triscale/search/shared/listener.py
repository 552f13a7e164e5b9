"""Hearing the others: what they have answered goes into this worker's own ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from triscale.search.ledger import Entry, Ledger
from triscale.search.shared.study import answers

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Listener:
    """Writes the answers of trials into a ledger, each once. others: told those that were not in it."""

    def __init__(self, ledger: Ledger, others: Callable[[Entry], None] | None = None) -> None:
        self.ledger, self.others = ledger, others
        self._heard: set[int] = set()  # numbers of trials

    def __call__(self, trials: Sequence[FrozenTrial]) -> None:
        """Hear what trials say by now."""
        for trial in trials:
            if trial.number in self._heard or not trial.state.is_finished():
                continue
            self._heard.add(trial.number)
            for entry in answers(trial):
                if self.ledger.find(entry.question) is None:
                    self.ledger.add(entry)
                    if self.others is not None:
                        self.others(entry)
