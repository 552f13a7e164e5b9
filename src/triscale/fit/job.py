"""`fit`: check, choose, train, evaluate, export, verify, measure again, report. Any step can be killed and resumed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from triscale.data.dataset import Dataset, read_dataset
from triscale.data.find import location
from triscale.data.images import image_header
from triscale.data.transforms import load as load_image
from triscale.deployment.export import SUFFIXES, ExportEngine, export
from triscale.deployment.latency import measure_fresh
from triscale.deployment.on_device import predictions
from triscale.deployment.table import LatencyTable
from triscale.deployment.trial import measures
from triscale.deployment.verify import Verification, verify
from triscale.fit.candidate import Candidate, Choice, Known
from triscale.fit.choose import choose
from triscale.fit.given import choose_given
from triscale.fit.grown import growth_source
from triscale.fit.record import read_choice, write_choice
from triscale.fit.shipped import Limit, Shipped, close, installed_engines, remeasured, shipped_metrics, telling_of
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.grow import grow
from triscale.models.pretrained import PACKAGES, pretrained
from triscale.spec import families
from triscale.spec.cost import cost
from triscale.spec.files import network_to_dict, write_network
from triscale.spec.limits import Budget, Measure
from triscale.spec.network import Network
from triscale.training.loop import require_splits, train
from triscale.training.progress import Progress, SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.recipes import recipe
from triscale.training.result import TrainResult
from triscale.training.run import RunFolder

SMALL = 112  # pixels up to which a network reads small images
LEAST_AREA = 0.7  # of a small image, that a random crop keeps in training
COMPARED = 64  # images on which an exported file must agree with the model
SIZES_LOOKED_AT = 200  # images whose size says how large the images are
BASELINES = ("efficientnet_b0", "efficientnet_lite0")  # scaled and trained from nothing where no weights fit


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for.

    data: image folder, CSV, or shards. budget: hard limits. engine: of the file that ships and is held to the budget.
    recipe: a name, or None for "finetune" with published weights and "small-data" without.
    epochs: instead of the recipe's. mirror: whether an image and its mirror image mean the same.
    network: the one to take, at its own size or scaled to the budget; None chooses.
    """

    data: str | Path
    budget: Budget
    engine: ExportEngine = "onnx"
    recipe: str | None = None
    epochs: int | None = None
    mirror: bool = True
    seed: int = 0
    skip_broken: bool = False
    network: Network | None = None

    def __post_init__(self) -> None:
        """Refuse what no recipe takes before anything is done. Raises: TrainingError."""
        wanted = recipe(self.recipe or "finetune")
        replace(wanted, seed=self.seed, epochs=wanted.epochs if self.epochs is None else self.epochs)

    def arguments(self) -> dict[str, object]:
        """All that decides the result, as the run's record keeps it."""
        return {
            "data": location(self.data),
            "budget": str(self.budget),
            "engine": self.engine,
            "recipe": self.recipe or "",
            "epochs": self.epochs or 0,
            "mirror": self.mirror,
            "seed": self.seed,
            "skip_broken": self.skip_broken,
            **({} if self.network is None else {"network": network_to_dict(self.network)}),
        }


@dataclass(frozen=True, slots=True)
class FitResult:
    """A finished job: the choice, the training, the files, and the budget measured again."""

    folder: Path
    dataset: Dataset
    choice: Choice
    recipe: Recipe
    trained: TrainResult[ConvNet]
    shipped: tuple[Shipped[Verification], ...]
    limits: tuple[Limit, ...]
    missing: tuple[str, ...]


Reporter = Callable[[FitResult, RunFolder], None]


def fit(job: Job, run: RunFolder, dataset: Dataset, report: Reporter, progress: Progress | None = None) -> FitResult:
    """Do the whole job in a run folder that is held; what an earlier call finished is not done differently.

    report: writes report.html; called last, before the run is done.
    Raises: BudgetError when nothing is inside the budget; VerificationError when an exported file differs from the
        model, or a limit does not hold on what ships; and whatever training raises. The folder keeps all that was
        reached.
    """
    progress = progress or SilentProgress()
    engines, missing = installed_engines(job.engine)
    choice = _choice(job, run, dataset, progress)
    chosen_recipe = recipe_of(job, choice.chosen)
    model = starting_model(choice.chosen, dataset, job.seed)
    trained = train(model, dataset, chosen_recipe, run, progress)
    shipped = tuple(_ship(trained.model, dataset, run.path / "exports", engine, progress) for engine in engines)
    own = cost(trained.model.network, trained.model.preprocessing.size)
    limits = remeasured(job.budget, own, shipped[0])
    result = FitResult(run.path, dataset, choice, chosen_recipe, trained, shipped, limits, missing)
    _write_metrics(result, run)
    report(result, run)
    close(run, shipped, limits)
    return result


def open_dataset(job: Job, progress: Progress | None = None) -> Dataset:
    """Read and check the data. Raises: DataError or TrainingError for what cannot be learnt from, naming the files."""
    with looking(progress or SilentProgress()) as tell:
        dataset = read_dataset(job.data, seed=job.seed, skip_broken=job.skip_broken, progress=tell)
    require_splits(dataset)
    return dataset


