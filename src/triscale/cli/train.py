"""`triscale train`: one network on one data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.output import print_json
from triscale.cli.subject import subject_of
from triscale.errors import TrainingError
from triscale.spec.files import read_json

if TYPE_CHECKING:
    from triscale.training.recipe import Recipe
    from triscale.training.result import TrainResult


def train(
    name: str,
    data: Path,
    *,
    out: Path | None = None,
    weights: str | None = None,
    grow_from: str | None = None,
    recipe: str | None = None,
    config: Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    pixels: Annotated[int | None, Parameter(name="--size")] = None,
    depth: float | None = None,
    width: float | None = None,
    to: str | None = None,
    no_mirror: bool = False,
    seed: int = 0,
    skip_broken: bool = False,
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
        an image folder or a CSV
    out
        the run's folder; runs/DATA-NAME by default
    weights
        "pretrained" for those that an installed package carries, a file, or hf://OWNER/REPO; fresh ones by default
    grow_from
        begin as the same function as a smaller model of the family, with its weights: a run's folder, a model file, or
        a name with pretrained weights
    recipe
        finetune, small-data or quick; by default finetune with weights, else small-data
    config
        a config.toml of an earlier run: its recipe is taken, and the options below change it
    epochs
        passes over the training images
    batch_size
        images a step
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
    seed
        of the split, the order of images, augmentation and fresh weights
    skip_broken
        go on without images that cannot be read
    json
        print the figures as JSON at the end
    """
    subject = subject_of(name, weights, grow_from, pixels, (depth, width, to))
    folder = run_folder(out, data, subject.name)
    import torch

    from triscale.data.dataset import read_dataset
    from triscale.training.loop import require_splits
    from triscale.training.loop import train as do
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    given = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    chosen = _changed(_recipe(recipe, config, subject.starts_trained), given, mirror=not no_mirror)
    progress = choose_progress()
    dataset = read_dataset(data, seed=seed, skip_broken=skip_broken)
    require_splits(dataset)
    torch.manual_seed(seed)
    arguments = {
        **subject.arguments,
        "data": str(data.resolve()),
        "recipe": chosen.to_table(),
        "skip_broken": skip_broken,
    }
    with RunFolder.open(folder, "train", arguments, dataset.fingerprint) as run:
        if run.is_done:
            print(f"{folder}: is done already", file=sys.stderr)
        else:
            model = subject.make(len(dataset.classes), folder, progress.say)
            for note in dataset.notes:
                progress.say(note)
            result = do(model, dataset, chosen, run, progress)
            run.update(state="done", shipped="model.safetensors")
            if not json:
                _print_result(result, folder)
        if json:
            print_json(read_json(folder / "metrics.json"))
    return 0


def _print_result(result: TrainResult, folder: Path) -> None:
    shown, split = result.evaluation, "test" if result.test is not None else "validation"
    print(f"{shown.said()} of {shown.count} {split} images; {folder / 'model.safetensors'}")


def _changed(recipe: Recipe, given: Mapping[str, float | None], mirror: bool) -> Recipe:
    """A recipe with what was given on the command line."""
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    if given["epochs"] is not None:
        recipe = replace(recipe, least_steps=0)
    if not mirror:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, flip=0.0, flip_vertical=0.0))
    return recipe


def _recipe(name: str | None, config: Path | None, trained: bool) -> Recipe:
    """The named recipe, the one of an earlier run's config.toml, or the usual one for trained or fresh weights."""
    from triscale.training.config import read_config
    from triscale.training.recipe import Recipe
    from triscale.training.recipes import recipe

    if config is None:
        return recipe(name or ("finetune" if trained else "small-data"))
    if name is not None:
        raise TrainingError("--config has a recipe of its own; give --recipe or --config, not both.")
    table = read_config(config).get("recipe")
    if not isinstance(table, dict):
        raise TrainingError(f"{config}: has no [recipe] table; give a config.toml that a run wrote.")
    return Recipe.from_table(table, f"{config}: recipe")
