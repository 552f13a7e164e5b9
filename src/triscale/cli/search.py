"""`triscale search`: coefficients of compound scaling for one's own baseline and images."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.names import resolve_subject
from triscale.cli.output import print_json
from triscale.errors import SpecError
from triscale.modules.reference import is_reference
from triscale.spec.detector import Detector
from triscale.spec.files import read_json
from triscale.spec.network import Network, Size, as_size

if TYPE_CHECKING:
    from triscale.data.dataset import Dataset
    from triscale.search.candidate import Baseline
    from triscale.search.job import CoefficientJob
    from triscale.search.result import CoefficientResult
    from triscale.training.run import RunFolder

search_app = cyclopts.App(
    name="search", help="Search for a network: coefficients of compound scaling.", help_format="plaintext"
)


@search_app.command
def coefficients(
    data: str,
    *,
    baseline: str = "mobilenetv3_small_100",
    preset: Literal["tiny", "small", "paper"] = "tiny",
    constraint: Literal["counted", "formula"] = "counted",
    size: int | None = None,
    honesty: Literal["now", "later"] = "now",
    out: Path | None = None,
    seed: int = 0,
    skip_broken: bool = False,
    json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Find alpha, beta and gamma for a baseline on your images, scale it with them, and hold that against its rivals.

    The same command again goes on where it stopped: every training is in the run's ledger.jsonl. The result is
    network.json (phi 1) and family/, which train, fit, scale and export take; start at report.html.

    Example: triscale search coefficients digits --baseline mobilenetv3_small_100 --preset tiny

    Parameters
    ----------
    data
        a folder with one folder of images per class (or train/, val/, test/ with those), a CSV, or shards
    baseline
        a name, a network file, or your own code as file.py:factory
    preset
        tiny: 2 cores, minutes; small: one GPU, hours; paper: a cluster, weeks
    constraint
        counted: twice the baseline's multiply-accumulates as counted after rounding; formula: alpha·beta²·gamma² of 2
    size
        pixels of the baseline's images; by default the preset's
    honesty
        later leaves out what the result is compared with; the same command with now adds it
    out
        the run's folder; runs/NAME-BASELINE by default
    seed
        of the split, and of the random search
    skip_broken
        go on without images that cannot be read
    json
        print the result as JSON at the end
    """
    network = None if is_reference(baseline) else resolve_subject(baseline)
    if isinstance(network, Detector):
        raise SpecError(f"{network.name} is a detector; a search for coefficients takes a network.")

    from triscale.search.job import CoefficientJob
    from triscale.search.preset import preset as preset_of

    chosen = preset_of(preset)
    made = _baseline(baseline, network, as_size(size or chosen.side))
    job = CoefficientJob(data, made, chosen, constraint, seed, skip_broken)
    folder = run_folder(out, data, f"{made.name}-coefficients")
    _do(job, folder, baseline, honesty == "now", quiet=json)
    if json:
        print_json(read_json(folder / "coefficients.json"))
    return 0


def _baseline(name: str, network: Network | None, size: Size) -> Baseline:
    """A network, or the module of a factory, at a size in pixels."""
    from triscale.search.candidate import NetworkBaseline

    if network is not None:
        return NetworkBaseline(replace(network, resolution=size))
    from triscale.modules.factory import load_factory
    from triscale.search.own import ModuleBaseline

    return ModuleBaseline(load_factory(name), size)


def _do(job: CoefficientJob, folder: Path, asked_for: str, compared: bool, quiet: bool) -> None:
    from triscale.report.search import SearchReport, write_search_report
    from triscale.search.job import open_search, run_coefficients
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    progress = choose_progress()
    dataset = open_search(job)
    for note in dataset.notes:
        progress.say(note)
    said = f"{len(dataset.train):,} images to train on, {len(dataset.val):,} to judge by"
    progress.say(f"{said}, preset {job.preset.name}: {job.preset.meant_for}")

    def report(result: CoefficientResult, run: RunFolder, dataset: Dataset) -> None:
        command = "triscale " + shlex.join(sys.argv[1:])
        page = SearchReport(
            result,
            job.baseline.name,
            asked_for,
            command,
            str(folder),
            f"{said}, of {dataset.root}",
            job.preset.name,
            run.record.environment,
        )
        write_search_report(page, run.path / "report.html")
        if not quiet:
            print("\n".join(_lines(result, folder)))

    with RunFolder.open(folder, "search coefficients", job.arguments(), dataset.fingerprint) as run:
        if run.is_done and (not compared or read_json(folder / "coefficients.json")["honesty"] is not None):
            print(f"{folder}: is done already; its report is {folder / 'report.html'}", file=sys.stderr)
        else:
            run_coefficients(job, run, dataset, report, compared, progress)


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
