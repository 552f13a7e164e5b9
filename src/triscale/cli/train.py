"""`triscale train`: one network or detector on one data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from cyclopts import Parameter

from triscale.cli.folders import run_folder
from triscale.cli.output import print_json
from triscale.cli.subject import Subject, subject_of
from triscale.errors import SpecError, TrainingError
from triscale.spec.files import read_json
from triscale.spec.network import Size, as_size

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
    pixels: Annotated[tuple[int, ...], Parameter(name="--size", consume_multiple=True)] = (),
    backbone: str | None = None,
    pyramid: str | None = None,
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
    overfit: int | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Train a network on images with labels, or a detector on images with boxes. The same command again goes on.

    Example: triscale train efficientnet_lite0 photos --weights pretrained --size 64
    Example: triscale train efficientdet_lite0 instances.json --weights pretrained --overfit 8

    Parameters
    ----------
    name
        a name from `triscale list`, a network or detector file, a model file, a run's folder, hf://OWNER/REPO with its
        weights, or your own code as file.py:factory
    data
        for a network an image folder, a CSV, or shards (their folder, a pattern such as train-{000..009}.tar, URLs);
        for a detector COCO JSON, Pascal VOC or YOLO: a file, or the folder of the set
    out
        the run's folder; runs/DATA-NAME by default
    weights
        "pretrained" for those that an installed package carries, a file, or hf://OWNER/REPO; fresh ones by default
    grow_from
        begin as the same function as a smaller model of the family, with its weights: a run's folder, a model file, or
        a name with pretrained weights
    recipe
        a name from `triscale recipe`; by default detection for a detector, finetune with weights, else small-data
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
        size of the images that the network sees, one number or height and width; its own by default, 224 for code of
        yours
    backbone
        of a detector: another network in its place
    pyramid
        of a detector: another pyramid, as wide and deep: bifpn, fpn, panet, nas_fpn, …; makes a detector of a network
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
    overfit
        of a detector: train on so many images for some minutes and judge it on the same ones, mirrored and moved; tells
        faults of the data from those of training, and writes no run; exit 1 means: look at the data
    json
        print the figures as JSON at the end
    """
    size_asked = _size_of(pixels)
    subject = subject_of(name, weights, grow_from, size_asked, (depth, width, to), (backbone, pyramid))
    _require_fit(subject, data, overfit)
    from triscale.cli.recipe import read_recipe, with_detection, with_options

    usual = "detection" if subject.has_boxes else "finetune" if subject.starts_trained else "small-data"
    wanted = recipe or (None if config else usual)
    auto = batch_size == "auto"
    size = None if batch_size == "auto" else batch_size
    given: dict[str, object] = {"seed": seed, "epochs": epochs, "batch_size": size}
    given |= {"learning_rate": learning_rate, "freeze": freeze or None, "teacher": teacher}
    given |= {"deterministic": deterministic or None}
    read = read_recipe(wanted, config, changes, subject.name)
    if subject.has_boxes:
        read = with_detection(read)
    chosen = with_options(read, given, changes, mirror=not no_mirror)
    if overfit is not None:
        from triscale.cli.overfit import overfit_few

        return overfit_few(subject, data, chosen, overfit, device, json)
    folder = run_folder(out, data, subject.name)
    _train(subject, data, chosen, folder, _Options(skip_broken, auto, device, json))
    return 0


def _size_of(pixels: tuple[int, ...]) -> Size | None:
    """What --size says. Raises: SpecError for more than two numbers."""
    if len(pixels) > 2:
        raise SpecError(f"--size takes one number or height and width, got {len(pixels)} numbers.")
    return as_size((pixels[0], pixels[-1])) if pixels else None


def _require_fit(subject: Subject, data: str, overfit: int | None) -> None:
    """Raises: SpecError for a detector on labels, a network on boxes, and --overfit without boxes; DataError for a
    detector on nothing; MissingExtraError where boxes cannot be scored."""
    from triscale.data.detection.find import EXPECTED, find_boxes, is_boxes
    from triscale.data.shards.places import is_shards

    boxed = is_boxes(data)
    if subject.has_boxes and not boxed:
        if not is_shards(data) and not Path(data).exists():
            find_boxes(data)  # says what is nearby
        raise SpecError(f"{subject.name} is a detector, and {data} has no boxes that triscale can find: {EXPECTED}.")
    if boxed and not subject.has_boxes:
        raise SpecError(
            f"{data} has boxes, and {subject.name} is no detector: name one (`triscale list`), or make one of a "
            f"network with --pyramid bifpn."
        )
    if overfit is not None and not boxed:
        raise SpecError("--overfit is for detectors, whose data is harder to get right; leave it out.")
    if overfit is not None:
        from triscale.training.detection.overfit import MOST

        if not 1 <= overfit <= MOST:
            raise SpecError(f"--overfit takes how many images are learnt, 1 to {MOST}, such as 8; got {overfit}.")
    if boxed:
        from triscale.training.detection.coco import require_coco

        require_coco()  # before minutes are spent on reading the data


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
    from triscale.data.detection.read import read_boxes
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
    read = read_boxes if subject.has_boxes else read_dataset
    dataset = read(data, seed=recipe.seed, skip_broken=options.skip_broken)
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
