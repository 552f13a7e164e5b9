"""`triscale train`: one network on one data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.output import print_json
from triscale.cli.subject import Subject, subject_of
from triscale.errors import TrainingError
from triscale.spec.files import read_json

if TYPE_CHECKING:
    from triscale.training.recipe import Recipe
    from triscale.training.result import TrainResult


def train(
    name: str,
    data: str,
    *,
    out: Path | None = None,
    weights: str | None = None,
    grow_from: str | None = None,
    recipe: str | None = None,
    config: Path | None = None,
    changes: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    epochs: int | None = None,
    batch_size: Annotated[int | Literal["auto"] | None, Parameter(name=["--batch-size", "--batch"])] = None,
    learning_rate: float | None = None,
    pixels: Annotated[int | None, Parameter(name="--size")] = None,
    depth: float | None = None,
    width: float | None = None,
    to: str | None = None,
    no_mirror: bool = False,
    freeze: tuple[str, ...] = (),
    teacher: str | None = None,
    seed: int | None = None,
    skip_broken: bool = False,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    deterministic: bool = False,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train a network on images. The same command again goes on where it stopped.

    Example: triscale train efficientnet_lite0 photos --weights pretrained --size 64

    Parameters
    ----------
    name
        a name from `triscale list`, a network file, a model file, a run's folder, hf://OWNER/REPO with its weights, or
        your own code as file.py:factory
    data
        an image folder, a CSV, or shards (their folder, a pattern such as train-{000..009}.tar, URLs)
    out
        the run's folder; runs/DATA-NAME by default
    weights
        "pretrained" for those that an installed package carries, a file, or hf://OWNER/REPO; fresh ones by default
    grow_from
        begin as the same function as a smaller model of the family, with its weights: a run's folder, a model file, or
        a name with pretrained weights
    recipe
        a name from `triscale recipe`; by default finetune with weights, else small-data
    config
        a TOML file with a [recipe] table, as a run writes it; with --recipe, only what the file says is changed
    changes
        KEY=VALUE for any key of the recipe, as often as needed: --set schedule=constant --set augmentation.flip=0.0
    epochs
        passes over the training images
    batch_size
        images a step; auto keeps the recipe's, and chooses how many of them go through the network at once, so that
        memory never runs out
    learning_rate
        peak, at a batch of 256
    pixels
        side of the images that the network sees; its own by default, 224 for code of yours
    depth
        multiplier of the depth of a module of your own
    width
        multiplier of its channels
    to
        a budget that it is scaled to: params, macs, activations, memory
    no_mirror
        left and right differ here (digits, text, road signs): never mirror an image
    freeze
        a part that does not learn, such as stem or stages.0; as often as needed
    teacher
        a trained model to learn from as well: a run's folder, a model file, or a name with pretrained weights
    seed
        of the split, the order of images, augmentation and fresh weights; the recipe's by default
    skip_broken
        go on without images that cannot be read
    device
        where to train; auto takes a GPU where there is one
    deterministic
        the same bits in each run on a GPU too, more slowly; a CPU always gives them
    json
        print the figures as JSON at the end
    """
    subject = subject_of(name, weights, grow_from, pixels, (depth, width, to))
    folder = run_folder(out, data, subject.name)
    from triscale.cli.recipe import read_recipe, with_options

    wanted = recipe or (None if config else "finetune" if subject.starts_trained else "small-data")
    auto = batch_size == "auto"
    size = None if batch_size == "auto" else batch_size
    given: dict[str, object] = {"seed": seed, "epochs": epochs, "batch_size": size}
    given |= {"learning_rate": learning_rate, "freeze": freeze or None, "teacher": teacher}
    given |= {"deterministic": deterministic or None}
    chosen = with_options(read_recipe(wanted, config, changes, subject.name), given, changes, mirror=not no_mirror)
    _train(subject, data, chosen, folder, _Options(skip_broken, auto, device, json))
    return 0


class _Options(NamedTuple):
    """How to train, beside the recipe, and what to print at the end."""

    skip_broken: bool
    auto: bool
    device: Literal["auto", "cpu", "cuda"]
    json: bool


def _train(subject: Subject, data: str, recipe: Recipe, folder: Path, options: _Options) -> None:
    """Train in the run's folder, or say that it is done."""
    import torch

    from triscale.data.dataset import read_dataset
    from triscale.data.find import location
    from triscale.training.batch_size import train_with_what_fits
    from triscale.training.device import chosen_device
    from triscale.training.distillation import teacher_arguments
    from triscale.training.loop import require_splits, train
    from triscale.training.progress import choose_progress
    from triscale.training.together import open_run
    from triscale.training.world import joined, world_from

    place = chosen_device(options.device)
    progress = choose_progress(quiet=not world_from(os.environ).is_main)
    dataset = read_dataset(data, seed=recipe.seed, skip_broken=options.skip_broken)
    require_splits(dataset)
    torch.manual_seed(recipe.seed)
    asked = {"data": location(data), "recipe": recipe.to_table(), "skip_broken": options.skip_broken}
    asked |= {**subject.arguments, **teacher_arguments(recipe.distillation)}
    if options.auto:
        asked["batch"] = "auto"
    if options.auto and not world_from(os.environ).is_alone:
        raise TrainingError("--batch-size auto measures with one process; give several processes a number.")
    with joined() as world, open_run(world, folder, "train", asked, dataset.fingerprint) as run:
        if run.is_done:
            progress.say(f"{folder}: is done already")
        else:
            made = subject.make(len(dataset.classes), folder if run.writes else None, progress.say)
            for note in dataset.notes:
                progress.say(note)
            do = train_with_what_fits if options.auto else train
            result = do(made.to(place), dataset, recipe, run, progress)
            run.update(state="done", shipped="model.safetensors")
            if world.is_main and not options.json:
                _print_result(result, folder)
        if world.is_main and options.json:
            print_json(read_json(folder / "metrics.json"))


def _print_result(result: TrainResult, folder: Path) -> None:
    shown, split = result.evaluation, "test" if result.test is not None else "validation"
    print(f"{shown.sentence(split)}; {folder / 'model.safetensors'}")
