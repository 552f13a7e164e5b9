"""`triscale data check` of a set with boxes: what is wrong by file and record, what is in it, and pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triscale.cli.bars import bars
from triscale.cli.output import print_json, print_table

if TYPE_CHECKING:
    from triscale.data.detection.check import BoxReport
    from triscale.data.detection.said import BoxFinding

_NAMED = 12  # classes in one line


def check_with_boxes(path: str, draw: Path | None, json: bool) -> int:
    """Check a set with boxes, draw it where asked to, and print what was found; returns the exit code."""
    from triscale.data.detection.check import check_boxes
    from triscale.data.detection.pictures import draw_report, require_folder

    if draw is not None:
        require_folder(draw)
    with bars("looking at images") as [progress]:
        report = check_boxes(path, progress)
    drawn = draw_report(report, draw) if draw is not None else []
    if json:
        print_json({**box_report_to_dict(report), "drawn": [str(each) for each in drawn]})
    else:
        _print_report(report)
        if draw is not None:
            print(f"Drawn: {drawn[0]}, and {len(drawn) - 1} pictures beside it." if drawn else "No image can be drawn.")
    return 0 if report.ok else 1


def box_report_to_dict(report: BoxReport) -> dict[str, Any]:
    """The report as JSON knows it: without the images one by one, paths as strings."""
    fields = [each.name for each in dataclasses.fields(report) if each.name not in ("judged", "findings")]
    findings = [{**dataclasses.asdict(each), "path": str(each.path)} for each in report.findings]
    written = {name: getattr(report, name) for name in fields}
    return {**written, "root": str(report.root), "findings": findings, "ok": report.ok, "counts": report.counts()}


def _print_report(report: BoxReport) -> None:
    if report.findings:
        rows = [(each.kind, each.record, _what(each, report.root)) for each in report.findings]
        print_table(("found", "record", "what"), rows, left=3)
        print()
    for note in report.notes:
        print(note)
    ordered = sorted(report.classes.items(), key=lambda each: (-each[1], each[0]))
    shown = ", ".join(f"{name} {count}" for name, count in ordered[:_NAMED])
    more = f", and {len(ordered) - _NAMED} classes of fewer" if len(ordered) > _NAMED else ""
    print(f"Boxes by class: {shown or 'none'}{more}.")
    sizes = ", ".join(f"{count} {name}" for name, count in report.sizes.items())
    crowds = f"; {report.crowds} crowds besides" if report.crowds else ""
    print(f"Boxes by size: {sizes} (COCO's: areas below 32 x 32 pixels, below 96 x 96, and above){crowds}.")
    splits = ", ".join(f"{count} in {name}" for name, count in report.splits.items() if name)
    counts = ", ".join(f"{count} {kind}" for kind, count in report.counts().items())
    print(
        f"{report.layout}: {report.images} images{f' ({splits})' if splits else ''}, {report.empty} without objects, "
        f"{report.boxes} boxes of {len(report.classes)} classes, {report.seconds:.1f} s: {counts or 'nothing wrong'}."
    )


def _what(finding: BoxFinding, root: Path) -> str:
    """The message, with the file that it is about where neither it nor the record names it."""
    inside = str(finding.path).removeprefix(f"{root}/")
    return finding.message if inside in f"{finding.record} {finding.message}" else f"{finding.message} ({inside})"
