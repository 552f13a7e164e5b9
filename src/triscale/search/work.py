"""What every search on images does alike: opens the data, says what it will take, shows how far it is."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from triscale import atomic
from triscale.data.dataset import Dataset, read_dataset
from triscale.data.detection.find import is_boxes
from triscale.errors import DataError
from triscale.search.asking import Asker
from triscale.search.candidate import Baseline, Candidate
from triscale.search.ledger import Ledger
from triscale.search.preset import Preset
from triscale.search.proxy import TrainingScore, for_search
from triscale.search.spread import Spread
from triscale.spec.files import write_network
from triscale.spec.network import Network
from triscale.training.loop import require_splits
from triscale.training.progress import Progress

PACED = 4  # steps by which the time of all is told


class Asks(NamedTuple):
    """Scores on validation images, and on test images; None where there are none, or they are not to be read yet."""

    val: Asker
    test: Asker | None

    @property
    def entries(self) -> int:
        """Trainings in both ledgers."""
        return len(self.val.ledger) + (0 if self.test is None else len(self.test.ledger))

    @property
    def seconds(self) -> float:
        """That they took."""
        asks = (self.val,) if self.test is None else (self.val, self.test)
        return sum(each.seconds for ask in asks for each in ask.ledger.entries())


def open_search(data: str | Path, preset: Preset, seed: int = 0, skip_broken: bool = False) -> Dataset:
    """Read the data and cut it. Raises: DataError or TrainingError for what cannot be learnt from or judged by."""
    if is_boxes(data):
        raise DataError(f"{data}: has boxes, and a search takes images with labels (DATA/CLASS/*.jpg, a CSV, shards).")
    dataset = read_dataset(data, seed=seed, skip_broken=skip_broken)
    require_splits(dataset)
    return for_search(dataset, preset.per_class, preset.judged, seed)


def asks_in(
    folder: Path, subject: dict[str, str], score: TrainingScore, compared: bool, spread: Spread, progress: Progress
) -> Asks:
    """The ledgers of a run folder, ledger.jsonl and test.jsonl, with their scores.

    subject: what decides them, beside the split. compared: whether test images may be read, where there are any.
    spread: who answers.
    """
    ledger = Ledger(folder / "ledger.jsonl", subject | {"judged on": "val"})
    val = spread.asker(score, ledger, "scores", progress)
    if not (compared and score.dataset.test):
        return Asks(val, None)
    test = Ledger(folder / "test.jsonl", subject | {"judged on": "test"})
    return Asks(val, spread.asker(replace(score, split="test"), test, "test", progress))


def minutes(score: TrainingScore, candidate: Candidate, rounds: Sequence[tuple[int, int]]) -> str:
    """What trainings will take, told by a few steps of one candidate. rounds: (trainings, steps of each)."""
    times = [time.perf_counter()]
    replace(score, each_step=lambda: times.append(time.perf_counter()))(candidate, 0, PACED)
    judging = time.perf_counter() - times[-1]
    pace = statistics.median(after - before for before, after in itertools.pairwise(times[1:]))
    seconds = sum(count * (steps * pace + judging) for count, steps in rounds)
    told = " + ".join(f"{count} of {steps} steps" for count, steps in rounds)
    return f"trainings: {told}; about {max(1, round(seconds / 60))} min on this machine"


@contextmanager
def bar(progress: Progress, title: str, steps: int, ledger: Ledger | None = None) -> Generator[None]:
    """A bar over training steps; those that the ledger holds are done."""
    done = 0 if ledger is None else min(steps, sum(each.steps for each in ledger.entries()))
    progress.start(title, steps, done)
    try:
        yield
    finally:
        progress.finish()


def file_name(candidate: Candidate) -> str:
    """What the file of a result is called."""
    return "network.json" if isinstance(candidate.made, Network) else "module.json"


def write_candidate(candidate: Candidate, path: Path, baseline: Baseline) -> None:
    """Write a network file; of a module, how its factory is scaled, which is all that there is to say. Atomically."""
    if isinstance(candidate.made, Network):
        write_network(candidate.made, path)
        return
    depth, width, _ = candidate.multipliers
    said = {**baseline.described(), "depth": depth, "width": width, "size": list(candidate.size)}
    atomic.write_text(path, json.dumps(said, indent=1) + "\n")
