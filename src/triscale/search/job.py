"""`search coefficients`: STEP 1, STEP 2 and what they are held against. Any step can be killed and resumed."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from triscale import atomic
from triscale.data.dataset import Dataset, read_dataset
from triscale.data.find import location
from triscale.search.asking import Asker
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.coefficients import CoefficientSearch, family, search_coefficients
from triscale.search.comparison import Comparison, compare_ways
from triscale.search.grid import Constraint, Proposal, coefficient_grid
from triscale.search.halving import trainings
from triscale.search.honesty import Honesty, compare_honestly, drawn_at_random, published_rivals
from triscale.search.ledger import Ledger
from triscale.search.preset import Preset
from triscale.search.proxy import TrainingScore, for_search
from triscale.search.result import CoefficientResult, figures, told
from triscale.spec.files import write_network
from triscale.spec.network import Network
from triscale.training.loop import require_splits
from triscale.training.progress import Progress, SilentProgress
from triscale.training.run import RunFolder

PACED = 4  # steps by which the time of all is told


@dataclass(frozen=True, slots=True)
class CoefficientJob:
    """What was asked for.

    data: image folder, CSV, or shards. baseline: a network or a module, at the size that it is searched at.
    constraint: see `coefficient_grid`.
    seed: of the split and of what is drawn at random; trainings have the seeds 0, 1, ...
    """

    data: str | Path
    baseline: Baseline
    preset: Preset
    constraint: Constraint = "counted"
    seed: int = 0
    skip_broken: bool = False

    def arguments(self) -> dict[str, Any]:
        """All that decides the result, as the run's record keeps it."""
        return {
            "data": location(self.data),
            "baseline": self.baseline.described(),
            "preset": asdict(self.preset) | {"recipe": self.preset.recipe.to_table()},
            "constraint": self.constraint,
            "seed": self.seed,
            "skip_broken": self.skip_broken,
        }


Reporter = Callable[[CoefficientResult, RunFolder, Dataset], None]


def open_search(job: CoefficientJob) -> Dataset:
    """Read the data and cut it. Raises: DataError or TrainingError for what cannot be learnt from or judged by."""
    dataset = read_dataset(job.data, seed=job.seed, skip_broken=job.skip_broken)
    require_splits(dataset)
    return for_search(dataset, job.preset.per_class, job.preset.judged, job.seed)


def run_coefficients(
    job: CoefficientJob,
    run: RunFolder,
    dataset: Dataset,
    report: Reporter,
    compared: bool = True,
    progress: Progress | None = None,
) -> CoefficientResult:
    """Do the whole search in a run folder that is held; what its ledgers hold is not trained again.

    compared: also train what the result is held against; otherwise it is headed "not compared yet".
    report: writes the page; called last.
    Raises: SearchError where no network is inside the constraint, or ten trainings in a row fail.
    """
    progress, preset, baseline = progress or SilentProgress(), job.preset, job.baseline
    progress.say(f"looking for networks that cost twice as much as {baseline.name}")
    proposals = coefficient_grid(baseline, job.constraint, most=preset.most)
    subject = _subject(job, dataset)
    val = Ledger(run.path / "ledger.jsonl", subject | {"judged on": "val"})
    test = Ledger(run.path / "test.jsonl", subject | {"judged on": "test"}) if dataset.test and compared else None
    score = TrainingScore(baseline, dataset, preset.recipe, each_step=progress.advance)
    asks = _Asks(Asker(score, val), None if test is None else Asker(replace(score, split="test"), test))
    steps = _steps(proposals, preset)
    if sum(each.steps for each in val.entries()) < steps:
        progress.say(_cost(score, proposals, preset))
    with _bar(progress, f"STEP 1: {len(proposals)} networks", steps, val):
        step1 = search_coefficients(proposals, asks.val, preset.rungs)
    progress.say(step1.sentence())
    made = tuple(family(baseline, step1.coefficients, preset.largest))
    shipped = _write_family(run.path, made, baseline)
    honesty, curves = _compared(job, proposals, step1, asks, progress) if compared else (None, None)
    entries = [*val.entries(), *([] if test is None else test.entries())]
    result = CoefficientResult(
        base=baseline.at(Multipliers()),
        proposals=tuple(proposals),
        step1=step1,
        family=made,
        curves=curves,
        honesty=honesty,
        trainings=len(entries),
        seconds=sum(each.seconds for each in entries),
    )
    run.write_json("coefficients.json", told(result))
    run.write_json("metrics.json", {"headline": result.headline(), **figures(result)})
    report(result, run, dataset)
    run.update(state="done", shipped=shipped)
    return result


