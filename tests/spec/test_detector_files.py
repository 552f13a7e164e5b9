import json

import pytest
from hypothesis import given

from tests.spec.strategies import detectors
from triscale.errors import SpecError
from triscale.spec.detector_files import detector_from_dict, detector_to_dict
from triscale.spec.families.efficientdet import DETECTOR_ALIASES, detector, list_detectors


def through_json(made):
    return json.loads(json.dumps(detector_to_dict(made)))


@pytest.mark.parametrize("name", [*list_detectors(), *DETECTOR_ALIASES])
def test_every_released_detector_survives_json(name):
    made = detector(name)
    back = detector_from_dict(through_json(made))
    assert (back, back.name, back.pyramid.kind) == (made, name, "bifpn")
    assert through_json(back) == through_json(made)


@given(detectors)
def test_any_detector_survives_json(made):
    back = detector_from_dict(through_json(made))
    assert (back, back.name) == (made, made.name)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.update(clases=3), r"unknown key 'clases'; did you mean 'classes'"),
        (lambda d: d.update(classes="3"), r"detector\.classes: Expected `int`"),
        (lambda d: d.pop("pyramid"), "detector: pyramid is missing"),
        (lambda d: d.update(pyramid=3), r"detector\.pyramid must be an object, got int"),
        (lambda d: d["pyramid"].update(fusion="slow"), r"detector\.pyramid\.fusion: expected one of fast, softmax, sum"),
        (lambda d: d["pyramid"].update(nodes={}), r"detector\.pyramid\.nodes must be a list of at most 256 nodes"),
        (lambda d: d["pyramid"].update(nodes=[{}] * 257), "must be a list of at most 256 nodes"),
        (lambda d: d["pyramid"]["nodes"][0].update(level=99), r"detector\.pyramid\.nodes\[0\]: Node\.level"),
        (lambda d: d["pyramid"]["nodes"][0].update(inputs=[77]), "reads map 77, but only 0..4 come before it"),
        (lambda d: d["anchors"].update(octaves=["a"]), r"detector\.anchors\.octaves"),
        (lambda d: d["backbone"].update(stages=[]), "has no stages"),
        (lambda d: d["suppression"].update(iou=2), r"detector\.suppression: Suppression\.iou must be in 0\.\.1, got 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(change, told):
    values = through_json(detector("efficientdet_d0"))
    change(values)
    with pytest.raises(SpecError, match=told):
        detector_from_dict(values)


def test_what_is_no_object_is_told():
    with pytest.raises(SpecError, match="detector must be an object, got list"):
        detector_from_dict([])
