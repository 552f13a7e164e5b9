"""What both commands of `triscale search` do with a job: data, run folder, search, page, and what is printed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from triscale.spec.files import read_json

if TYPE_CHECKING:
    from triscale.data.dataset import Dataset
    from triscale.report.search import Searched
    from triscale.search.budget.job import BudgetFound, BudgetJob
    from triscale.search.job import CoefficientJob
    from triscale.search.result import CoefficientResult
    from triscale.search.spread import Spread
    from triscale.training.progress import Progress
    from triscale.training.run import RunFolder

Job = TypeVar("Job", "CoefficientJob", "BudgetJob")


class Options(NamedTuple):
    """How a search is done, beside its job.

    asked_for: the baseline as it was typed. compared: whether the result is held against others too. spread: who
    trains; device: where. quiet: print no result.
    """

    asked_for: str
    compared: bool
    spread: Spread
    device: Literal["auto", "cpu", "cuda"]
    quiet: bool


def _for_classes(job: Job, dataset: Dataset) -> Job:
    """A job whose baseline has the classes of the data, which its costs count."""
    return replace(job, baseline=job.baseline.of_classes(len(dataset.classes)))


def do_coefficients(job: CoefficientJob, folder: Path, options: Options) -> None:
    """Search for coefficients in a run folder, or say that it is done there."""
    from triscale.report.search import write_search_report
    from triscale.search.job import run_coefficients

    def report(result: CoefficientResult, run: RunFolder, dataset: Dataset) -> None:
        write_search_report(result, _searched(job, run, dataset, options), run.path / "report.html")
        if not options.quiet:
            print("\n".join(_lines(result, folder)))

    with _opened(job, "coefficients", folder, options.compared) as (run, dataset, progress):
        if run is not None:
            own, (_, compared, spread, device, _) = _for_classes(job, dataset), options
            run_coefficients(own, run, dataset, report, compared, progress, spread, device)


def do_budget(job: BudgetJob, folder: Path, options: Options) -> None:
    """Search inside a budget in a run folder, or say that it is done there."""
    from triscale.deployment.for_search import search_measures
    from triscale.report.budget_search import write_budget_report
    from triscale.search.budget.job import run_budget

    def report(found: BudgetFound, run: RunFolder, dataset: Dataset) -> None:
        write_budget_report(found, _searched(job, run, dataset, options), run.path / "report.html")
        if not options.quiet:
            print(f"{found.headline()}\n{found.sentence()}\nstart at {folder / 'report.html'}")

    with _opened(job, "budget", folder, options.compared) as (run, dataset, progress):
        if run is not None:
            measures = search_measures(job.budget, job.engine, progress)
            own, (_, compared, spread, device, _) = _for_classes(job, dataset), options
            run_budget(own, run, dataset, report, measures, compared, progress, spread, device)


@contextmanager
def _opened(
    job: CoefficientJob | BudgetJob, search: str, folder: Path, compared: bool
) -> Generator[tuple[RunFolder | None, Dataset, Progress]]:
    """The run folder, held, with the data; no folder where everything that is asked for is done."""
    from triscale.search.work import open_search
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    progress, preset = choose_progress(), job.preset
    dataset = open_search(job.data, preset, job.seed, job.skip_broken)
    for note in (*dataset.notes, f"{_images(dataset)}; preset {preset.name}: {preset.meant_for}"):
        progress.say(note)
    with RunFolder.open(folder, f"search {search}", job.arguments(), dataset.fingerprint) as run:
        result = folder / ("coefficients.json" if search == "coefficients" else "search.json")
        done = run.is_done and (not compared or read_json(result)["honesty"] is not None)
        if done:
            print(f"{folder}: is done already; its report is {folder / 'report.html'}", file=sys.stderr)
        yield None if done else run, dataset, progress


def _searched(job: CoefficientJob | BudgetJob, run: RunFolder, dataset: Dataset, options: Options) -> Searched:
    """What both pages show alike."""
    from triscale.report.search import Searched
    from triscale.search.shared.storage import shown
    from triscale.search.winner import FOLDER, WEIGHTS

    return Searched(
        baseline=job.baseline.name,
        asked_for=options.asked_for,
        command="triscale " + shlex.join(map(shown, sys.argv[1:])),
        folder=str(run.path),
        data=f"{_images(dataset)}, of {dataset.root}",
        preset=job.preset.name,
        trained=(run.path / FOLDER / WEIGHTS).exists(),
        environment=run.record.environment,
    )


def _images(dataset: Dataset) -> str:
    return f"{len(dataset.train):,} images to train on, {len(dataset.val):,} to judge by"


def _lines(result: CoefficientResult, folder: Path) -> list[str]:
    """What came of it."""
    found, winner = result.step1, result.step1.winner.proposal
    return [
        result.headline(),
        found.sentence(),
        f"counted cost {winner.counted:.3f} x the baseline's, alpha·beta²·gamma² = {winner.coefficients.formula:.3f}",
        *(
            f"phi {phi}: {each.macs / 1e6:,.1f}M MACs, {each.params / 1e6:,.2f}M parameters, {each.size[0]} px"
            for phi, each in enumerate(result.family, start=1)
        ),
        f"start at {folder / 'report.html'}",
    ]
