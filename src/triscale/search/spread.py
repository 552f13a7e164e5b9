"""Who answers a search: this process alone, workers that share a storage, or a Ray cluster."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from triscale.search.asking import Asker
from triscale.search.ledger import Ledger
from triscale.search.proxy import TrainingScore
from triscale.training.progress import Progress

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from triscale.search.shared.study import SharedStudy


class Spread(Protocol):
    """Makes what a search asks. trains_here: whether this process trains too, on a machine that is made for it."""

    trains_here: ClassVar[bool]

    def asker(self, score: TrainingScore, ledger: Ledger, part: str, progress: Progress) -> Asker:
        """An asker with this ledger. part: of the search, for people ("scores", "test")."""
        ...


@dataclass(frozen=True, slots=True)
class Alone:
    """This process."""

    trains_here: ClassVar[bool] = True

    def asker(self, score: TrainingScore, ledger: Ledger, part: str, progress: Progress) -> Asker:
        """See `Spread.asker`."""
        return Asker(score, ledger)


@dataclass(frozen=True, slots=True)
class Together:
    """This process and any others, on any machines, that were started with the same storage and study.

    storage: a journal file on a shared disk, or a database's URL. study: the search's name in it.
    every, dead_after: seconds between two signs of life of a worker, and without one until it counts as dead.
    """

    storage: str
    study: str
    trains_here: ClassVar[bool] = True
    every: float = 10.0
    dead_after: float = 90.0

    def asker(self, score: TrainingScore, ledger: Ledger, part: str, progress: Progress) -> Asker:
        """See `Spread.asker`."""
        from triscale.search.shared.asker import SharedAsker

        study = self.open(part, ledger.subject, progress)
        return SharedAsker(score, ledger, study, worker(), lambda entry: progress.advance(entry.steps))

    def open(
        self, part: str, subject: Mapping[str, str], progress: Progress, sampler: BaseSampler | None = None
    ) -> SharedStudy:
        """A part's study. Raises: SearchError for a storage that cannot be opened, or another search's."""
        from triscale.search.shared.study import SharedStudy

        name = f"{self.study}, {part}"
        return SharedStudy(self.storage, name, subject, sampler, progress.say, self.every, self.dead_after)


def worker() -> str:
    """This process, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"
