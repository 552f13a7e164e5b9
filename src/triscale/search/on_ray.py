"""Scores that a Ray cluster answers: each training is a task with cores, memory and GPUs of its own."""

from __future__ import annotations

import importlib
import logging
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from triscale.errors import MissingExtraError, SearchError
from triscale.search.asking import Ask, Asker, Score, answer, entry_of
from triscale.search.ledger import Entry, Ledger
from triscale.search.proxy import TrainingScore
from triscale.training.progress import Progress

RETRIES = 3  # of a training whose worker or machine has died
LOCAL = "local"  # the address of a cluster that is started for this search alone


@dataclass(frozen=True, slots=True)
class OnRay:
    """See `Spread`.

    address: "local" starts a cluster of this machine's cores, unless RAY_ADDRESS names another; or ray://HOST:PORT.
    cores, gpus, memory: that a training asks for; memory in bytes, None for no limit.
    The machines of a cluster need triscale, and the images at the same path.
    """

    trains_here: ClassVar[bool] = False
    address: str = LOCAL
    cores: int = 1
    gpus: float = 0.0
    memory: int | None = None

    def asker(self, score: TrainingScore, ledger: Ledger, part: str, progress: Progress) -> Asker:
        """See `Spread.asker`. Raises: SearchError for a cluster that cannot be reached; MissingExtraError."""
        # A training that asked for no GPU must not take one that it happens to see.
        device = "auto" if self.gpus else "cpu"
        return RayAsker(replace(score, each_step=None, device=device), ledger, self, progress)


class RayAsker(Asker):
    """See `Asker`; every answer comes from a task of the cluster, as many at once as it has room for.

    A task whose worker or machine dies is repeated, at most three times; its question is then answered with a failure.
    """

    def __init__(self, score: Score, ledger: Ledger, cluster: OnRay, progress: Progress) -> None:
        super().__init__(score, ledger)
        self._ray, self.cluster, self.progress = connect(cluster), cluster, progress
        self.slots = room(self._ray, cluster)
        self._score = self._ray.put(score)
        self._running: dict[Any, Ask] = {}
        self._groups: list[list[Ask]] = []

    def all(self, asks: Sequence[Ask]) -> list[Entry]:
        """See `Asker.all`."""
        for ask in asks:
            self._submit(ask)
        try:
            while any(self.ledger.find(ask.question) is None for ask in asks):
                self._hear()
        except BaseException:
            self._cancel()
            raise
        return self.known(asks)

    def start(self, asks: Sequence[Ask]) -> None:
        """See `Asker.start`."""
        self._groups.append(list(asks))
        for ask in asks:
            self._submit(ask)

    def finished(self) -> list[Entry]:
        """See `Asker.finished`: of all that was started, what is answered first."""
        try:
            while True:
                for group in self._groups:
                    if all(self.ledger.find(ask.question) is not None for ask in group):
                        self._groups.remove(group)
                        return self.known(group)
                self._hear()
        except BaseException:
            self._cancel()
            raise

    def _submit(self, ask: Ask) -> None:
        """Hand a question to the cluster, unless it is answered or on its way."""
        under_way = any(each.question == ask.question for each in self._running.values())
        if under_way or self.ledger.find(ask.question) is not None:
            return
        remote = self._ray.remote(_answered).options(
            num_cpus=self.cluster.cores,
            num_gpus=self.cluster.gpus,
            memory=self.cluster.memory,
            max_retries=RETRIES,
        )
        self._running[remote.remote(self._score, ask, self.cluster.cores)] = ask

    def _hear(self) -> None:
        """Wait for the next answer and keep it."""
        (done, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        ask = self._running.pop(done)
        try:
            entry = self._ray.get(done)
        except self._ray.exceptions.RayTaskError as error:
            # A score's own errors are answers; this is a process that could not even be asked.
            reason = f"a process of the cluster cannot take it, is its triscale the same? {_last_line(error)}"
            entry = entry_of(ask, None, reason, 0.0, "ray")
        except self._ray.exceptions.RayError as error:
            told = str(error).strip().splitlines()
            reason = f"its worker died {RETRIES + 1} times: {told[0] if told else type(error).__name__}"
            entry = entry_of(ask, None, reason, 0.0, "ray")
        self.progress.advance(ask.steps)
        self.write(entry)

    def _cancel(self) -> None:
        """Stop what is on its way."""
        for each in self._running:
            self._ray.cancel(each, force=True)
        self._running.clear()


def connect(cluster: OnRay) -> ModuleType:
    """Ray, connected to a cluster; a second call finds it connected.

    Raises: SearchError for a cluster that cannot be reached; MissingExtraError without ray.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that this runs
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if cluster.address.startswith("ray://") and _has_token():
        # A cluster asks for a token as soon as its machine has one, and Ray sends ours only where it is told to.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        ray = importlib.import_module("ray")
    except ImportError:
        raise MissingExtraError("ray", "ray", "a search on a cluster (--on ray)") from None
    if ray.is_initialized():
        return ray
    local = cluster.address == LOCAL and "RAY_ADDRESS" not in os.environ
    # Left out, the address would be that of any cluster that was ever started here, also of one that is long gone.
    address = cluster.address if cluster.address != LOCAL else LOCAL if local else None
    options: dict[str, Any] = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if local else {}
    try:
        with warnings.catch_warnings():  # the error says it in one line
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError, grpc's own
        told = str(error).strip().splitlines()
        raise SearchError(
            f"--on {cluster.address}: no Ray cluster answers there ({told[0] if told else type(error).__name__}); one "
            f"that runs may want the token of its machine: `ray get-auth-token` there, RAY_AUTH_TOKEN here."
        ) from None
    return ray


def _has_token() -> bool:
    """Whether Ray finds a token here."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").is_file()


def room(ray: ModuleType, cluster: OnRay) -> int:
    """Trainings that the cluster can run at once.

    Raises: SearchError where it cannot run even one, with what it has.
    """
    has = ray.cluster_resources()
    wants = {"CPU": cluster.cores, "GPU": cluster.gpus, "memory": cluster.memory or 0}
    times = [math.floor(has.get(name, 0) / wanted) for name, wanted in wants.items() if wanted]
    if times and min(times) < 1:
        short = next(name for name, wanted in wants.items() if wanted and has.get(name, 0) < wanted)
        raise SearchError(
            f"--on {cluster.address}: a training asks for {wants[short]:g} {short}, the whole cluster has "
            f"{has.get(short, 0):g}; ask for less."
        )
    return min(times) if times else 1


def _last_line(error: Exception) -> str:
    """What a traceback ends with: the error itself."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _answered(score: Score, ask: Ask, cores: int) -> Entry:
    """What a task does."""
    import torch

    torch.set_num_threads(cores)
    return answer(score, ask, f"ray:{os.getpid()}")
