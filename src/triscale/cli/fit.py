"""`triscale fit`: from images and a budget to a trained, exported, verified network."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.names import resolve
from triscale.cli.output import print_json
from triscale.errors import SpecError
from triscale.spec.files import read_json
from triscale.spec.limits import parse

if TYPE_CHECKING:
    from triscale.fit.job import Job


def fit_command(
    data: str,
    *,
    budget: str,
    out: Path | None = None,
    engine: Literal["onnx", "openvino"] = "onnx",
    recipe: str | None = None,
    epochs: int | None = None,
    no_mirror: bool = False,
    seed: int = 0,
    skip_broken: bool = False,
    network: str | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Choose, train, evaluate, export and verify a network for these images inside a budget, and write a report.

    Where the images have boxes it is a detector, on a trained backbone where one fits, at the size that the objects
    call for; what ships has suppression in the file.

    The same command again goes on where it stopped. Everything is in one folder; start at its report.html.

    Example: triscale fit photos --budget "macs<=300M, latency<=10ms"

    Parameters
    ----------
    data
        a folder with one folder of images per class (or train/, val/, test/ with those), a CSV, or shards; or images
        with boxes: COCO JSON, Pascal VOC, YOLO
    budget
        hard limits: macs, params, activations (K M G), memory, size (KB MB GB), latency (us ms s)
    out
        the run's folder; runs/NAME by default, NAME being the data's
    engine
        the file that ships, and that latency and size are measured on
    recipe
        a name from `triscale recipe`; by default detection for boxes, finetune with published weights, else small-data
    epochs
        instead of the recipe's
    no_mirror
        left and right differ here (digits, text, road signs): never mirror an image
    seed
        of the split, the order of images, augmentation and fresh weights
    skip_broken
        go on without images that cannot be read; the report counts them
    network
        take this one, a name or a network file, rather than choose: at its own size where that is inside the budget,
        else scaled down to it
    json
        print the figures as JSON at the end
    """
    limits = parse(budget)
    given = None if network is None else resolve(network)
    folder = run_folder(out, data)

    from triscale.fit.job import Job

    job = Job(data, limits, engine, recipe, epochs, not no_mirror, seed, skip_broken, given)
    from triscale.data.detection.find import is_boxes

    if given is not None and is_boxes(data):
        raise SpecError(f"--network {network}: {data} has boxes, for which fit chooses a detector; leave it out.")
    do = do_box_job if is_boxes(data) else do_job
    do(job, folder, "triscale " + shlex.join(sys.argv[1:]), quiet=json)
    if json:
        print_json(read_json(folder / "metrics.json"))
    return 0


def do_job(job: Job, folder: Path, command: str, quiet: bool = False) -> None:
    """Run a job in its folder with progress, print what came of it, and write the report.

    command: as typed, for the report. quiet: print nothing on standard output.
    """
    from triscale.fit.job import FitResult, fit, open_dataset
    from triscale.fit.summary import fit_report, lines
    from triscale.report.page import write_report
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    progress = choose_progress()
    dataset = open_dataset(job, progress)
    for note in dataset.notes:
        progress.say(note)

    def report(result: FitResult, run: RunFolder) -> None:
        write_report(fit_report(result, job, run, command), run.path / "report.html")
        if not quiet:
            print("\n".join(lines(result)))

    with RunFolder.open(folder, "fit", job.arguments(), dataset.fingerprint) as run:
        if run.is_done:
            print(f"{folder}: is done already; its report is {folder / 'report.html'}", file=sys.stderr)
        else:
            fit(job, run, dataset, report, progress)


def do_box_job(job: Job, folder: Path, command: str, quiet: bool = False) -> None:
    """`do_job` for images with boxes."""
    from triscale.fit.detection.job import BoxFitResult, fit_boxes, open_boxes
    from triscale.fit.detection.summary import box_fit_report, box_lines
    from triscale.report.detector_fit import write_detector_report
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    progress = choose_progress()
    dataset = open_boxes(job, progress)
    for note in dataset.notes:
        progress.say(note)

    def report(result: BoxFitResult, run: RunFolder) -> None:
        write_detector_report(box_fit_report(result, job, run, command), run.path / "report.html")
        if not quiet:
            print("\n".join(box_lines(result)))

    with RunFolder.open(folder, "fit", job.arguments(), dataset.fingerprint) as run:
        if run.is_done:
            print(f"{folder}: is done already; its report is {folder / 'report.html'}", file=sys.stderr)
        else:
            fit_boxes(job, run, dataset, report, progress)
