"""ModelCard: what a person must know of a weight file: its classes, where it comes from, under which licence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from triscale.errors import SpecError


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What travels with weights beside the tensors.

    classes: names in output order; empty where unknown.
    origin: where the weights come from (a package and version, a URL, or "trained by triscale").
    licence: SPDX name or the owner's words; empty where unknown.
    sha256: of the file that the weights were first read from.
    metrics: name -> value in 0..1, as measured by the origin.
    notes: anything else that a person should know (what was trained on what, with which recipe).
    several: whether an image may have several of the classes, or none: probabilities are then sigmoids of the
        logits, each for itself, instead of one softmax.
    temperature: divides the logits where probabilities should be as sure as they are right; None where not measured.
    """

    classes: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""
    sha256: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    notes: str = ""
    several: bool = False
    temperature: float | None = None

    def __post_init__(self) -> None:
        """Refuse a temperature that divides by nothing. Raises: SpecError."""
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise SpecError(f"card.temperature must be above 0 and finite, got {self.temperature!r}.")
