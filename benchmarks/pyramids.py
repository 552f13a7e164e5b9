"""The pyramids, the three fusions, and BiFPN's own steps one by one, on real images at equal MACs.

Lite0 with its ImageNet weights as the backbone, 256 pixels, on digits on photographs (triscale.data.scenes), judged on
photographs that were in no training image. Every way gets as many channels as bring it nearest to the MACs of BiFPN,
and the same recipe, steps and seeds. Papers' own fusions are sums, so all sum but where the fusions are compared.

A way that was trained is not trained again: the same command goes on where it stopped. --only trains some of them.
Run: python benchmarks/pyramids.py [--out runs/pyramids] [--epochs 10] [--seeds 2] [--size 256] [--images 1000]
                                   [--channels 64] [--threads 2] [--only "bifpn;fpn"]
Each takes up to eight minutes; --epochs 1 --seeds 1 --images 60 --only "bifpn;fpn" shows that it works.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from triscale.data.detection.read import read_boxes
from triscale.data.scenes import SPLITS, write_scenes
from triscale.detection.create import create_detector
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import detector
from triscale.spec.files import read_json
from triscale.spec.network import as_size
from triscale.spec.pyramid import Pyramid
from triscale.spec.pyramids import PYRAMIDS, bifpn, bifpn_steps
from triscale.training.loop import train
from triscale.training.progress import PlainProgress
from triscale.training.recipes import recipe

REPEATS = 3
STEP = 8  # channels are multiples of it
# What shows edges in photographs shows them here too; with it at rest, a step takes two thirds of the time.
RESTING = ("backbone.stem", "backbone.stages.0", "backbone.stages.1")
# One map alone has to hold the sizes that the others share among their levels: those of levels 3 to 5.
ONE_MAP_OCTAVES = tuple(each / 3 for each in range(-6, 3))


@dataclass(frozen=True)
class Way:
    """What is compared: a detector, and in which part of the table it stands."""

    part: str
    detector: Detector
    macs: int


def ways(size: int, channels: int) -> dict[str, Way]:
    """All that is compared, by name; a way that two parts need is there once."""
    base = detector("efficientdet_lite0")
    base = replace(base, backbone=replace(base.backbone, resolution=as_size(size)), classes=10)

    def made(pyramid: Pyramid) -> Detector:
        octaves = ONE_MAP_OCTAVES if pyramid.kind == "one_map" else base.anchors.octaves
        return replace(base, pyramid=pyramid, anchors=replace(base.anchors, octaves=octaves))

    wanted = cost(made(bifpn(channels, REPEATS, fusion="sum", activation="relu6"))).macs

    def matched(pyramid: Pyramid) -> Detector:
        sizes = [replace(pyramid, channels=each) for each in range(STEP, 8 * channels, STEP)]
        return min(map(made, sizes), key=lambda each: abs(cost(each).macs - wanted))

    found: dict[str, tuple[str, Pyramid]] = {}
    for name, make in PYRAMIDS.items():
        found[name] = "pyramids", make(channels, REPEATS, (3, 7), "sum", "relu6")
    for fusion in ("fast", "softmax"):
        found[f"bifpn, {fusion}"] = "fusions", bifpn(channels, REPEATS, fusion=fusion, activation="relu6")
    for name, pyramid in bifpn_steps(channels, REPEATS, fusion="sum", activation="relu6").items():
        if name != "repeated":  # that is BiFPN, which is there
            found[f"once: {name}"] = "steps", pyramid
    chosen = {name: (part, matched(pyramid)) for name, (part, pyramid) in found.items()}
    return {name: Way(part, each, cost(each).macs) for name, (part, each) in chosen.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pyramids"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--images", type=int, default=SPLITS["train"])
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = write_scenes(given.out / "scenes", 0, {**SPLITS, "train": given.images})
    compared = ways(given.size, given.channels)
    names = [each.strip() for each in given.only.split(";") if each.strip()] or list(compared)
    if unknown := [name for name in names if name not in compared]:
        raise SystemExit(f"--only: {', '.join(unknown)} is none of {'; '.join(compared)}")
    figures: dict[str, list[Mapping[str, float]]] = {name: [] for name in names}
    for seed in range(given.seeds):  # seed by seed, so that a part of the table is a fair one
        for name in names:
            figures[name].append(trained(compared[name].detector, data, given, name, seed))
            print(line(name, compared[name], figures[name]), flush=True)
    print(f"\n{given.images} images, {given.epochs} epochs, {given.size} px, {given.seeds} seeds; test photographs")
    print(f"{'':28} channels  GMACs  params M    mAP  spread   mAP50  seconds")
    for part in ("pyramids", "fusions", "steps"):
        for name in names:
            if compared[name].part == part or (part != "pyramids" and name == "bifpn"):
                print(line(name, compared[name], figures[name]))
        print()


def trained(wanted: Detector, data: Path, given: argparse.Namespace, name: str, seed: int) -> Mapping[str, float]:
    """What a way reaches on the test images with this seed; from its run where that is done."""
    torch.manual_seed(seed)
    own = replace(recipe("detection"), epochs=given.epochs, least_steps=0, seed=seed, freeze=RESTING)
    settings = own.detection
    own = replace(own, detection=replace(settings, augmentation=replace(settings.augmentation, flip=0.0)))
    model = create_detector(wanted, "pretrained")
    asked = f"{given.images}-images-{given.epochs}-epochs-{given.size}-px-{given.channels}-channels"
    folder = given.out / asked / f"{name.replace(': ', '-').replace(', ', '-').replace(' ', '_')}-{seed}"
    if (folder / "metrics.json").exists():  # written last
        return read_json(folder / "metrics.json")
    return train(model, read_boxes(data), own, folder, PlainProgress()).metrics


def line(name: str, way: Way, found: list[Mapping[str, float]]) -> str:
    maps = [each["map"] for each in found]
    seconds = max(each["seconds"] for each in found)
    params = cost(way.detector).params / 1e6
    return (
        f"{name:28} {way.detector.pyramid.channels:8} {way.macs / 1e9:6.3f} {params:9.2f} {statistics.mean(maps):6.1%} "
        f"{max(maps) - min(maps):7.1%} {statistics.mean(each['map50'] for each in found):7.1%} {seconds:8.0f}"
    )


if __name__ == "__main__":
    main()
