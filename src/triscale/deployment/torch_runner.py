"""A model as PyTorch runs it fastest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from triscale.deployment.fuse import fuse
from triscale.detection.detect import detect
from triscale.detection.detections import Detections
from triscale.detection.detector import DetectorNet
from triscale.detection.fold import fold
from triscale.models.assembler import ConvNet
from triscale.models.model import Model
from triscale.spec.suppression import Suppression


@dataclass(frozen=True, slots=True, eq=False)
class Runner:
    """answers: all outputs for a batch. detect: of a detector, in pixels of the input; None for other models."""

    answers: Callable[[np.ndarray], Sequence[np.ndarray]]
    detect: Callable[[np.ndarray, Suppression], list[Detections]] | None


def torch_runner(model: Model, threads: int) -> Runner:
    """A network in its fused form, a detector with its BatchNorms folded, a module of the user's own as it is.

    model: in evaluation mode. threads: of one inference.
    """
    runs = _runs(model)
    layout = torch.channels_last if isinstance(model, ConvNet | DetectorNet) else torch.contiguous_format
    runs.to(memory_format=layout)  # ty: ignore[no-matching-overload] -- torch's stub lacks it

    def within(images: np.ndarray, call: Callable[[torch.Tensor], Any]) -> Any:
        # The number of threads belongs to the whole process, and decides the last bits of a training in it.
        before = torch.get_num_threads()
        if before != threads:
            torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                return call(torch.from_numpy(images).to(memory_format=layout))
        finally:
            if before != threads:
                torch.set_num_threads(before)

    def answers(images: np.ndarray) -> Sequence[np.ndarray]:
        found = within(images, runs)
        return [each.numpy() for each in (found if isinstance(found, tuple) else (found,))]

    def told(images: np.ndarray, rule: Suppression) -> list[Detections]:
        assert isinstance(runs, DetectorNet)
        return within(images, lambda batch: detect(runs, batch, rule))

    return Runner(answers, told if isinstance(model, DetectorNet) else None)


def _runs(model: Model) -> nn.Module:
    """What is run for a model."""
    match model:
        case ConvNet():
            return fuse(model)
        case DetectorNet():
            folded = fold(model)
            folded.fixed(model.preprocessing.size)
            return folded
    return model
