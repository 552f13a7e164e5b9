"""What an exported file says about itself, so that it can be used without the model that it came from."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from triscale.errors import FileError, SpecError, TriscaleError
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    from triscale.models.model import Model

KEY = "triscale"  # under which every engine's file keeps it
FORMAT = 2  # a detector's; what a classifier's file says has not changed since 1


@dataclass(frozen=True, slots=True)
class Told:
    """What a detector's file gives.

    suppression: which of its boxes are told. inside: whether the file does so itself, and gives boxes, scores, labels
    and count; if not, it gives boxes and scores of all anchors.
    """

    suppression: Suppression
    inside: bool


@dataclass(frozen=True, slots=True)
class Metadata:
    """Written into every exported file.

    network: its name. preprocessing: how an image becomes its input.
    classes: names in output order, empty where unknown. in_channels, outputs: of the tensors.
    input_size: (H, W) in pixels; the only size that the file reads. precision: of weights and arithmetic.
    origin, licence: of the weights, as the model card has them.
    several, temperature: as the model card has them.
    detector: of a detector; None for a classifier.
    weights_crc32: of the file that holds the weights where that is another one (OpenVINO's .bin), else 0.
    """

    network: str
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    input_size: Size
    in_channels: int
    outputs: int
    precision: str = "fp32"
    origin: str = ""
    licence: str = ""
    weights_crc32: int = 0
    several: bool = False
    temperature: float | None = None
    detector: Told | None = None
    format: int = 1

    def __post_init__(self) -> None:
        """Refuse a temperature that divides by nothing. Raises: SpecError."""
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise SpecError(f"temperature must be above 0 and finite, got {self.temperature!r}")


def describe(model: Model, size: Size | None = None, told: Told | None = None) -> Metadata:
    """What an export of `model` for images of `size` says about itself; `told` of a detector."""
    preprocessing = model.preprocessing
    if size is not None:
        preprocessing = replace(preprocessing, size=size)
    return Metadata(
        model.name,
        preprocessing,
        model.card.classes,
        preprocessing.size,
        model.in_channels,
        model.outputs,
        origin=model.card.origin,
        licence=model.card.licence,
        several=model.card.several,
        temperature=model.card.temperature,
        detector=told,
        format=1 if told is None else FORMAT,
    )


def encode(metadata: Metadata) -> str:
    """Metadata as one line of ASCII JSON, which survives in an XML attribute."""
    return json.dumps(msgspec.to_builtins(metadata), ensure_ascii=True, separators=(",", ":"))


def decode(text: str, path: object) -> Metadata:
    """Undoes `encode`; `path` names the file in errors.

    Raises: FileError when it is no metadata of ours, or of a newer triscale.
    """
    try:
        found = msgspec.json.decode(text)
        version = found.get("format") if isinstance(found, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise FileError(
                f"{path}: was written by a newer triscale (format {version}, this one reads up to {FORMAT}); "
                "upgrade triscale, or export again with this one."
            )
        return msgspec.convert(found, Metadata)
    except FileError:
        raise
    except (msgspec.MsgspecError, UnicodeError, TriscaleError) as error:
        raise FileError(f"{path}: its description cannot be read ({error}); export the model again.") from error
