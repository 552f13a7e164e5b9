"""`triscale train`: one network on one data set."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.names import resolve
from triscale.cli.output import print_json
from triscale.errors import TrainingError
from triscale.models.hub.place import is_place
from triscale.spec.files import network_to_dict, read_json, write_network

if TYPE_CHECKING:
    from triscale.models.assembler import ConvNet
    from triscale.models.weights import LoadReport
    from triscale.spec.network import Network
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
        a name from `triscale list`, a network file, a model file, a run's folder, or hf://OWNER/REPO with its weights
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
        side of the images that the network sees; its own by default
    no_mirror
        left and right differ here (digits, text, road signs): never mirror an image
    seed
        of the split, the order of images, augmentation and fresh weights
    skip_broken
        go on without images that cannot be read
    json
        print the figures as JSON at the end
    """
    network = resolve(name)
    weights = name if weights is None and is_place(name) else weights
    if pixels is not None:
        network = replace(network, resolution=(pixels, pixels))
    folder = run_folder(out, data, network.name.split("@")[0])
    import torch

    from triscale.data.dataset import read_dataset
    from triscale.training.loop import require_splits
    from triscale.training.loop import train as do
    from triscale.training.progress import choose_progress
    from triscale.training.run import RunFolder

    given = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    chosen = _changed(_recipe(recipe, config, weights or grow_from), given, mirror=not no_mirror)
    progress = choose_progress()
    dataset = read_dataset(data, seed=seed, skip_broken=skip_broken)
    require_splits(dataset)
    torch.manual_seed(seed)
    arguments = {
        "network": network_to_dict(network),
        "data": str(data.resolve()),
        **_weights_asked_for(weights, grow_from),
        "recipe": chosen.to_table(),
        "skip_broken": skip_broken,
    }
    with RunFolder.open(folder, "train", arguments, dataset.fingerprint) as run:
        if run.is_done:
            print(f"{folder}: is done already", file=sys.stderr)
        else:
            model, loaded = _starting_model(replace(network, classes=len(dataset.classes)), weights, grow_from)
            model.preprocessing = replace(model.preprocessing, size=network.resolution)
            write_network(model.network, folder / "network.json")
            for note in (*dataset.notes, *([f"weights: {loaded}"] if loaded else [])):
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
    print(f"{shown.top1:.2%} of {shown.count} {split} images; {folder / 'model.safetensors'}")


def _weights_asked_for(weights: str | None, grow_from: str | None) -> dict[str, object]:
    """What the run's record says of the weights that it starts from; earlier runs knew nothing of growing."""
    if grow_from is None:
        return {"weights": _lasting(weights)}
    if weights is not None:
        raise TrainingError("--grow-from brings the weights of the smaller model; give it or --weights, not both.")
    return {"weights": "", "grow_from": str(Path(grow_from).resolve()) if Path(grow_from).exists() else grow_from}


def _lasting(weights: str | None) -> str:
    """The weights' name as it means the same from any folder; empty without."""
    return weights or "" if weights in (None, "pretrained") or is_place(weights) else str(Path(weights).resolve())


def _starting_model(network: Network, weights: str | None, grow_from: str | None) -> tuple[ConvNet, LoadReport | None]:
    """The network with the weights that it starts from, and what was loaded."""
    from triscale.cli.models import open_model
    from triscale.models.create import create_with_report, with_classes
    from triscale.models.grow import grow

    if grow_from is None:
        return create_with_report(network, weights)
    return grow(with_classes(open_model(grow_from), network.classes), network), None


def _changed(recipe: Recipe, given: Mapping[str, float | None], mirror: bool) -> Recipe:
    """A recipe with what was given on the command line."""
    recipe = replace(recipe, **{name: value for name, value in given.items() if value is not None})
    if given["epochs"] is not None:
        recipe = replace(recipe, least_steps=0)
    if not mirror:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, flip=0.0, flip_vertical=0.0))
    return recipe


def _recipe(name: str | None, config: Path | None, weights: str | None) -> Recipe:
    """The named recipe, the one of an earlier run's config.toml, or the usual one with or without weights."""
    from triscale.training.config import read_config
    from triscale.training.recipe import Recipe, recipe

    if config is None:
        return recipe(name or ("finetune" if weights else "small-data"))
    if name is not None:
        raise TrainingError("--config has a recipe of its own; give --recipe or --config, not both.")
    table = read_config(config).get("recipe")
    if not isinstance(table, dict):
        raise TrainingError(f"{config}: has no [recipe] table; give a config.toml that a run wrote.")
    return Recipe.from_table(table, f"{config}: recipe")
