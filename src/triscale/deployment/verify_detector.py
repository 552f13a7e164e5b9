"""Whether a detector's exported file tells what the detector tells that it came from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from triscale.deployment.detections_check import PIXELS, SCORE, Difference, compare, expected
from triscale.deployment.engine import Engine, load_engine
from triscale.deployment.verify import finite
from triscale.detection.boxes import clip, decode
from triscale.detection.detector import DetectorNet
from triscale.errors import SpecError, VerificationError

BATCH = 4


@dataclass(frozen=True, slots=True)
class DetectorVerification:
    """How a file's detections compare with its detector's.

    images, detections: how many were compared; detections are the eager ones.
    wrong: detections that one side tells and the other does not, where rounding cannot be why.
    same: share of images in which none is wrong, 0..1.
    max_score_error, max_box_error: the largest differences, boxes in pixels of the input; where suppression is not in
        the file, over all anchors. NaN when an answer is none.
    """

    path: Path
    engine: str
    images: int
    detections: int
    wrong: int
    same: float
    max_score_error: float
    max_box_error: float

    @property
    def ok(self) -> bool:
        """No detection is wrong, some were compared, and all differences are rounding."""
        close = self.max_score_error < SCORE and self.max_box_error < PIXELS
        return close and self.wrong == 0 and self.detections > 0

    def said(self, kind: str = "images") -> str:
        """One line on what was found on images of some kind."""
        return (
            f"{self.detections:,} detections on {self.images} {kind}, {self.wrong} of them wrong; largest differences "
            f"{self.max_score_error:.2e} in score (allowed {SCORE:g}), {self.max_box_error:.2g} px in boxes "
            f"(allowed {PIXELS:g})"
        )

    def figures(self) -> dict[str, object]:
        """For JSON."""
        return {
            "images": self.images,
            "detections": self.detections,
            "wrong": self.wrong,
            "same_images": self.same,
            "max_score_error": finite(self.max_score_error),
            "max_box_error": finite(self.max_box_error),
        }

    def require(self) -> DetectorVerification:
        """Itself when `ok`. Raises: VerificationError (exit code 1) that says by how much it differs."""
        if self.ok:
            return self
        if self.detections == 0 and self.wrong == 0:
            raise VerificationError(
                f"{self.path}: cannot be verified: the detector finds nothing on these {self.images} images; give "
                f"images with objects of its classes (--images), or a lower score."
            )
        raise VerificationError(
            f"{self.path}: differs from the detector that it was exported from, on {1 - self.same:.1%} of the images: "
            f"{self.said()}; do not ship it, export again."
        )


def verify_detector(model: DetectorNet, path: str | Path, images: Tensor) -> DetectorVerification:
    """Run the same images through the detector and through the exported file.

    model: as trained, not folded. images: (N, C, H, W) float32, preprocessed for the file's input size.
    Detections are held against hard suppression by the file's rule; where that is soft it is not in the file, and what
    is verified are the answers before it.
    Returns: DetectorVerification; call `.require()` to refuse a file that differs.
    Raises: FileError when the file cannot be loaded; SpecError when the images do not fit it, or it is no detector's.
    """
    if len(images) == 0:
        raise SpecError("verify_detector() got no images; give at least one.")
    engine = load_engine(path)
    told = engine.metadata.detector
    if told is None:
        raise SpecError(f"{path}: is a classifier's file; a detector's was expected.")
    was_training = model.training
    model.eval()
    try:
        found = [each for batch in images.split(BATCH) for each in _compared(model, engine, batch)]
    finally:
        model.train(was_training)
    counts, differences = zip(*found, strict=True)
    return DetectorVerification(
        Path(path),
        engine.name,
        len(images),
        sum(counts),
        sum(each.wrong for each in differences),
        sum(not each.wrong for each in differences) / len(images),
        # Python's max keeps a NaN or loses it; numpy's keeps it.
        float(np.max([each.score for each in differences])),
        float(np.max([each.pixels for each in differences])),
    )


def _compared(model: DetectorNet, engine: Engine, batch: Tensor) -> list[tuple[int, Difference]]:
    """For each image of a batch: the number of eager detections, and how the file's differ."""
    told = engine.metadata.detector
    assert told is not None  # as the caller saw
    anchors, size = model.anchors(engine.metadata.input_size), engine.metadata.input_size
    rule = replace(told.suppression, method="hard")
    with torch.inference_mode():
        logits, offsets = (each.cpu() for each in model(batch.to(anchors.device)))
        wanted = expected(logits, offsets, anchors.cpu(), size, rule)
        found = engine.detect(batch.numpy(), rule)
        made = [(len(each.told), compare(mine, each, rule)) for mine, each in zip(found, wanted, strict=True)]
        if told.inside:
            return made
        boxes, scores = (torch.from_numpy(each) for each in engine.answers(batch.numpy()))
        score = float((scores - logits.sigmoid()).abs().max())
        pixels = float((boxes - clip(decode(offsets, anchors.cpu()), size)).abs().max())
    return [(count, replace(each, score=score, pixels=pixels)) for count, each in made]
