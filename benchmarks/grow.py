"""Does growing help? Ways to start the same network, trained for equal time on a few real images of each class.

Sets: "mnist", handwriting, 20 images a class and 500 others to judge by; "crops", 18 photographs and textures of
scikit-image and scikit-learn, which one must be told from a grey piece of 32 x 32 pixels, 20 of each and 540 others
from parts of the photographs that were never trained on. Both are shown at 64 pixels.

Shapes: "wider", Lite0 at 1.2 x width and 1.4 x depth, and "lite1". Starts: Lite0 as it is, trained on; the shape grown
from it; the shape with fresh weights (by the recipe for those, "small-data"); with fresh weights but for the overlap
with Lite0's; and, for Lite1's shape, its own published weights. All others take the recipe "finetune". Each start gets
as many steps as fit into its time, counted on a few steps before, so that its learning rate has run down at the end.
The seed draws training images, their order, and what is fresh. Starts take turns within a seed. Time is the
processor's, of this process: what else the machine does takes nothing from any start.

With --steps every start takes so many steps instead, however long they take: `fit` trains by steps, so that this is
what it has to decide by.

Run: python benchmarks/grow.py [--seconds 60 | --steps 300] [--seeds 3] [--sets mnist crops] [--shapes wider lite1]
                               [--threads 1]
That takes 50 minutes; --seconds 5 --seeds 1 shows that it works.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from triscale.data.augment import Augmentation
from triscale.data.dataset import Sample
from triscale.data.demo import mnist5k
from triscale.data.loader import Batch, Batches
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.grow import grow
from triscale.spec.families import network
from triscale.spec.network import Network
from triscale.spec.scaling import scale
from triscale.training.answer import Objective
from triscale.training.evaluate import evaluate, place
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import Plan, plan_of
from triscale.training.prepare import prepared, training_mode
from triscale.training.recipe import Recipe
from triscale.training.recipes import recipe
from triscale.training.step import Stepper

SIDE, PER_CLASS = 64, 20
JUDGED = {"mnist": 50, "crops": 30}  # held-out images of each class
PIECE, BANDS = 32, 8  # pixels of a crop; bands of a photograph, every other one held out
LEAST_CONTRAST = 12.0  # grey levels (standard deviation) below which a crop shows nothing
BATCH, TIMED_STEPS = 64, 4
LITE0 = network("tf_efficientnet_lite0")
SHAPES = {"wider": scale(LITE0, depth=1.4, width=1.2), "lite1": network("tf_efficientnet_lite1")}
SKIMAGE = ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png",
           "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png",
           "retina.jpg", "rocket.jpg", "text.png")  # fmt: skip
SKLEARN = ("china.jpg", "flower.jpg")


@dataclass(frozen=True)
class Task:
    """Images of each class to train on, of which a seed draws PER_CLASS, and those to judge by."""

    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]

    def drawn(self, seed: int) -> list[Sample]:
        """PER_CLASS training images of each class."""
        dice = np.random.default_rng(seed)
        chosen: list[Sample] = []
        for label in range(len(self.classes)):
            own = [sample for sample in self.train if sample.label == label]
            chosen += [own[i] for i in dice.permutation(len(own))[:PER_CLASS]]
        return chosen


@dataclass(frozen=True)
class Start:
    """A way to begin: a maker of the model for so many classes, and the recipe that suits it."""

    name: str
    make: Callable[[int], ConvNet]
    recipe: Recipe


def digits(folder: Path) -> Task:
    """MNIST 5k: any training digit, and the first of its test digits."""
    root = mnist5k(folder)
    classes = tuple(str(digit) for digit in range(10))

    def samples(split: str, most: int) -> tuple[Sample, ...]:
        files = [sorted((root / split / name).iterdir())[:most] for name in classes]
        return tuple(Sample(path, label) for label, own in enumerate(files) for path in own)

    return Task(classes, samples("train", 400), samples("test", JUDGED["mnist"]))


def crops(folder: Path) -> Task:
    """Grey pieces of photographs: training and held-out ones come from different bands of each."""
    files = [_data("skimage", "data") / name for name in SKIMAGE]
    files += [_data("sklearn", "datasets") / "images" / name for name in SKLEARN]
    dice = np.random.default_rng(0)
    train, held_out = [], []
    for label, file in enumerate(files):
        pixels = np.asarray(Image.open(file).convert("L"), dtype=np.float32)
        for split, samples, count in (("train", train, 4 * PER_CLASS), ("test", held_out, JUDGED["crops"])):
            for number in range(count):
                path = folder / f"{split}-{file.stem}-{number:03d}.png"
                Image.fromarray(_piece(pixels, split == "test", dice)).save(path)
                samples.append(Sample(path, label))
    return Task(tuple(file.stem for file in files), tuple(train), tuple(held_out))


def _data(package: str, folder: str) -> Path:
    found = find_spec(package)
    assert found is not None and found.origin is not None, f"{package} is not installed"
    return Path(found.origin).parent / folder


def _piece(pixels: np.ndarray, held_out: bool, dice: np.random.Generator) -> np.ndarray:
    """(PIECE, PIECE) uint8 of one mean and contrast, turned at random, from a band along the longer side."""
    long = pixels if pixels.shape[1] >= pixels.shape[0] else pixels.T
    height, width = long.shape
    band = width // BANDS
    while True:
        left = band * (2 * int(dice.integers(BANDS // 2)) + held_out) + int(dice.integers(band - PIECE + 1))
        top = int(dice.integers(height - PIECE + 1))
        piece = long[top : top + PIECE, left : left + PIECE]
        if piece.std() >= LEAST_CONTRAST:
            break
    piece = np.rot90(piece, int(dice.integers(4)))
    return (128 + 50 * (piece - piece.mean()) / piece.std()).clip(0, 255).astype(np.uint8)


def starts(shapes: list[str]) -> Iterator[Start]:
    """Every way to begin, the ungrown baseline first."""
    tuned, fresh = recipe_for("finetune"), recipe_for("small-data")
    yield Start("Lite0, trained on", lambda classes: pretrained(LITE0, classes), tuned)
    for shape in shapes:
        target = replace(SHAPES[shape], resolution=(SIDE, SIDE))

        def grown(classes: int, target: Network = target) -> ConvNet:
            return grow(pretrained(LITE0, classes), replace(target, classes=classes))

        def overlap(classes: int, target: Network = target) -> ConvNet:
            return with_overlap(pretrained(LITE0, classes), replace(target, classes=classes))

        def nothing(classes: int, target: Network = target) -> ConvNet:
            return create_model(target, num_classes=classes)

        yield Start(f"{shape}, grown from Lite0", grown, tuned)
        yield Start(f"{shape}, fresh", nothing, fresh)
        yield Start(f"{shape}, only the overlap copied", overlap, tuned)
        if shape == "lite1":
            yield Start("lite1, its published weights", lambda classes: pretrained(SHAPES["lite1"], classes), tuned)


def pretrained(net: Network, classes: int) -> ConvNet:
    """Published weights at SIDE pixels under a fresh classifier."""
    return create_model(replace(net, resolution=(SIDE, SIDE), classes=classes), "pretrained")


def recipe_for(name: str) -> Recipe:
    """Neither digits nor turned pieces may be mirrored for free, and little of a small image can be spared."""
    return replace(
        recipe(name), batch_size=BATCH, augmentation=Augmentation(crop_area=(0.7, 1.0), flip=0.0), ema_decay=0.0
    )


@torch.no_grad()
def with_overlap(small: ConvNet, target: Network) -> ConvNet:
    """A fresh model of `target` whose tensors begin as those of the small one, as far as these reach."""
    large = create_model(target)
    large.preprocessing = replace(small.preprocessing, size=target.resolution)
    tensors = large.state_dict()
    for key, tensor in small.state_dict().items():
        tensors[key][tuple(slice(length) for length in tensor.shape)] = tensor
    large.set_numerics(small.network.numerics)
    return large


def endless(batches: Batches) -> Iterator[Batch]:
    """Epoch after epoch."""
    for number in itertools.count():
        yield from batches.epoch(number)


def planned(given: Recipe, images: int, steps: int) -> Plan:
    """The recipe's plan, stretched to so many steps with as large a share of warm-up."""
    warmup = round(steps * given.warmup_epochs / given.epochs)
    return replace(plan_of(given, images), total_steps=steps, warmup_steps=min(warmup, steps // 2))


def trained(start: Start, task: Task, seed: int, seconds: float, steps: int) -> tuple[float, int]:
    """(accuracy on the held-out images, steps) of a start that trains for so long, or for so many steps above 0."""
    torch.manual_seed(seed)
    model = start.make(len(task.classes))
    given, samples = replace(start.recipe, seed=seed), task.drawn(seed)
    steps = train_for(model, given, samples, seconds, steps)
    found = evaluate(model, Batches(task.held_out, model.preprocessing, BATCH).epoch(0), task.classes)
    return found.top1, steps


def train_for(
    model: ConvNet,
    given: Recipe,
    samples: list[Sample],
    seconds: float,
    steps: int = 0,
    objective: Objective | None = None,
) -> int:
    """Train for so long, or for so many steps above 0, so that the learning rate has run down. Returns: the steps."""
    with prepared(model, given):
        batches = endless(
            Batches(samples, model.preprocessing, BATCH, augmentation=given.augmentation, seed=given.seed)
        )
        end = 0.0
        if not steps:
            state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            trial = planned(given, len(samples), 10**6)
            per_step = run(model, given, batches, trial, TIMED_STEPS, 0.0, objective) / TIMED_STEPS
            model.load_state_dict(state)
            steps, end = max(1, int(0.98 * seconds / per_step)), time.process_time() + 1.1 * seconds
        run(model, given, batches, planned(given, len(samples), steps), steps, end, objective)
    return steps


def run(
    model: ConvNet,
    given: Recipe,
    batches: Iterator[Batch],
    plan: Plan,
    steps: int,
    end: float = 0.0,
    objective: Objective | None = None,
) -> float:
    """Train for so many steps, or until `end` (0 for none). Returns: seconds, as if the first step took no longer.

    objective: in place of the recipe's labels.
    """
    optimiser = make_optimiser(model, given.optimiser, plan.learning_rate, given.momentum, given.weight_decay)
    step = Stepper(model, objective or Supervised(given.label_smoothing), optimiser, given, plan)
    training_mode(model, given)
    began = time.process_time()
    for number in range(steps):
        images, labels, _ = next(batches)
        step(number, place(images, model), labels, ())
        if end and time.process_time() > end:
            break
        if number == 0:  # it also makes the optimiser's state
            began = time.process_time()
    return (time.process_time() - began) * steps / max(1, steps - 1)


def table(results: dict[tuple[str, str], list[tuple[float, int]]], sets: list[str], seeds: int) -> str:
    """Mean and spread of every start on every set."""
    head = "".join(f"{name + ': mean':>16} {'lowest-highest':>15} {'steps':>6}" for name in sets)
    lines = [f"{'held-out accuracy':34}{head}"]
    for name in dict.fromkeys(start for start, _ in results):
        cells = ""
        for each in sets:
            rates, steps = zip(*results[name, each], strict=True)
            spread = f"{min(rates):.1%}-{max(rates):.1%}"
            cells += f"{statistics.mean(rates):16.1%} {spread:>15} {statistics.median(steps):6.0f}"
        lines.append(f"{name:34}{cells}")
    return "\n".join([*lines, f"{seeds} seeds; steps: median"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time, for each start's training")
    parser.add_argument(
        "--steps", type=int, default=0, help="the same number for every start, instead of the same time"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=list(JUDGED), default=list(JUDGED))
    parser.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results: dict[tuple[str, str], list[tuple[float, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        makers = {"mnist": digits, "crops": crops}
        tasks = {name: makers[name](made(Path(folder) / name)) for name in given.sets}
        for name, task in tasks.items():
            print(f"{name}: {len(task.classes)} classes, {PER_CLASS} images of each, {len(task.held_out)} held out")
        for seed, name, start in itertools.product(range(given.seeds), given.sets, list(starts(given.shapes))):
            top1, steps = trained(start, tasks[name], seed, given.seconds, given.steps)
            results.setdefault((start.name, name), []).append((top1, steps))
            print(f"  seed {seed}  {name:6} {start.name:34} {top1:6.1%}  {steps} steps", flush=True)
    length = f"{given.steps} steps" if given.steps else f"{given.seconds:g} s of training"
    print(f"\nPyTorch {torch.__version__}, {given.threads} threads, {length} each, {SIDE} px\n")
    print(table(results, given.sets, given.seeds))


def made(folder: Path) -> Path:
    """The folder, which is now there."""
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
