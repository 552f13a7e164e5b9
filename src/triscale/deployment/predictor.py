"""From image files to named answers, with whatever holds the network: a run, a model file, an exported file, a name."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from triscale.data.images import is_image_name
from triscale.data.member import ImagePlace
from triscale.data.nearby import nearby
from triscale.data.transforms import load as load_image
from triscale.deployment.box_predictor import BoxPredictor
from triscale.deployment.engine import Engine, load_engine, torch_engine
from triscale.detection.detector import DetectorNet
from triscale.detection.files import load as load_model
from triscale.errors import DataError, FileError, SpecError
from triscale.models.create import create_model
from triscale.models.hub.place import is_place
from triscale.models.model import Model
from triscale.modules.reference import is_reference
from triscale.spec import families
from triscale.spec.families import efficientdet
from triscale.spec.preprocessing import Preprocessing
from triscale.training.run import read_run

BATCH = 16
TOP = 5  # answers per image, where it has one label
THRESHOLD = 0.5  # from which a label is given, where an image may have several


@dataclass(frozen=True, slots=True)
class Label:
    """One answer: the class, and its probability in 0..1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What was said of one file: `labels`, best first (none where no label is likely); or `error`, why it is unread."""

    file: str
    labels: tuple[Label, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network that answers. Its preprocessing and class names came with its weights and cannot be others.

    run: images to logits. several: whether an image may have several labels: a probability is then a sigmoid.
    temperature: divides the logits where asked (`calibrated`); None where it was not measured.
    """

    source: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    run: Callable[[np.ndarray], np.ndarray]
    several: bool = False
    temperature: float | None = None

    def calibrated(self) -> Predictor:
        """The same, whose probabilities are as sure as they were right on its validation images.

        Raises: SpecError where the file says no temperature.
        """
        temperature = self.temperature
        if temperature is None:
            raise SpecError(
                f"{self.source}: says no temperature, so its probabilities cannot be calibrated; "
                f"a model that `triscale train` or `fit` writes has one."
            )
        return replace(self, run=lambda images: self.run(images) / temperature, temperature=1.0)

    def logits(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """(N, outputs) float32 of preprocessed images, (C, H, W) each."""
        return self.run(np.stack(images))

    def probabilities(self, paths: Sequence[ImagePlace]) -> np.ndarray:
        """(N, classes) float32 of image files. Raises: DataError for a file that cannot be read."""
        return self._chances(self.logits([load_image(path, self.preprocessing).numpy() for path in paths]))

    def predict(
        self, paths: Iterable[Path], top: int | None = None, threshold: float | None = None
    ) -> Iterator[Prediction]:
        """Answer for each file in order; a file that cannot be read gets an error and stops nobody else.

        top: answers per file at most; None for 5, or for all where an image may have several labels.
        threshold: probability that an answer must have; None for 0, or for 0.5 where an image may have several.
        """
        batch: list[tuple[Path, np.ndarray | str]] = []
        for path in paths:
            try:
                batch.append((path, load_image(path, self.preprocessing).numpy()))
            except DataError as error:
                batch.append((path, str(error)))
            if len(batch) == BATCH:
                yield from self._answers(batch, top, threshold)
                batch = []
        yield from self._answers(batch, top, threshold)

    def _chances(self, logits: np.ndarray) -> np.ndarray:
        answers = torch.from_numpy(logits)
        return (answers.sigmoid() if self.several else answers.softmax(1)).numpy()

    def _answers(
        self, batch: list[tuple[Path, np.ndarray | str]], top: int | None, threshold: float | None
    ) -> Iterator[Prediction]:
        images = [image for _, image in batch if not isinstance(image, str)]
        rows = iter(self._chances(self.logits(images))) if images else iter(())
        for path, image in batch:
            if isinstance(image, str):
                yield Prediction(str(path), error=image)
            else:
                yield Prediction(str(path), self._best(next(rows), top, threshold))

    def _best(self, scores: np.ndarray, top: int | None, threshold: float | None) -> tuple[Label, ...]:
        most = max(1, len(scores) if top is None and self.several else top or TOP)
        least = threshold if threshold is not None else THRESHOLD if self.several else 0.0
        order = np.argsort(-scores, kind="stable")[:most]
        return tuple(Label(self._name(int(i)), float(scores[i])) for i in order if scores[i] >= least)

    def _name(self, output: int) -> str:
        return self.classes[output] if output < len(self.classes) else f"class {output}"


def open_predictor(
    source: str, threads: int | None = None, own: Callable[[str | Path], Model] | None = None
) -> Predictor:
    """`open_any` of a classifier. Raises: SpecError for a detector; else as it does."""
    predictor = open_any(source, threads, own)
    if isinstance(predictor, BoxPredictor):
        raise SpecError(
            f"{source}: is a detector, which finds boxes and does not name whole images; give a classifier."
        )
    return predictor


def open_box_predictor(source: str, threads: int | None = None) -> BoxPredictor:
    """`open_any` of a detector. Raises: SpecError for a classifier; else as it does."""
    predictor = open_any(source, threads)
    if isinstance(predictor, Predictor):
        raise SpecError(f"{source}: is a classifier, which finds no boxes; give a detector.")
    return predictor


def open_any(
    source: str, threads: int | None = None, own: Callable[[str | Path], Model] | None = None
) -> Predictor | BoxPredictor:
    """A predictor from a run's folder, a model file (.safetensors), an exported file (.onnx, .xml), or a name.

    A name takes the weights that an installed package carries: "efficientnet_lite0"; hf://OWNER/REPO those on the Hub.
    own: reads a model file that holds the weights of a module of the user's own; it knows the code.
    Raises: FileError, RunError, WeightsError or SpecError saying what is wrong with the source.
    """
    if is_place(source):
        return _of_model(source, (own or load_model)(source))
    path = Path(source)
    if is_reference(source):
        raise SpecError(f"{source}: is code without weights; give a run or a model file, and --module {source}.")
    if path.is_dir():
        path = shipped_file(path)
    elif not path.exists() and os.sep not in source and (not path.suffix or families.is_network(source)):
        if own is not None:
            raise SpecError(f"{source}: is a network and needs no code; leave out --module.")
        if efficientdet.is_detector(source):
            raise SpecError(
                f"{source}: is a detector without weights on this machine; train it, or give a run or a model file."
            )
        return _of_model(source, create_model(families.network(source).name, weights="pretrained"))
    if not path.exists():
        raise FileError(f"{path}: no such file or run folder{nearby(path)}.")
    if own is not None:
        return _of_model(str(path), own(path))
    engine = load_engine(path, threads)
    described = engine.metadata
    if described.detector is not None:
        return _of_detector(str(path), engine)
    return Predictor(
        str(path), engine.preprocessing, engine.classes, engine.run, described.several, described.temperature
    )


def shipped_file(folder: Path) -> Path:
    """The file of a run to use. Raises: RunError for a folder that is no run; FileError while it has none."""
    record = read_run(folder)
    if record.shipped is None or not (folder / record.shipped).exists():
        raise FileError(f"{folder}: this run has no model yet (its state is {record.state}); let it finish first.")
    return folder / record.shipped


def _of_detector(source: str, engine: Engine) -> BoxPredictor:
    told = engine.metadata.detector
    assert told is not None  # it is one
    outputs = engine.metadata.outputs
    return BoxPredictor(source, engine.preprocessing, engine.classes, outputs, engine.detect, told.suppression)


def _of_model(source: str, model: Model) -> Predictor | BoxPredictor:
    if isinstance(model, DetectorNet):
        return _of_detector(source, torch_engine(model))
    model.fixed(model.preprocessing.size)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy()

    card = model.card
    return Predictor(source, model.preprocessing, card.classes, run, card.several, card.temperature)


def image_files(arguments: Sequence[str]) -> list[Path]:
    """Files, the images in folders (and below them), and what globs match; in order, each once.

    Raises: DataError for an argument that is nothing, or a folder without images.
    """
    found: dict[Path, None] = {}
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and is_image_name(p))
            if not inside:
                raise DataError(f"{path}: no images in this folder; give image files, or a folder that has some.")
            found.update(dict.fromkeys(inside))
        elif path.exists() or not glob.has_magic(argument):
            found[path] = None
        else:
            # Path.glob takes no absolute pattern.
            matches = [Path(each) for each in sorted(glob.glob(argument, recursive=True))]  # noqa: PTH207
            if not matches:
                raise DataError(f"{argument}: matches no file.")
            found.update(dict.fromkeys(match for match in matches if match.is_file()))
    return list(found)