class _Asks(NamedTuple):
    """Scores on validation images, and on test images; None where there are none, or they are not to be read yet."""

    val: Asker
    test: Asker | None


def _compared(
    job: CoefficientJob, proposals: Sequence[Proposal], step1: CoefficientSearch, asks: _Asks, progress: Progress
) -> tuple[Honesty, Comparison]:
    """What the result is held against, and the curves of scaling."""
    preset, searched = job.preset, _steps(proposals, job.preset)
    last = preset.rungs[-1].steps
    finals = 7 * preset.final_seeds * last * (1 if asks.test is None else 2)
    on_curves = (4 * len(preset.growths) + 1) * preset.curve_seeds * last
    with _bar(progress, "held against others", finals + searched // last * last + on_curves, None):
        winner = step1.winner.proposal.candidate
        rivals = published_rivals(job.baseline, winner.macs)
        drawn = drawn_at_random([each.candidate for each in proposals if each.inside], last, searched, job.seed)
        honesty = compare_honestly(winner, rivals, drawn, asks.val, asks.test, last, preset.final_seeds, searched)
        curves = compare_ways(job.baseline, step1.coefficients, preset.growths, asks.val, last, preset.curve_seeds)
    progress.say(honesty.headline())
    return honesty, curves


def _steps(proposals: Sequence[Proposal], preset: Preset) -> int:
    """Training steps of STEP 1."""
    inside = sum(each.inside for each in proposals)
    first = preset.rungs[0]
    return preset.steps(inside) + (len(proposals) - inside) * first.steps * first.seeds


def _subject(job: CoefficientJob, dataset: Dataset) -> dict[str, str]:
    return {
        "search": "coefficients",
        "baseline": job.baseline.at(Multipliers()).key,
        "data": dataset.fingerprint,
        "recipe": str(job.preset.recipe.to_table()),
    }


def _cost(score: TrainingScore, proposals: Sequence[Proposal], preset: Preset) -> str:
    """What the search will take, by a few steps of one of its networks."""
    inside = sorted((each.candidate for each in proposals if each.inside), key=lambda each: each.macs)
    times = [time.perf_counter()]
    paced = replace(score, each_step=lambda: times.append(time.perf_counter()))
    paced(inside[len(inside) // 2], 0, PACED)
    judged = time.perf_counter() - times[-1]
    pace = statistics.median(after - before for before, after in itertools.pairwise(times[1:]))
    rounds = trainings(len(inside), preset.rungs)
    seconds = sum(count * (steps * pace + judged) for count, steps in rounds)
    told = " + ".join(f"{count} of {steps} steps" for count, steps in rounds)
    return f"{len(inside)} networks that differ; {told}: about {seconds / 60:.0f} minutes on this machine"


class _bar:
    """A bar over training steps; those that the ledger holds are done."""

    def __init__(self, progress: Progress, title: str, steps: int, ledger: Ledger | None) -> None:
        self.progress, self.title, self.steps = progress, title, steps
        self.done = 0 if ledger is None else min(steps, sum(each.steps for each in ledger.entries()))

    def __enter__(self) -> None:
        self.progress.start(self.title, self.steps, self.done)

    def __exit__(self, *exception: object) -> None:
        self.progress.finish()


def _write_family(folder: Path, made: Sequence[Candidate], baseline: Baseline) -> str:
    """Write family/phi-1.json, ..., and phi 1, which STEP 1 has trained, beside it. Returns: the name of that file.

    Of a module they say how its factory is scaled, which is all that there is to say.
    """
    for phi, each in enumerate(made, start=1):
        _write(each, folder / "family" / f"phi-{phi}.json", baseline)
    name = "network.json" if isinstance(made[0].made, Network) else "module.json"
    _write(made[0], folder / name, baseline)
    return name


def _write(candidate: Candidate, path: Path, baseline: Baseline) -> None:
    if isinstance(candidate.made, Network):
        write_network(candidate.made, path)
        return
    depth, width, _ = candidate.multipliers
    said = {**baseline.described(), "depth": depth, "width": width, "size": list(candidate.size)}
    atomic.write_text(path, json.dumps(said, indent=1) + "\n")
