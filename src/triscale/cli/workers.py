"""Who does a search's trainings: this process, workers that share a storage, or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.errors import BudgetError, RunError, SpecError

if TYPE_CHECKING:
    from triscale.search.spread import Spread

MOST_FOLDERS = 1000  # of workers on one disk


@dataclass(frozen=True)
class Workers:
    """Who trains.

    Parameters
    ----------
    storage
        share the search: a journal file on a shared disk, or postgresql://USER@HOST/DATABASE; each process that is
        started with the same command and storage, on any machine, joins it
    study
        the search's name in the storage; by default the run folder's
    on
        ray: a cluster of this machine's cores (or RAY_ADDRESS's); ray://HOST:PORT: one elsewhere
    cores
        of each training on Ray
    gpus
        of each training on Ray; may be a fraction
    memory
        of each training on Ray, such as 4GB
    """

    storage: str | None = None
    study: str | None = None
    on: str | None = None
    cores: int | None = None
    gpus: float | None = None
    memory: str | None = None

    def spread(self, name: str) -> Spread:
        """As a search takes it. name: of the study, unless one is given. Raises: SpecError for what contradicts."""
        from triscale.search.spread import Alone, Together

        self._check()
        if self.storage is not None:
            return Together(self.storage, self.study or name)
        if self.on is None:
            return Alone()
        from triscale.search.on_ray import LOCAL, OnRay

        address = LOCAL if self.on == "ray" else self.on
        return OnRay(address, self.cores or 1, self.gpus or 0.0, self._bytes())

    def folder(self, folder: Path, given: bool) -> Path:
        """Where this worker's own run goes: beside those of workers that run here, unless --out was given.

        Raises: RunError where there are a thousand of them.
        """
        from triscale.training.lock import is_locked

        if self.storage is None or given:
            return folder
        for number in range(1, MOST_FOLDERS):
            place = folder if number == 1 else folder.with_name(f"{folder.name}-worker{number}")
            if not is_locked(place):
                return place
        raise RunError(f"{folder}: {MOST_FOLDERS} workers run here; give --out another folder.")

    def _bytes(self) -> int | None:
        """Of the memory that is asked for."""
        from triscale.spec.limits import parse

        if self.memory is None:
            return None
        try:
            return round(parse(f"memory<={self.memory}").limits["memory"])
        except BudgetError:
            raise SpecError(f"--memory {self.memory}: cannot be read; write it like 4GB or 512MiB.") from None

    def _check(self) -> None:
        if self.storage is not None and self.on is not None:
            raise SpecError("--storage and --on are two ways to spread a search; give one of them.")
        if self.study is not None and self.storage is None:
            raise SpecError("--study names a search in a --storage; give that too.")
        if self.on is None and not (self.cores is None and self.gpus is None and self.memory is None):
            raise SpecError("--cores, --gpus and --memory are asked of a Ray cluster; give --on ray.")
        if self.on is not None and self.on != "ray" and not self.on.startswith("ray://"):
            raise SpecError(f"--on {self.on}: expected ray, or ray://HOST:PORT.")
        if self.cores is not None and self.cores < 1:
            raise SpecError(f"--cores {self.cores}: a training takes at least 1.")
        if self.gpus is not None and not 0 <= self.gpus < float("inf"):
            raise SpecError(f"--gpus {self.gpus}: expected 0 or more.")
