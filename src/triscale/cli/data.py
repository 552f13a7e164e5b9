"""`triscale data`: look at a data set before training on it; pack it into shards."""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts

from triscale.cli.bars import bars
from triscale.cli.data_anchors import anchors
from triscale.cli.data_boxes import check_with_boxes
from triscale.cli.output import print_json, print_table

if TYPE_CHECKING:
    from triscale.data.check import CheckReport
    from triscale.data.member import ImagePlace
    from triscale.data.shards.pack import PackReport

data_app = cyclopts.App(
    name="data", help="Look at a data set before a second is spent on it; pack a large one.", help_format="plaintext"
)
data_app.command(anchors)


@data_app.command
def check(
    path: str,
    *,
    draw: Path | None = None,
    json: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
) -> int:
    """Name every broken, empty, duplicate, mislabelled or leaking file of a data set, and every wrong box.

    Exits with 0 where nothing is wrong, 1 where something is.

    Example: triscale data check photos/

    Example: triscale data check instances.json --draw drawn/

    Parameters
    ----------
    path
        an image folder (DATA/CLASS/*.jpg, or DATA/train/CLASS/*.jpg beside val and test), a CSV file (path,label), or
        shards: their folder, a pattern such as train-{000000..000009}.tar, or URLs; or a set with boxes: COCO JSON, a
        folder with it, Pascal VOC or YOLO
    draw
        a folder for pictures of up to 24 images with their boxes as they were read, and sheet.jpg with all of them
    json
        print the report as JSON
    """
    from triscale.data.check import check as check_data  # Pillow and numpy: not for `triscale --help`
    from triscale.data.detection.find import is_boxes
    from triscale.errors import DataError

    if is_boxes(path):
        return check_with_boxes(path, draw, json)
    if draw is not None and Path(path).exists():
        raise DataError(f"{path}: has no boxes to draw (COCO JSON, Pascal VOC or YOLO); leave --draw out.")
    with bars("looking at images") as [progress]:
        report = check_data(path, progress)
    if json:
        print_json(report_to_dict(report))
    else:
        _print_report(report)
    return 0 if report.ok else 1


@data_app.command
def pack(
    data: str,
    out: Path,
    *,
    shard_size: str = "256MB",
    val: float = 0.0,
    test: float = 0.0,
    seed: int = 0,
    skip_broken: bool = False,
    json: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
) -> int:
    """Write a data set as shards in WebDataset's layout: large tar files, and shards.json beside them.

    Images stay as they are, byte for byte; each is decoded once. The same command again goes on where it stopped.

    Example: triscale data pack photos/ photos-shards/ --val 0.1

    Parameters
    ----------
    data
        an image folder, a CSV file (path,label), parquet files or other shards
    out
        a new or empty folder
    shard_size
        of a tar file, about (KB MB GB)
    val
        share of the images to set aside for validation; by default the set's own splits stay as they are
    test
        share to set aside for the test
    seed
        of the split and of the order in which images are mixed
    skip_broken
        leave out images that cannot be read
    json
        print the report as JSON
    """
    from triscale.data.detection.find import is_boxes
    from triscale.data.shards.pack import pack as pack_data
    from triscale.data.shards.store import bytes_of
    from triscale.errors import DataError

    if is_boxes(data):
        raise DataError(f"{data}: a set with boxes; shards hold images with classes only, so train on it as it is.")
    size = bytes_of(shard_size, "--shard-size")
    with bars("looking at images", "writing shards") as [looking, writing]:
        report = pack_data(data, out, size, seed, val, test, skip_broken, looking, writing)
    if json:
        written = {**dataclasses.asdict(report), "folder": str(out), "shards": len(report.shards)}
        print_json({**written, "samples": report.samples, "bytes": report.bytes})
    else:
        _print_packed(report)
    return 0


def _print_packed(report: PackReport) -> None:
    for note in report.notes:
        print(note)
    if report.skipped:
        print(f"{len(report.skipped)} images that cannot be used were left out: {', '.join(report.skipped[:5])}")
    splits = collections.Counter()
    for each in report.shards:
        splits[each.split] += each.samples
    told = ", ".join(f"{count} {name}" for name, count in splits.items())
    print(f"{report.folder}: {report.samples} images ({told}) of {len(report.classes)} classes ", end="")
    print(f"in {len(report.shards)} shards, {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s")


def report_to_dict(report: CheckReport) -> dict[str, object]:
    """The report as JSON knows it; paths become strings."""
    written = dataclasses.asdict(report)
    for finding in written["findings"]:
        finding["path"], finding["other"] = str(finding["path"]), finding["other"] and str(finding["other"])
    return {**written, "root": str(report.root), "ok": report.ok, "counts": report.counts()}


def _print_report(report: CheckReport) -> None:
    if report.findings:
        root = Path(report.root)
        folder = root if root.is_dir() else root.parent
        rows = [(each.kind, _inside(each.path, folder), each.message) for each in report.findings]
        print_table(("found", "file", "what"), rows, left=3)
        print()
    for note in report.notes:
        print(note)
    splits = ", ".join(f"{count} in {name}" for name, count in report.splits.items() if name)
    print(f"{report.images} images{f' ({splits})' if splits else ''} of {len(report.classes)} classes, ", end="")
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts().items())
    print(f"{report.seconds:.1f} s: {counts or 'nothing wrong'}.")


def _inside(path: ImagePlace | str, folder: Path) -> str:
    inside = folder != Path() and str(path).startswith(f"{folder}/")
    return str(path).removeprefix(f"{folder}/") if inside else str(path)
