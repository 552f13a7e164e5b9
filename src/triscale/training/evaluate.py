"""What a network gets right: top-1 and top-5, class by class, with every image's answer kept.

Where an image may have several labels, `evaluate_several` says what is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.training.evaluate_several import LabelsEvaluation, score_several
from triscale.training.figures import ClassFigures, class_figures, mean
from triscale.training.world import ALONE, World


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One network on one set of images.

    top1, top5: rates in 0..1; with fewer than five classes top5 is over all of them. loss: mean cross-entropy.
    per_class: name -> rate of its images that were recognised; classes without images are left out.
    confusion: (classes, classes) counts, rows are the truth, columns the answer.
    classes: precision, recall and F1 of every class, in output order.
    logits, probabilities: (N, classes) float32. labels, indices: (N,); `indices` say which image of the set a row is.
    seconds: how long it took, reading images included.
    """

    top1: float
    top5: float
    loss: float
    per_class: dict[str, float]
    confusion: np.ndarray
    classes: tuple[ClassFigures, ...]
    logits: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    seconds: float

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def score(self) -> float:
        """What weights are chosen by: top-1."""
        return self.top1

    def rates(self) -> dict[str, float]:
        """Flat rates, as the log holds them."""
        return {"top1": self.top1, "top5": self.top5}

    def metrics(self) -> dict[str, Any]:
        """The figures as plain values, as `metrics.json` holds them; of F1 the mean over classes that have images."""
        f1 = mean([each.f1 for each in self.classes if each.images])
        return {**self.rates(), "f1_macro": f1, "loss": self.loss, "per_class": self.per_class}

    def said(self) -> str:
        """The figure that people ask for first."""
        return f"{self.top1:.2%}"

    def sentence(self, split: str) -> str:
        """The same, saying on how many images of which split."""
        return f"{self.said()} of {self.count} {split} images"

    def occurring(self) -> list[int]:
        """The classes that an image has, or was given: a network may know many more than a set of images shows."""
        return np.flatnonzero(self.confusion.sum(0) + self.confusion.sum(1)).tolist()

    def ranked(self) -> np.ndarray:
        """Rows from the image whose own class got the lowest probability to the surest."""
        own = self.probabilities[np.arange(self.count), self.labels]
        return np.argsort(own, kind="stable")


AnyEvaluation = Evaluation | LabelsEvaluation


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    classes: Sequence[str],
    world: World = ALONE,
) -> AnyEvaluation:
    """Evaluate one model; it is left in the mode it was in.

    batches: (images (B, C, H, W), labels (B,), indices (B,)), as `Batches.epoch` gives them; labels are (B, classes)
        where an image may have several. classes: names.
    Raises: TrainingError when there is no image.
    """
    return evaluate_all([model], batches, classes, world=world)[0]


@torch.inference_mode()
def evaluate_all(
    models: Sequence[nn.Module],
    batches: Iterable[tuple[Tensor, Tensor, Tensor]],
    classes: Sequence[str],
    each_batch: Callable[[], None] | None = None,
    world: World = ALONE,
) -> list[AnyEvaluation]:
    """Evaluate several models on the same batches, reading each image once; `each_batch` is called after each.

    world: processes that share each batch; all of them get the figures of all images, in the images' order.
    """
    modes = [model.training for model in models]
    for model in models:
        model.eval()
    began = time.perf_counter()
    logits: list[list[Tensor]] = [[] for _ in models]
    labels, indices = [], []
    try:
        for images, batch_labels, batch_indices in batches:
            for model, kept in zip(models, logits, strict=True):
                if len(images):  # of a small batch, a process may have no part
                    kept.append(model(place(images, model)).float().cpu())
            labels.append(batch_labels)
            indices.append(batch_indices)
            if each_batch is not None:
                each_batch()
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)
    if not labels:
        raise TrainingError("there is no image to evaluate on; the split is empty.")
    width = len(classes)
    found = [torch.cat(kept) if kept else torch.empty(0, width) for kept in logits]
    truth, rows, *found = _of_all([torch.cat(labels), torch.cat(indices), *found], world)
    seconds = time.perf_counter() - began
    return [score(each, truth, rows.numpy(), classes, seconds) for each in found]


def _of_all(tensors: list[Tensor], world: World) -> list[Tensor]:
    """Labels, indices and logits of all processes, in the order of the indices."""
    if world.is_alone:
        return tensors
    whole = [torch.cat(world.gather(each)) for each in tensors]
    order = whole[1].argsort(stable=True)
    return [each[order] for each in whole]


def place(images: Tensor, model: nn.Module) -> Tensor:
    """Images on the model's device, in the memory layout of its first layer."""
    first = next(model.parameters())
    channels_last = first.ndim == 4 and first.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if first.is_cuda:  # from pinned memory the copy goes on while this process does something else
        images = images.contiguous(memory_format=layout).pin_memory()
    return images.to(first.device, memory_format=layout, non_blocking=first.is_cuda)


def score(
    logits: Tensor, labels: Tensor, indices: np.ndarray, classes: Sequence[str], seconds: float = 0.0
) -> AnyEvaluation:
    """Figures from answers.

    logits: (N, classes) float32. labels: (N,) int64, or (N, classes) of 0 and 1 where an image may have several.
    indices: (N,), which image of the set each row is. classes: names, in output order.
    Raises: TrainingError where there are not as many outputs as classes.
    """
    if logits.ndim != 2 or logits.shape[1] != len(classes):
        raise TrainingError(
            f"the model gives {tuple(logits.shape[1:])} outputs an image, the data has {len(classes)} classes."
        )
    if labels.ndim == 1 and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise TrainingError(
            f"labels go from {int(labels.min())} to {int(labels.max())}, and there are {len(classes)} classes: "
            f"a label is a position among them."
        )
    if labels.ndim == 2:
        return score_several(logits.numpy(), labels.numpy(), indices, classes, seconds)
    loss = float(nn.functional.cross_entropy(logits, labels))
    best = logits.topk(min(5, len(classes)), dim=1).indices
    right = best == labels[:, None]
    count = len(classes)
    confusion = torch.bincount(labels * count + best[:, 0], minlength=count * count).reshape(count, count)
    totals, hits = confusion.sum(1), confusion.diagonal()
    return Evaluation(
        top1=int(right[:, 0].sum()) / len(labels),
        top5=int(right.any(1).sum()) / len(labels),
        loss=loss,
        per_class={name: int(hits[i]) / int(totals[i]) for i, name in enumerate(classes) if totals[i]},
        confusion=confusion.numpy(),
        classes=class_figures(classes, hits.numpy(), confusion.sum(0).numpy(), totals.numpy()),
        logits=logits.numpy(),
        probabilities=logits.softmax(1).numpy(),
        labels=labels.numpy(),
        indices=indices,
        seconds=seconds,
    )
