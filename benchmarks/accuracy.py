"""What the recipes reach on real images, from scratch and from trained weights.

First, `small-data` from fresh weights: EfficientNet-Lite0 at 32 pixels on 4,000 digits of MNIST, a share of which
chooses the best weights, judged once on 1,000 others. Then, on 20 images a class of the sets of grow.py ("mnist",
digits; "crops", pieces of photographs), Lite0 with its ImageNet weights by `finetune` beside Lite0 with fresh weights
by `small-data`, for equal time of the processor.
The first part also looks at the moving average of the weights: from a fifth of the training on it is to be at most two
points behind the weights themselves.
Run: python benchmarks/accuracy.py [--seeds 3] [--seconds 40] [--threads 2] [--only scratch|start]
Exit 1 when a seed is more than a point away from what docs/benchmarks.md says, the average lags, or a fresh start wins.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import grow
from triscale.data.dataset import read_dataset
from triscale.data.demo import mnist5k
from triscale.models.create import create_model
from triscale.spec.families import network
from triscale.spec.network import as_size
from triscale.training.loop import train
from triscale.training.recipes import recipe
from triscale.training.run import read_log

DOCUMENTED, POINT = 0.981, 0.01  # top-1 of the first part, and how far a seed may be from it
EARLY, BEHIND = 0.2, 0.02  # share of the training from which on the average is at most so far behind
SIDE = 32


def from_scratch(data: Path, folder: Path, seed: int) -> float:
    """Top-1 on MNIST's test digits after `small-data` from fresh weights."""
    dataset = read_dataset(data, seed=seed)
    given = recipe("small-data")
    given = replace(given, seed=seed, augmentation=replace(given.augmentation, flip=0.0))  # digits have a left side
    torch.manual_seed(seed)
    made = replace(network("efficientnet_lite0"), resolution=as_size(SIDE))
    return train(create_model(made, num_classes=10), dataset, given, folder / f"seed-{seed}").evaluation.score


def lag(run: Path) -> tuple[float, float]:
    """How far the average is behind the weights on validation images: after a fifth of the epochs, and later."""
    epochs = [each for each in read_log(run) if each["event"] == "epoch"]
    behind = [each["raw"]["top1"] - each["ema"]["top1"] for each in epochs]
    first = round(EARLY * len(behind)) - 1
    return behind[first], max(behind[first:])


def scratch(seeds: int, folder: Path) -> bool:
    """The first part; whether every seed is where it should be."""
    data, found, lags = mnist5k(folder / "mnist"), [], []
    for seed in range(seeds):
        began = time.perf_counter()
        found.append(from_scratch(data, folder, seed))
        lags.append(lag(folder / f"seed-{seed}"))
        print(
            f"  seed {seed}: {found[-1]:.2%} of 1,000 digits, {time.perf_counter() - began:.0f} s; the average was "
            f"{lags[-1][0]:+.2%} behind after a fifth, {lags[-1][1]:+.2%} at most later",
            flush=True,
        )
    ok = all(abs(each - DOCUMENTED) <= POINT for each in found)
    print(
        f"small-data from scratch, Lite0 at {SIDE} px, MNIST 5k: {statistics.mean(found):.2%} on average, "
        f"{min(found):.2%} to {max(found):.2%}; documented {DOCUMENTED:.1%} ± 1 point, "
        f"which {'holds' if ok else 'does NOT hold'}"
    )
    return ok and all(first <= BEHIND for first, _ in lags)


def start(seeds: int, seconds: float, folder: Path) -> bool:
    """The second part; whether trained weights win on every set."""
    side = (grow.SIDE, grow.SIDE)

    def fresh(classes: int) -> torch.nn.Module:
        return create_model(replace(grow.LITE0, resolution=side), num_classes=classes)

    ways = [next(iter(grow.starts([]))), grow.Start("Lite0, fresh", fresh, grow.recipe_for("small-data"))]
    ok = True
    for name, make in {"mnist": grow.digits, "crops": grow.crops}.items():
        (folder / f"start-{name}").mkdir()
        task, rates = make(folder / f"start-{name}"), {way.name: [] for way in ways}
        for seed in range(seeds):
            for way in ways:
                top1, steps = grow.trained(way, task, seed, seconds, 0)
                rates[way.name].append(top1)
                print(f"  {name}, seed {seed}: {way.name:20} {top1:6.1%} after {steps} steps", flush=True)
        means = [statistics.mean(each) for each in rates.values()]
        spread = [f"{min(each):.1%}-{max(each):.1%}" for each in rates.values()]
        print(f"{name}: with ImageNet's weights {means[0]:.1%} ({spread[0]}), fresh {means[1]:.1%} ({spread[1]})")
        ok &= means[0] > means[1]
    return ok


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of the processor, for each start")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", choices=("scratch", "start"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    ok = True
    with tempfile.TemporaryDirectory() as folder:
        if given.only != "start":
            ok &= scratch(given.seeds, Path(folder))
        if given.only != "scratch":
            ok &= start(given.seeds, given.seconds, Path(folder))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
