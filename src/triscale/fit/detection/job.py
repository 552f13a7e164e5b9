"""`fit` for boxes: check, choose, train, export, verify, evaluate what ships, measure again, report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from triscale.data.detection.dataset import BoxDataset, BoxSample
from triscale.data.detection.read import read_boxes
from triscale.data.transforms import load as load_image
from triscale.deployment.engine import load_engine
from triscale.deployment.export import SUFFIXES, ExportEngine, export
from triscale.deployment.judge_boxes import BoxAnswers, BoxQuestion, judge_boxes
from triscale.deployment.latency import measure_fresh
from triscale.deployment.trial import measures
from triscale.deployment.verify_detector import DetectorVerification, verify_detector
from triscale.detection.create import create_detector
from triscale.detection.detector import DetectorNet
from triscale.fit.detection.choose import (
    BASES,
    DetectorCandidate,
    DetectorChoice,
    DetectorMeasure,
    choose_detector,
    wanted_size,
    with_fitted_anchors,
)
from triscale.fit.detection.record import read_choice, write_choice
from triscale.fit.job import Job, looking
from triscale.fit.shipped import Limit, Shipped, close, installed_engines, remeasured, shipped_metrics, telling_of
from triscale.models.pretrained import pretrained
from triscale.spec.cost import cost
from triscale.spec.families.efficientdet import detector
from triscale.spec.files import write_network
from triscale.training.detection.coco import require_coco
from triscale.training.detection.settings import DetectionSettings
from triscale.training.detection.task import require_objects
from triscale.training.loop import require_splits, train
from triscale.training.progress import Progress, SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.recipes import recipe
from triscale.training.result import TrainResult
from triscale.training.run import RunFolder

RECIPE = "detection"
COMPARED = 32  # images on which an exported file must tell the same detections


@dataclass(frozen=True, slots=True)
class BoxFitResult:
    """A finished job: the choice, the training, the files, what the one that ships finds, and the budget again.

    answers: of the file that ships, on test where there is one, else on validation; `samples` are its images.
    """

    folder: Path
    dataset: BoxDataset
    choice: DetectorChoice
    recipe: Recipe
    trained: TrainResult[DetectorNet]
    shipped: tuple[Shipped[DetectorVerification], ...]
    answers: BoxAnswers
    limits: tuple[Limit, ...]
    missing: tuple[str, ...]

    @property
    def split(self) -> str:
        """What `answers` are of."""
        return "test" if self.dataset.test else "val"

    @property
    def samples(self) -> tuple[BoxSample, ...]:
        """The images that were answered."""
        return self.dataset.test or self.dataset.val


Reporter = Callable[[BoxFitResult, RunFolder], None]


def fit_boxes(
    job: Job, run: RunFolder, dataset: BoxDataset, report: Reporter, progress: Progress | None = None
) -> BoxFitResult:
    """Do the whole job in a run folder that is held; what an earlier call finished is not done differently.

    report: writes report.html; called last, before the run is done.
    Raises: BudgetError when nothing is inside the budget; VerificationError when an exported file tells other
        detections than the detector, or a limit does not hold on what ships; and whatever training raises. The folder
        keeps all that was reached.
    """
    progress = progress or SilentProgress()
    engines, missing = installed_engines(job.engine)
    choice = _choice(job, run, dataset, progress)
    chosen_recipe = recipe_of(job, choice.chosen)
    model = starting_model(choice.chosen, dataset, job.seed)
    trained = train(model, dataset, chosen_recipe, run, progress)
    shipped = tuple(_ship(trained.model, dataset, run.path / "exports", engine, progress) for engine in engines)
    answers = _answers(shipped[0], dataset, progress)
    limits = remeasured(job.budget, cost(trained.model.detector, trained.model.preprocessing.size), shipped[0])
    result = BoxFitResult(run.path, dataset, choice, chosen_recipe, trained, shipped, answers, limits, missing)
    of_file = shipped_metrics(shipped[0], limits)
    of_file["file_precision"] = of_file.pop("precision")  # of boxes, precision is a rate
    run.write_json("metrics.json", trained.metrics | of_file | {"shipped_map": answers.evaluation.score})
    report(result, run)
    close(run, shipped, limits)
    return result


def open_boxes(job: Job, progress: Progress | None = None) -> BoxDataset:
    """Read and check the data. Raises: DataError or TrainingError for what cannot be learnt from, naming the records;
    MissingExtraError where boxes cannot be scored here."""
    require_coco()
    progress = progress or SilentProgress()
    with looking(progress) as tell:
        dataset = read_boxes(job.data, seed=job.seed, skip_broken=job.skip_broken, progress=tell)
    require_splits(dataset)
    require_objects(dataset)
    return dataset


def recipe_of(job: Job, chosen: DetectorCandidate) -> Recipe:
    """The recipe, with what the job says differently."""
    made = recipe(job.recipe or RECIPE, chosen.detector.name)
    settings = made.detection or DetectionSettings()
    if not job.mirror:
        still = replace(settings.augmentation, flip=0.0, flip_vertical=0.0)
        settings = replace(settings, augmentation=still)
    if job.epochs:
        made = replace(made, epochs=job.epochs, least_steps=0)
    return replace(made, seed=job.seed, detection=settings)


def starting_model(chosen: DetectorCandidate, dataset: BoxDataset, seed: int) -> DetectorNet:
    """The chosen detector with the weights that it starts from; fresh ones come from the seed."""
    torch.manual_seed(seed)
    made = replace(chosen.detector, classes=len(dataset.classes))
    model = create_detector(made, "pretrained" if chosen.weights else None)
    model.card = replace(model.card, classes=dataset.classes)
    return model


def _choice(job: Job, run: RunFolder, dataset: BoxDataset, progress: Progress) -> DetectorChoice:
    """Choose once: what `choice.json` says is never chosen again."""
    if run.record.network is not None:
        return read_choice(run.path / "choice.json")
    progress.say("choosing the detector")
    asked = measures(job.engine, job.budget.limits.get("latency"), dataset.classes)
    telling: dict[str, DetectorMeasure] = {word: telling_of(word, each, progress) for word, each in asked.items()}
    names = [detector(base).backbone.name.removeprefix("tf_") for base in BASES]
    known = [name for name in names if pretrained(name) is not None]
    choice = choose_detector(job.budget, len(dataset.classes), wanted_size(dataset.train), known, telling)
    choice = with_fitted_anchors(choice, dataset)
    chosen = choice.chosen
    write_choice(choice, run.path / "choice.json")
    write_network(chosen.detector, run.path / "network.json")
    run.update(network={"name": chosen.detector.name, "weights": chosen.weights or ""})
    for note in choice.notes:
        progress.say(note)
    progress.say(f"chosen: {chosen.detector.name} ({chosen.scaled}): {chosen.reason}")
    return choice


def _ship(
    model: DetectorNet, dataset: BoxDataset, folder: Path, engine: ExportEngine, progress: Progress
) -> Shipped[DetectorVerification]:
    """Export with suppression in the file, where it can be, compare on images with objects, and measure."""
    progress.say(f"exporting to {engine}, comparing with the detector, measuring in a fresh process")
    form = "in" if model.detector.suppression.method == "hard" else "out"
    written = export(model, folder / f"model{SUFFIXES[engine]}", engine, suppression=form)
    samples = [sample for sample in (dataset.test or dataset.val) + dataset.train if sample.boxes]
    spread = samples[:: max(1, len(samples) // COMPARED)][:COMPARED]
    images = torch.stack([load_image(sample.path, model.preprocessing) for sample in spread])
    return Shipped(written, verify_detector(model, written.path, images), measure_fresh(written.path))


def _answers(shipped: Shipped[DetectorVerification], dataset: BoxDataset, progress: Progress) -> BoxAnswers:
    """What the file that ships finds."""
    engine, asked = load_engine(shipped.export.path), BoxQuestion(dataset.test or dataset.val, dataset.classes)
    progress.start("evaluating the file that ships", len(asked.samples))
    try:
        return judge_boxes(engine.detect, engine.preprocessing, asked, progress=progress)
    finally:
        progress.finish()
