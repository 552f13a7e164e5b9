"""Published COCO accuracies of the released detectors, each with what it was measured on. None was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from triscale.spec.families.efficientdet import own_detector_name

On = Literal["test-dev2017", "val2017"]
DetectorSource = Literal["EfficientDet paper", "google/automl", "effdet"]

DETECTOR_SOURCES: Mapping[DetectorSource, str] = {
    "EfficientDet paper": "https://arxiv.org/abs/1911.09070v7, table 2",
    "google/automl": "efficientdet/README.md",
    "effdet": "effdet 0.4.1, README.md: its own measurement of Google's weights, with hard suppression",
}


class Accuracy(NamedTuple):
    """One published AP on COCO, per cent, of a single model at a single scale."""

    ap: float
    on: On
    source: DetectorSource


# test-dev (paper), val2017 (google/automl), val2017 (effdet)
D = {
    "efficientdet_d0": (34.6, 34.3, 34.2),
    "efficientdet_d1": (40.5, 40.2, 40.1),
    "efficientdet_d2": (43.9, 43.5, 43.4),
    "efficientdet_d3": (47.2, 46.8, 47.1),
    "efficientdet_d4": (49.7, 49.3, 49.2),
    "efficientdet_d5": (51.5, 51.2, 51.2),
    "efficientdet_d6": (52.6, 52.1, 52.0),
    "efficientdet_d7": (53.7, 53.4, 53.1),
    "efficientdet_d7x": (55.1, 54.4, 54.3),
}

# val2017: float (google/automl), effdet
LITE = {
    "efficientdet_lite0": (26.41, 27.1),
    "efficientdet_lite1": (31.5, 32.2),
    "efficientdet_lite2": (35.06, 35.9),
    "efficientdet_lite3": (38.77, 39.6),
    "efficientdet_lite3x": (42.64, 43.6),
    "efficientdet_lite4": (43.18, 44.2),
}


def accuracies(name: str) -> tuple[Accuracy, ...]:
    """Published APs of a released detector, its owner's first.

    Raises: SpecError for an unknown name.
    """
    own = own_detector_name(name)
    if own in D:
        paper, automl, effdet = D[own]
        return (
            Accuracy(paper, "test-dev2017", "EfficientDet paper"),
            Accuracy(automl, "val2017", "google/automl"),
            Accuracy(effdet, "val2017", "effdet"),
        )
    automl, effdet = LITE[own]
    return Accuracy(automl, "val2017", "google/automl"), Accuracy(effdet, "val2017", "effdet")
