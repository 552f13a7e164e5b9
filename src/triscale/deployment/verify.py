"""Whether an exported file gives the answers of the model that it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from triscale.deployment.engine import load_engine
from triscale.errors import SpecError, VerificationError

TOLERANCE = 1e-3  # on logits, in fp32
BATCH = 16


@dataclass(frozen=True, slots=True)
class Verification:
    """How a file's answers compare with its model's.

    images: how many were compared.
    max_error: largest absolute difference of any logit; NaN when an answer is none.
    top1_agreement: share of images for which both name the same class first, 0..1.
    tolerance: what max_error must stay below.
    """

    path: Path
    engine: str
    images: int
    max_error: float
    top1_agreement: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Every logit within the tolerance, and the same class first on every image."""
        return self.max_error < self.tolerance and self.top1_agreement == 1.0

    def said(self, kind: str = "images") -> str:
        """One line on what was found on images of some kind."""
        return (
            f"largest difference {self.max_error:.2e} (allowed {self.tolerance:g}), same first class on "
            f"{self.top1_agreement:.1%} of {self.images} {kind}"
        )

    def figures(self) -> dict[str, object]:
        """For JSON."""
        return {
            "images": self.images,
            "max_error": finite(self.max_error),
            "top1_agreement": self.top1_agreement,
        }

    def require(self) -> Verification:
        """Itself when `ok`. Raises: VerificationError (exit code 1) that says by how much it differs."""
        if not self.ok:
            raise VerificationError(
                f"{self.path}: differs from the model that it was exported from: largest difference "
                f"{self.max_error:.3g} (allowed {self.tolerance:g}), same first class on {self.top1_agreement:.1%} "
                f"of {self.images} images (needed 100%); do not ship it, export again."
            )
        return self


def finite(error: float) -> float | None:
    """What JSON can hold of an error: None where it is no number."""
    return error if math.isfinite(error) else None


def verify(model: nn.Module, path: str | Path, images: Tensor, tolerance: float = TOLERANCE) -> Verification:
    """Run the same images through the model and through the exported file.

    model: as trained, not fused. images: (N, C, H, W) float32, preprocessed for the file's input size.
    Returns: Verification; call `.require()` to refuse a file that differs.
    Raises: FileError when the file cannot be loaded; SpecError when the images do not fit it.
    """
    if len(images) == 0:
        raise SpecError("verify() got no images; give at least one.")
    engine = load_engine(path)
    was_training = model.training
    model.eval()
    worst, agreeing, device = 0.0, 0, next(model.parameters()).device
    try:
        with torch.inference_mode():
            for batch in images.split(BATCH):
                expected = model(batch.to(device)).cpu()
                found = torch.from_numpy(engine.run(batch.cpu().numpy()))
                # Neither max() nor a comparison keeps a NaN by itself; torch's maximum does.
                error = (expected - found).abs().max()
                worst = float(torch.maximum(error, torch.tensor(worst)))
                agreeing += int((expected.argmax(1) == found.argmax(1)).sum())
    finally:
        model.train(was_training)
    return Verification(Path(path), engine.name, len(images), worst, agreeing / len(images), tolerance)
