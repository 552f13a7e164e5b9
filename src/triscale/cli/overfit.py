"""`triscale train --overfit N`: whether a few images can be learnt at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from triscale.cli.output import print_json

if TYPE_CHECKING:
    from triscale.cli.subject import Subject
    from triscale.training.recipe import Recipe

SHOWN = 5  # findings


def overfit_few(
    subject: Subject, data: str, recipe: Recipe, count: int, device: Literal["auto", "cpu", "cuda"], json: bool
) -> int:
    """Train a detector on so many images, judge it on the same ones, and say what that means; no run is written.

    Records that cannot be used are left out, and told among the faults of the data.
    Returns: 1 where the data is to be looked at, else 0.
    """
    import torch

    from triscale.data.detection.check import check_boxes
    from triscale.data.detection.read import read_boxes
    from triscale.detection.detector import DetectorNet
    from triscale.training.detection.overfit import overfit
    from triscale.training.device import chosen_device
    from triscale.training.progress import choose_progress

    progress = choose_progress()
    progress.say(f"checking {data}")
    report = check_boxes(data)
    dataset = read_boxes(data, seed=recipe.seed, skip_broken=True)
    torch.manual_seed(recipe.seed)
    model = subject.make(len(dataset.classes), None, progress.say).to(chosen_device(device))
    assert isinstance(model, DetectorNet)
    found = overfit(model, dataset, recipe, count, report.findings, progress)
    if json:
        counts = report.counts()
        told = {
            "images": found.images,
            "objects": found.objects,
            "map50": found.map50,
            "seen": found.seen,
            "unseen": found.unseen,
            "steps": found.steps,
        }
        print_json({**told, "seconds": found.seconds, "findings": counts, "verdict": found.verdict()})
        return 1 if found.broken else 0
    print(found.verdict())
    for finding in found.findings[:SHOWN]:
        print(f"  {finding.kind}: {finding.said()}")
    if len(found.findings) > SHOWN:
        print(f"  and {len(found.findings) - SHOWN} more; `triscale data check {data}` names them all")
    print(f"{found.objects} objects, {found.steps} steps, {found.seconds:.0f} s; no run was written")
    return 1 if found.broken else 0
