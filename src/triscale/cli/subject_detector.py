"""A detector as what `triscale train` trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.cli.names import resolve
from triscale.errors import SpecError
from triscale.models.hub.place import is_place
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import detector_from, is_detector
from triscale.spec.files import detector_to_dict, write_network
from triscale.spec.network import Network, Size
from triscale.spec.pyramids import PYRAMIDS

if TYPE_CHECKING:
    from triscale.detection.detector import DetectorNet


class DetectorSubject:
    """A detector with fresh weights or given ones."""

    has_boxes = True

    def __init__(self, name: str, detector: Detector, weights: str | None, size: Size | None) -> None:
        self.weights = name if weights is None and is_place(name) else weights
        # A released name also says how its images are read.
        self._made_of: str | Detector = name if is_detector(name) and detector.name == name else detector
        self.detector, self.size = detector, size
        self.name = detector.name.split("@")[0]
        shown = detector if size is None else _at(detector, size)
        lasting = self.weights in (None, "pretrained") or is_place(self.weights or "")
        self.arguments = {
            "detector": detector_to_dict(shown),
            "weights": (self.weights or "") if lasting else str(Path(self.weights or "").resolve()),
        }

    @property
    def starts_trained(self) -> bool:
        """With weights, of all of it or of its backbone."""
        return bool(self.weights)

    def make(self, classes: int, folder: Path | None, say: Callable[[str], None]) -> DetectorNet:
        """The detector's module; what it is goes to `network.json`."""
        from triscale.detection.create import create_detector_with_report

        model, loaded = create_detector_with_report(self._made_of, self.weights, classes)
        if self.size is not None:
            model.backbone.network = replace(model.backbone.network, resolution=self.size)
            model.detector = _at(model.detector, self.size)
            model.preprocessing = replace(model.preprocessing, size=self.size)
        if folder is not None:
            write_network(model.detector, folder / "network.json")
        if loaded:
            say(f"weights: {loaded}")
        return model


def with_parts(found: Network | Detector, backbone: str | None, pyramid: str | None) -> Network | Detector:
    """A detector with another backbone or pyramid, by their names; a network with a pyramid becomes a detector.

    The pyramid is as wide and repeated as the detector's own. Raises: SpecError for a name that is none.
    """
    if backbone is not None:
        if not isinstance(found, Detector):
            raise SpecError(f"--backbone is for detectors; {found.name} is a network: give --pyramid to make it one.")
        own = resolve(backbone)
        headless = replace(own, head=None, resolution=found.resolution)
        found = replace(found, name=f"{found.name}-{own.name}", backbone=headless)
    if pyramid is None:
        return found
    if pyramid not in PYRAMIDS:
        raise SpecError(f"no pyramid is called {pyramid!r}; choose one of {', '.join(PYRAMIDS)}.")
    if not isinstance(found, Detector):
        found = detector_from(found)
    old = found.pyramid
    made = PYRAMIDS[pyramid](old.channels, old.repeats, old.levels, old.fusion, old.activation)
    return replace(found, name=f"{found.name.removesuffix('-' + old.kind)}-{pyramid}", pyramid=made)


def _at(detector: Detector, size: Size) -> Detector:
    return replace(detector, backbone=replace(detector.backbone, resolution=size))
