"""How good whatever answers is: a predictor's answers held against labels, class by class and by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from triscale.data.dataset import Dataset, Sample
from triscale.data.images import open_image
from triscale.data.parallel import map_files
from triscale.data.several import multi_hot
from triscale.data.transforms import needed_size, to_values
from triscale.deployment.predictor import BATCH, Predictor
from triscale.errors import DataError
from triscale.training.calibration import UNKNOWN, Calibration, calibration_at
from triscale.training.corruption import CORRUPTIONS, corrupt
from triscale.training.evaluate import AnyEvaluation, score
from triscale.training.progress import Progress

READ = 8 * BATCH  # images that are read at a time
NAMED = 5  # classes that an error names


@dataclass(frozen=True, slots=True)
class Corrupted:
    """What is left under one kind of corruption. score: top-1, or mAP with several labels an image; 0..1."""

    kind: str
    severity: int
    score: float


@dataclass(frozen=True, slots=True)
class Question:
    """Images, and what a predictor should say of them.

    names: of the outputs that count, `outputs` their numbers; all of the model's, unless images may have several
        labels: then the data's, because of a class that it does not know nobody can say that it is absent.
    labels: (N,) int64 positions in `names`, or (N, names) float32 of 0 and 1.
    """

    samples: tuple[Sample, ...]
    names: tuple[str, ...]
    outputs: np.ndarray
    labels: np.ndarray

    def part(self, most: int) -> Question:
        """At most so many of its images, evenly spread."""
        chosen = np.linspace(0, len(self.samples) - 1, min(most, len(self.samples))).round().astype(int)
        samples = tuple(self.samples[i] for i in chosen)
        return Question(samples, self.names, self.outputs, self.labels[chosen])


def question(predictor: Predictor, dataset: Dataset, samples: Sequence[Sample], in_order: bool = False) -> Question:
    """What a predictor is asked; the data's classes are found among the model's by their names.

    in_order: of a model that names no classes: its outputs are the data's classes, in their sorted order.
    Raises: DataError where the model does not know a class, names none, or gives one label where there are several.
    """
    if dataset.several and not predictor.several:
        raise DataError(
            f"{dataset.root}: has several labels an image, and {predictor.source} was trained to give one; "
            f"train a model on such data, or give data with one label an image."
        )
    outputs = outputs_by_name(predictor.classes, predictor.source, dataset.classes, dataset.root, in_order)
    if not predictor.several:
        names = predictor.classes or dataset.classes
        labels = np.array([outputs[each.label] for each in samples], np.int64)
        return Question(tuple(samples), names, np.arange(len(names)), labels)
    labels = multi_hot([each.labels if dataset.several else (each.label,) for each in samples], len(outputs))
    return Question(tuple(samples), dataset.classes, outputs, labels)


def judge(
    predictor: Predictor,
    asked: Question,
    corruption: tuple[str, int] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> AnyEvaluation:
    """Answers to all images of a question, and how right they are.

    corruption: (kind, severity) that every image gets first; see `corrupt`, which also says what `seed` does.
    progress: is advanced by the images that are done.
    Raises: DataError for a file that cannot be read.
    """

    def prepared(numbered: tuple[int, Sample]) -> np.ndarray:
        index, sample = numbered

        def change(image: Image.Image) -> Image.Image:
            return corrupt(image, *corruption, seed, index) if corruption else image

        how = predictor.preprocessing
        whole = open_image(sample.path, needed_size(how, how.size))
        return to_values(whole, how, how.size, change).transpose(2, 0, 1)

    numbered, answers = list(enumerate(asked.samples)), []
    for start in range(0, len(numbered), READ):
        images = map_files(prepared, numbered[start : start + READ])
        for at in range(0, len(images), BATCH):
            answers.append(predictor.logits(images[at : at + BATCH]))
            if progress is not None:
                progress.advance(len(images[at : at + BATCH]), corruption[0] if corruption else "")
    logits = np.concatenate(answers)
    expected = len(predictor.classes or asked.names)
    if logits.shape[1] != expected:
        raise DataError(
            f"{predictor.source}: gives {logits.shape[1]} outputs an image, and there are {expected} classes."
        )
    rows = np.arange(len(asked.samples))
    return score(torch.from_numpy(logits[:, asked.outputs]), torch.from_numpy(asked.labels), rows, asked.names)


def judge_corrupted(
    predictor: Predictor,
    asked: Question,
    severities: Sequence[int],
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[Corrupted, ...]:
    """The score under every kind of corruption, at each severity; `seed` and `progress` as `judge` takes them."""
    return tuple(
        Corrupted(kind, severity, judge(predictor, asked, (kind, severity), seed, progress).score)
        for kind in CORRUPTIONS
        for severity in severities
    )


def calibration_of(predictor: Predictor, found: AnyEvaluation, how: str) -> Calibration:
    """Calibration with the temperature that the model carries, 1 where it carries none.

    how: what the temperature had to do with these images: "held out" or "not held out".
    """
    if predictor.temperature is None:
        return calibration_at(found.logits, found.labels, 1.0, UNKNOWN)
    return calibration_at(found.logits, found.labels, predictor.temperature, how)


def outputs_by_name(
    known: Sequence[str], source: str, classes: Sequence[str], root: Path | str, in_order: bool = False
) -> np.ndarray:
    """(classes,) which output of a model each class of the data is.

    known: the model's classes, in output order; none where it does not say. source, root: of model and data, as
        messages name them. in_order: of a model that does not say: its outputs are the data's classes, in their order.
    Raises: DataError where it names none, or not all of the data's.
    """
    if not known and in_order:
        return np.arange(len(classes))
    if not known:
        raise DataError(
            f"{source}: does not say which classes its outputs are, so labels cannot be matched by name; "
            f"--in-order takes the data's classes, sorted, as its outputs."
        )
    missing = [name for name in classes if name not in known]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        several = "classes" if len(missing) > 1 else "class"
        raise DataError(
            f"{root}: the model does not know the {several} "
            f"{', '.join(repr(name) for name in missing[:NAMED])}{more}; it knows {', '.join(known[:8])}"
            f"{f' and {len(known) - 8} more' if len(known) > 8 else ''}."
        )
    places = {name: place for place, name in enumerate(known)}
    return np.array([places[name] for name in classes])
