"""`triscale data anchors`: the objects of a data set that a detector's anchors reach, and anchors fitted to them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts

from triscale.cli.names import resolve_detector
from triscale.cli.output import print_json, print_table
from triscale.errors import SpecError

if TYPE_CHECKING:
    from triscale.data.detection.anchors import AnchorReport, Missed

_SHOWN = 10  # missed objects of a kind
_WHY = {
    "small": "smaller than every anchor: images larger in the network's input (--size) would help",
    "large": "larger than every anchor: a coarser level of the pyramid would help",
    "shape": "too thin or too wide for every anchor",
}


def anchors(
    data: str,
    *,
    detector: str = "efficientdet_d0",
    pixels: Annotated[tuple[int, ...], cyclopts.Parameter(name="--size", consume_multiple=True)] = (),
    write: Path | None = None,
    json: Annotated[bool, cyclopts.Parameter(name="--json", negative=())] = False,
) -> int:
    """Fit a detector's anchors to the training boxes of a data set, as they are in the network's input.

    Tells the best possible recall, the share of objects that some anchor overlaps by at least a half, with the
    detector's own anchors and with as many fitted ones, and lists objects that no anchor can reach.

    Example: triscale data anchors instances.json --detector efficientdet_lite0 --write fitted.json

    Parameters
    ----------
    data
        a set with boxes: COCO JSON, a folder with it, Pascal VOC or YOLO
    detector
        whose anchors and pyramid are meant: a name, or a detector file
    pixels
        size of the network's input: one number, or height and width; by default the detector's own
    write
        a detector file with the fitted anchors, for `triscale train FILE DATA`
    json
        print the report as JSON
    """
    from triscale.data.detection.anchors import anchor_report
    from triscale.data.detection.read import read_boxes
    from triscale.spec.files import write_network
    from triscale.spec.network import as_size

    if len(pixels) > 2:
        raise SpecError(f"--size takes one number or height and width, got {len(pixels)} numbers.")
    if write is not None and write.suffix != ".json":
        raise SpecError(f"--write writes a detector file, got {write.name!r}; give a name that ends in .json.")
    made, size = resolve_detector(detector), as_size((pixels[0], pixels[-1])) if pixels else None
    report = anchor_report(read_boxes(data, verify=False), made, size)
    if write is not None:
        write_network(report.fitted(), write)
    if json:
        print_json(anchors_to_dict(report))
    else:
        _print(report)
        if write is not None:
            print(f"\nwritten: {write}, a detector with the fitted anchors at that size")
    return 0


def anchors_to_dict(report: AnchorReport) -> dict[str, Any]:
    """The report as JSON knows it; shares of no objects are null."""
    fit = report.fit
    return {
        "detector": report.detector.name,
        "size": list(report.size),
        "images": report.images,
        "objects": report.objects,
        "before": dataclasses.asdict(fit.before),
        "after": dataclasses.asdict(fit.after),
        "reach": [
            {**dataclasses.asdict(each), "before": _or_none(each.before), "after": _or_none(each.after)}
            for each in fit.reach
        ],
        "overlap_before": fit.overlap_before,
        "overlap_after": fit.overlap_after,
        "missed": [_missed_to_dict(each) for each in report.missed],
    }


def _missed_to_dict(each: Missed) -> dict[str, Any]:
    return {
        "image": str(each.sample.path),
        "record": each.sample.record,
        "box": list(each.box[:4]),
        "in_input": [each.width, each.height],
        "fault": each.fault,
    }


def _or_none(share: float) -> float | None:
    return None if math.isnan(share) else share


def _print(report: AnchorReport) -> None:
    fit = report.fit
    height, width = report.size
    print(f"{report.objects} objects of {report.images} training images, in an input of {width} x {height} pixels.")
    print()
    rows = [(each.size, str(each.objects), _share(each.before), _share(each.after)) for each in fit.reach]
    print_table(("objects", "number", f"{report.detector.name}", "fitted"), rows)
    print(f"mean overlap with the best anchor: {fit.overlap_before:.3f}, fitted {fit.overlap_after:.3f}")
    print()
    if fit.after == fit.before:
        print("The detector's own anchors stay: none were found that reach more of these objects.")
    else:
        print(f"fitted: {fit.after}")
    for kind, why in _WHY.items():
        of_kind = [each for each in report.missed if each.fault == kind]
        if of_kind:
            print(f"\n{len(of_kind)} object{'s are' if len(of_kind) > 1 else ' is'} {why}.")
            for each in of_kind[:_SHOWN]:
                where = each.sample.record or Path(str(each.sample.path)).name
                x1, y1, x2, y2 = each.box[:4]
                print(f"  {each.width:.0f} x {each.height:.0f} pixels: {where}, ({x1:g}, {y1:g}, {x2:g}, {y2:g})")
            if len(of_kind) > _SHOWN:
                print(f"  and {len(of_kind) - _SHOWN} more (--json has all)")


def _share(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"