@contextmanager
def looking(progress: Progress) -> Generator[Callable[[int, int], None]]:
    """A bar over the images of a set that are looked at; gives what is to be called with (done, of how many)."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if not told:
            progress.start("looking at every image", total)
        progress.advance(done - told)
        told = done

    try:
        yield tell
    finally:
        progress.finish()


def median_side(dataset: Dataset) -> int:
    """Median shorter side of the training images in pixels, over a spread of at most SIZES_LOOKED_AT."""
    every = max(1, len(dataset.train) // SIZES_LOOKED_AT)
    return int(statistics.median(min(image_header(sample.path)[1]) for sample in dataset.train[::every]))


def known_networks() -> list[Known]:
    """The networks whose published weights are installed here."""
    found = ((name, pretrained(name)) for name in PACKAGES)
    return [Known(name, families.network(f"tf_{name}"), own.top1) for name, own in found if own is not None]


def _choice(job: Job, run: RunFolder, dataset: Dataset, progress: Progress) -> Choice:
    """Choose once: what `choice.json` says is never chosen again."""
    if run.record.network is not None:
        return read_choice(run.path / "choice.json")
    progress.say("choosing the network")
    asked = measures(job.engine, job.budget.limits.get("latency"), dataset.classes)
    telling: dict[str, Measure] = {word: telling_of(word, measure, progress) for word, measure in asked.items()}
    baselines = [families.network(name) for name in BASELINES]
    rough = predictions(LatencyTable(job.engine), progress) if "latency" in job.budget.limits else None
    side, known = median_side(dataset), known_networks()
    classes = len(dataset.classes)
    if job.network is None:
        choice = choose(job.budget, classes, side, known, baselines, telling, rough)
    else:
        choice = choose_given(job.network, job.budget, classes, side, known, telling, rough)
    write_choice(choice, run.path / "choice.json")
    write_network(choice.chosen.network, run.path / "network.json")
    told = {"name": choice.chosen.network.name, "weights": choice.chosen.weights or ""}
    run.update(network=told | ({"grown": True} if choice.chosen.grown else {}))
    for note in choice.notes:
        progress.say(note)
    chosen = choice.chosen
    progress.say(f"chosen: {chosen.network.name} ({chosen.scaled}): {chosen.reason}")
    return choice


def recipe_of(job: Job, chosen: Candidate) -> Recipe:
    """The recipe, with what the job says differently."""
    made = recipe(job.recipe or ("finetune" if chosen.weights else "small-data"), chosen.network.name)
    augmentation = made.augmentation
    if not job.mirror:
        augmentation = replace(augmentation, flip=0.0, flip_vertical=0.0)
    if min(chosen.network.resolution) <= SMALL:
        # Small images have no room for a crop that keeps a part of the object.
        augmentation = replace(augmentation, crop_area=(max(LEAST_AREA, augmentation.crop_area[0]), 1.0))
    if job.epochs:
        made = replace(made, epochs=job.epochs, least_steps=0)
    return replace(made, seed=job.seed, augmentation=augmentation)


def starting_model(chosen: Candidate, dataset: Dataset, seed: int) -> ConvNet:
    """The chosen network with the weights it starts from; fresh ones, and what grows, come from the seed."""
    torch.manual_seed(seed)
    network = replace(chosen.network, classes=len(dataset.classes))
    if chosen.grown and chosen.weights:
        source = growth_source(families.network(f"tf_{chosen.weights}"), network)
        model = grow(create_model(source, "pretrained"), network)
    else:
        model = create_model(network, "pretrained" if chosen.weights else None)
    # Objects should look about as large as in training's average crop (https://arxiv.org/abs/1906.06423).
    small = min(chosen.network.resolution) <= SMALL
    crop = round(((1 + LEAST_AREA) / 2) ** 0.5, 4) if small else model.preprocessing.crop
    model.preprocessing = replace(model.preprocessing, size=chosen.network.resolution, crop=crop)
    model.card = replace(model.card, classes=dataset.classes)
    return model


def _ship(
    model: ConvNet, dataset: Dataset, folder: Path, engine: ExportEngine, progress: Progress
) -> Shipped[Verification]:
    progress.say(f"exporting to {engine}, comparing with the model, measuring in a fresh process")
    written = export(model, folder / f"model{SUFFIXES[engine]}", engine)
    samples = (dataset.test or dataset.val) + dataset.train
    spread = samples[:: max(1, len(samples) // COMPARED)][:COMPARED]
    images = torch.stack([load_image(sample.path, model.preprocessing) for sample in spread])
    return Shipped(written, verify(model, written.path, images), measure_fresh(written.path))


def _write_metrics(result: FitResult, run: RunFolder) -> None:
    first = result.shipped[0]
    extra = {
        **shipped_metrics(first, result.limits),
        "max_error": max(each.verification.max_error for each in result.shipped),
    }
    run.write_json("metrics.json", {**result.trained.metrics, **extra})
