"""Does a teacher help a network that is too small for published weights? Equal time with one and without.

Images are those of benchmarks/grow.py, at 64 pixels. The network is Lite0 at 0.6 x width and 0.6 x depth with fresh
weights. "alone" trains it for all of the time by the recipe "small-data". "taught" first fine-tunes Lite0's published
weights on the same images for a share of the time, and trains the network for the rest of it by the same recipe, with
the fine-tuned one as its teacher, at the given weight of the teacher's answers and temperature 2. A step with a teacher
takes longer, so that there are fewer of them. Time is the processor's, of this process.

Run: python benchmarks/distil.py [--seconds 60] [--seeds 3] [--sets mnist crops] [--share 0.3] [--weights 0.5 0.9]
                                 [--threads 1]
That takes 18 minutes; --seconds 5 --seeds 1 shows that it works.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import grow
from triscale.data.loader import Batches
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.files import save
from triscale.spec.scaling import scale
from triscale.training.distillation import Distillation, Distilled
from triscale.training.evaluate import evaluate
from triscale.training.objective import Supervised

SMALL = replace(scale(grow.LITE0, depth=0.6, width=0.6), resolution=(grow.SIDE, grow.SIDE))


def judged(model: ConvNet, task: grow.Task) -> float:
    """Accuracy on the held-out images."""
    return evaluate(model, Batches(task.held_out, model.preprocessing, grow.BATCH).epoch(0), task.classes).top1


def fresh(task: grow.Task, seed: int) -> ConvNet:
    """The small network, read as Lite0 is."""
    torch.manual_seed(seed)
    return create_model(SMALL, num_classes=len(task.classes))


def alone(task: grow.Task, seed: int, seconds: float) -> tuple[float, int]:
    """(accuracy, steps) without a teacher."""
    model = fresh(task, seed)
    steps = grow.train_for(model, replace(grow.recipe_for("small-data"), seed=seed), task.drawn(seed), seconds)
    return judged(model, task), steps


def teacher(task: grow.Task, seed: int, seconds: float, path: Path) -> float:
    """Fine-tune Lite0 for so long, write it, and return its accuracy."""
    torch.manual_seed(seed)
    model = grow.pretrained(grow.LITE0, len(task.classes))
    grow.train_for(model, replace(grow.recipe_for("finetune"), seed=seed), task.drawn(seed), seconds)
    model.card = replace(model.card, classes=task.classes)
    save(model.eval(), path)
    return judged(model, task)


def taught(task: grow.Task, seed: int, seconds: float, path: Path, weight: float) -> tuple[float, int]:
    """(accuracy, steps) with the teacher in a file."""
    model, given = fresh(task, seed), replace(grow.recipe_for("small-data"), seed=seed)
    labels = Supervised(given.label_smoothing)
    objective = Distilled(labels, model, Distillation(str(path), weight=weight), task.classes, seed)
    steps = grow.train_for(model, given, task.drawn(seed), seconds, objective=objective)
    return judged(model, task), steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time, the teacher's included")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=["mnist", "crops"], default=["mnist", "crops"])
    parser.add_argument("--share", type=float, default=0.3, help="of the time, for the teacher")
    parser.add_argument("--weights", nargs="+", type=float, default=[0.5, 0.9])
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        makers = {"mnist": grow.digits, "crops": grow.crops}
        tasks = {name: makers[name](grow.made(Path(folder) / name)) for name in given.sets}
        for seed, (name, task) in itertools.product(range(given.seeds), tasks.items()):
            path = Path(folder) / f"{name}-{seed}.safetensors"
            found = {"alone": alone(task, seed, given.seconds)}
            found["the teacher"] = (teacher(task, seed, given.share * given.seconds, path), 0)
            for weight in given.weights:
                rest = (1 - given.share) * given.seconds
                found[f"taught, weight {weight:g}"] = taught(task, seed, rest, path, weight)
            for way, (top1, steps) in found.items():
                results.setdefault((way, name), []).append(top1)
                print(f"  seed {seed}  {name:6} {way:18} {top1:6.1%}  {steps or ''}", flush=True)
    print(f"\nPyTorch {torch.__version__}, {given.threads} threads, {given.seconds:g} s, {grow.SIDE} px\n")
    for (way, name), rates in results.items():
        print(f"{name:6} {way:18} {statistics.mean(rates):6.1%}  {min(rates):.1%}-{max(rates):.1%}")


if __name__ == "__main__":
    main()
