"""ModelCard: what a person must know of a weight file: its classes, where it comes from, under which licence."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What travels with weights beside the tensors.

    classes: names in output order; empty where unknown.
    origin: where the weights come from (a package and version, a URL, or "trained by triscale").
    licence: SPDX name or the owner's words; empty where unknown.
    sha256: of the file that the weights were first read from.
    metrics: name -> value in 0..1, as measured by the origin.
    notes: anything else that a person should know (what was trained on what, with which recipe).
    """

    classes: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""
    sha256: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    notes: str = ""
