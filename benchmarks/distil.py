"""Does a teacher help a small network that starts from nothing? Three ways to train it, on a few real images a class.

Sets: those of benchmarks/grow.py, "mnist" and "crops", 20 images a class. The student is what `fit` chooses for the
budget where no published weights fit. The teacher is Lite0 with its published weights, at 64 pixels.

Ways: "labels alone", as many steps as `fit` takes ("small-data", at least 2,000) and, as "labels, the teacher's time",
as many as the slowest other way has time for; "answers of a tuned teacher": Lite0 is fine-tuned first (--tuned steps,
in its time), then its answers are half of the student's loss; "features of a fresh teacher": the pooled last map of
Lite0 as published, beside the labels. Seconds are the processor's, of this process, tuning included.

Run: python benchmarks/distil.py [--steps 2000] [--tuned 150] [--seeds 3] [--sets mnist crops] [--budget "macs<=3M"]
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from grow import BATCH, LITE0, PIECE, Task, _made, _pretrained, _recipe, crops, digits, endless, planned
from triscale.data.dataset import Sample
from triscale.data.loader import Batches
from triscale.fit.choose import choose
from triscale.fit.job import BASELINES, known_networks
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.spec import families
from triscale.spec.limits import parse
from triscale.spec.network import Network
from triscale.training.distillation import Distillation
from triscale.training.evaluate import evaluate, place
from triscale.training.objective import adapters_of, objective_of
from triscale.training.optim import make_optimiser
from triscale.training.prepare import prepared, training_mode
from triscale.training.recipe import Recipe
from triscale.training.step import Stepper
from triscale.training.teacher import Teacher

SIDES = {"mnist": 28, "crops": PIECE}
ALONE, LONGER, ANSWERS, FEATURES = (
    "labels alone",
    "labels, the teacher's time",
    "answers of a tuned teacher",
    "features of a fresh teacher",
)
TAUGHT = {
    ANSWERS: Distillation(weight=0.5, temperature=2.0),
    FEATURES: Distillation(weight=0.0, features=1.0, pooled=True),
}


@dataclass(frozen=True)
class Result:
    """How good a way was, and what it took: steps, seconds of the processor, and the teacher's own accuracy."""

    top1: float
    steps: int
    seconds: float
    teacher: float | None = None


def student_for(budget: str, classes: int, side: int) -> Network:
    """The network that `fit` chooses where it starts from nothing."""
    baselines = [families.network(name) for name in BASELINES]
    chosen = choose(parse(budget), classes, side, known_networks(), baselines).chosen
    assert chosen.weights is None, f"{budget}: {chosen.weights} fits; give a smaller budget"
    return chosen.network


def train(
    model: ConvNet,
    given: Recipe,
    samples: Sequence[Sample],
    classes: Sequence[str],
    steps: int,
    teacher: Teacher | None = None,
) -> None:
    """Train for so many steps, as the loop does, without its files."""
    with prepared(model, given):
        plan = planned(given, len(samples), steps)
        objective = objective_of(given, model, classes, None, teacher)
        optimiser = make_optimiser(model, given.optimiser, plan.learning_rate, given.momentum, given.weight_decay)
        if (adapters := adapters_of(objective)) is not None:
            optimiser.add_param_group({"params": list(adapters.parameters()), "weight_decay": 0.0})
        step = Stepper(model, objective, optimiser, given, plan)
        batches = Batches(samples, model.preprocessing, BATCH, augmentation=given.augmentation, seed=given.seed)
        training_mode(model, given)
        for number, (images, labels, _) in enumerate(itertools.islice(endless(batches), steps)):
            step(number, place(images, model), labels, ())


def result_of(way: str, task: Task, net: Network, seed: int, steps: int, tuned: int) -> Result:
    """Train a student in one way; the teacher's own time is its time."""
    torch.manual_seed(seed)
    given, samples = replace(_recipe("small-data"), seed=seed, distillation=TAUGHT.get(way)), task.drawn(seed)
    began = time.process_time()
    teacher, known = None, None
    if way in TAUGHT:
        master = _pretrained(LITE0, len(task.classes))
        if way == ANSWERS:
            train(master, replace(_recipe("finetune"), seed=seed), samples, task.classes, tuned)
            master.card = replace(master.card, classes=task.classes)
        teacher = Teacher.of(master)
    torch.manual_seed(seed)
    model = create_model(net)
    train(model, given, samples, task.classes, steps, teacher)
    seconds = time.process_time() - began
    if way == ANSWERS:
        known = accuracy(master, task)
    return Result(accuracy(model, task), steps, seconds, known)


def accuracy(model: ConvNet, task: Task) -> float:
    return evaluate(model, Batches(task.held_out, model.preprocessing, BATCH).epoch(0), task.classes).top1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--tuned", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--budget", default="macs<=3M")
    given = parser.parse_args()
    torch.set_num_threads(1)
    results: dict[tuple[str, str], list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        makers = {"mnist": digits, "crops": crops}
        for name in given.sets:
            task = makers[name](_made(Path(folder) / name))
            net = student_for(given.budget, len(task.classes), SIDES[name])
            print(f"{name}: {net.name} at {net.resolution[0]} px, {len(task.held_out)} held out", flush=True)
            for seed in range(given.seeds):
                ways = dict.fromkeys((ALONE, ANSWERS, FEATURES), given.steps)
                for way, steps in ways.items():
                    results.setdefault((name, way), []).append(
                        told(name, seed, way, result_of(way, task, net, seed, steps, given.tuned))
                    )
                alone, slowest = results[name, ALONE][-1], max(results[name, way][-1].seconds for way in ways)
                steps = round(given.steps * slowest / alone.seconds)
                results.setdefault((name, LONGER), []).append(
                    told(name, seed, LONGER, result_of(LONGER, task, net, seed, steps, 0))
                )
    print(f"\nPyTorch {torch.__version__}, 1 thread, {given.seeds} seeds\n{'':34}held-out accuracy, steps, seconds")
    for (name, way), found in results.items():
        rates = [each.top1 for each in found]
        print(
            f"{name:6} {way:27} {statistics.mean(rates):6.1%} ({min(rates):.1%}-{max(rates):.1%}) "
            f"{statistics.median(each.steps for each in found):6.0f} "
            f"{statistics.median(each.seconds for each in found):6.0f}"
        )


def told(name: str, seed: int, way: str, result: Result) -> Result:
    own = "" if result.teacher is None else f", the teacher itself {result.teacher:.1%}"
    print(f"  seed {seed}  {name:6} {way:27} {result.top1:6.1%}  {result.steps} steps, {result.seconds:.0f} s{own}")
    return result


if __name__ == "__main__":
    main()
