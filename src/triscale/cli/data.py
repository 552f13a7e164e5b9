"""`triscale data`: look at a data set before training on it."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts

from triscale.cli.output import print_json, print_table

if TYPE_CHECKING:
    from triscale.data.check import CheckReport
    from triscale.data.parallel import Progress

data_app = cyclopts.App(name="data", help="Look at a data set before a second is spent on it.", help_format="plaintext")


@data_app.command
def check(path: Path, *, json: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False) -> int:
    """Name every broken, empty, duplicate, mislabelled or leaking file of a data set.

    Exits with 0 where nothing is wrong, 1 where something is.

    Example: triscale data check photos/

    Parameters
    ----------
    path
        an image folder (DATA/CLASS/*.jpg, or DATA/train/CLASS/*.jpg beside val and test), or a CSV file (path,label)
    json
        print the report as JSON
    """
    from triscale.data.check import check as check_data  # Pillow and numpy: not for `triscale --help`

    with _progress() as progress:
        report = check_data(path, progress)
    if json:
        print_json(report_to_dict(report))
    else:
        _print_report(report)
    return 0 if report.ok else 1


def report_to_dict(report: CheckReport) -> dict[str, object]:
    """The report as JSON knows it; paths become strings."""
    written = dataclasses.asdict(report)
    for finding in written["findings"]:
        finding["path"], finding["other"] = str(finding["path"]), finding["other"] and str(finding["other"])
    return {**written, "root": str(report.root), "ok": report.ok, "counts": report.counts()}


def _print_report(report: CheckReport) -> None:
    if report.findings:
        folder = report.root if report.root.is_dir() else report.root.parent
        rows = [(each.kind, _inside(each.path, folder), each.message) for each in report.findings]
        print_table(("found", "file", "what"), rows, left=3)
        print()
    for note in report.notes:
        print(note)
    splits = ", ".join(f"{count} in {name}" for name, count in report.splits.items() if name)
    print(f"{report.images} images{f' ({splits})' if splits else ''} of {len(report.classes)} classes, ", end="")
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts().items())
    print(f"{report.seconds:.1f} s: {counts or 'nothing wrong'}.")


def _inside(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path != folder and path.is_relative_to(folder) else str(path)


@contextlib.contextmanager
def _progress() -> Generator[Progress | None]:
    """A bar with the time left on standard error, where a person looks at it; rich is loaded only then."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("looking at images", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
