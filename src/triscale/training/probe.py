"""A short training in a process of its own, so that memory which runs out ends nothing but this: see `batch_size`.

Run: python -m triscale.training.probe REQUEST.json
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from triscale.data.dataset import Dataset, Sample
from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.detection.files import load
from triscale.errors import TriscaleError
from triscale.models.model import Model
from triscale.modules.factory import load_factory
from triscale.training.batch_size import DID_NOT_FIT
from triscale.training.loop import train
from triscale.training.out_of_memory import is_out_of_memory
from triscale.training.recipe import Recipe
from triscale.training.room import usage
from triscale.training.task import AnyDataset


def main(file: Path) -> int:
    """Train as the request says, and print what it took. Returns: 0, 2 for a wrong input, 3 where memory ran out."""
    offer_to_be_killed()
    try:
        told = _measure(file)
    except BaseException as error:
        if is_out_of_memory(error):
            return DID_NOT_FIT
        if isinstance(error, TriscaleError):
            print(error)
            return 2
        traceback.print_exc()
        return 1
    print(json.dumps(told))
    return 0


def _measure(file: Path) -> dict[str, object]:
    folder, request = file.parent, json.loads(file.read_text())
    device = torch.device(request["device"])
    model = _model(folder / "model.safetensors", request["factory"]).to(device)
    recipe = Recipe.from_table(request["recipe"])
    dataset = _dataset(folder, request, recipe.batch_size)
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    before = usage()[0]
    train(model, dataset, recipe, folder / request["run"])
    return {
        "before": dataclasses.asdict(before),
        "most": dataclasses.asdict(usage()[1]),
        "device_most": torch.cuda.max_memory_reserved(device) if free else 0,
        "device_free": free,
    }


def _dataset(folder: Path, request: dict[str, Any], judged: int) -> AnyDataset:
    """The images that were copied; so many of them are judged after the training."""
    classes = tuple(str(number) for number in range(request["classes"]))
    if not request["boxed"]:
        samples = tuple(Sample(folder / name, label) for name, label in request["samples"])
        return Dataset(folder, classes, samples, samples[:judged], (), fingerprint="")
    boxed = tuple(
        BoxSample(folder / name, tuple(size), tuple(BoxLabel(*box) for box in boxes))
        for name, (size, boxes) in request["samples"]
    )
    return BoxDataset(folder, classes, boxed, boxed[:judged], (), fingerprint="")


def _model(path: Path, factory: str) -> Model:
    return load(path, load_factory(factory)) if factory else load(path)


def offer_to_be_killed() -> None:
    """Where the kernel must end a process for want of memory, it should be this one."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
