import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.spec.strategies import detectors
from triscale.errors import FileError, SpecError
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.families.efficientdet import DETECTOR_ALIASES, detector, detector_from, list_detectors
from triscale.spec.files import detector_from_dict, detector_to_dict, read_network, write_network
from triscale.spec.pyramids import nas_fpn
from triscale.spec.scaling import compound

D0 = detector("efficientdet_d0")


@pytest.mark.parametrize("name", [*list_detectors(), "effdet_efficientdet_d0"])
def test_every_detector_comes_back_from_its_file(name, tmp_path):
    write_network(detector(name), tmp_path / "d.json")
    read = read_network(tmp_path / "d.json")
    assert (read, read.name, read.pyramid.kind) == (detector(name), name, "bifpn")
    assert cost(read) == cost(detector(name))
    write_network(read, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "d.json").read_bytes()


@settings(max_examples=30, deadline=None)
@given(made=detectors)
def test_any_detector_comes_back_from_json(made):
    text = json.dumps(detector_to_dict(made))
    read = detector_from_dict(json.loads(text))
    assert (read, read.name, read.backbone.name) == (made, made.name, made.backbone.name)
    assert json.dumps(detector_to_dict(read)) == text


def test_what_was_scaled_or_put_together_comes_back_too(tmp_path):
    made = replace(detector_from(network("resnet50"), nas_fpn(48), classes=3, resolution=(300, 500)), name="mine")
    for each in (made, compound(D0, 1.5)):
        write_network(each, tmp_path / "d.json")
        assert read_network(tmp_path / "d.json") == each


def test_the_file_says_which_kind_it_is(tmp_path):
    write_network(D0, tmp_path / "d.json")
    write_network(network("efficientnet_b0"), tmp_path / "n.json")
    assert json.loads((tmp_path / "d.json").read_text())["format"] == "triscale.detector"
    assert json.loads((tmp_path / "n.json").read_text())["format"] == "triscale.network"
    assert read_network(tmp_path / "n.json") == network("efficientnet_b0")


def test_nodes_are_one_short_row_each():
    assert detector_to_dict(D0)["pyramid"]["nodes"][:2] == [
        {"level": 6, "inputs": [3, 4]},
        {"level": 5, "inputs": [2, 5]},
    ]


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(document):
        place = document
        for step in path:
            place = place[step]
        place[key] = value

    return change


def drop(*path):
    *steps, key = path

    def change(document):
        place = document
        for step in steps:
            place = place[step]
        del place[key]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("detector", "neck", 1), "detector has an unknown key 'neck'"),
        (put("detector", "heads", "repeat", 3), "detector.heads has an unknown key 'repeat'; did you mean 'repeats'"),
        (put("detector", "pyramid", "nodes", 0, "inputs", [9]), r"detector.pyramid: Pyramid.nodes\[0\] reads map 9"),
        (put("detector", "pyramid", "nodes", 0, "level", "6"), r"detector.pyramid.nodes\[0\].level: Expected `int`"),
        (put("detector", "pyramid", "nodes", [{}] * 257), "detector.pyramid.nodes must be a list of at most 256 nodes"),
        (put("detector", "pyramid", "nodes", 7), "detector.pyramid.nodes must be a list of at most 256 nodes, got 7"),
        (put("detector", "pyramid", "fusion", "mean"), "detector.pyramid.fusion: expected one of fast, softmax, sum"),
        (put("detector", "backbone", "stem", "kernel", 4), "detector.backbone.stem: Stem.kernel must be odd"),
        (put("detector", "backbone", "head", {}), "detector: Detector 'efficientdet_d0': its backbone has a head"),
        (put("detector", "anchors", "aspects", [[1]]), "detector.anchors.aspects"),
        (put("detector", "classes", 0), "detector: Detector.classes must be a whole number in 1.."),
        (put("detector", "suppression", "iou", 2), "detector.suppression: Suppression.iou must be in 0..1"),
        (drop("detector", "pyramid"), "detector: pyramid is missing"),
        (drop("detector", "backbone"), "detector: backbone is missing"),
        (put("detector", None), "detector must be an object, got NoneType"),
    ],
)
def test_a_detector_file_that_says_what_cannot_be_names_the_place(change, message, tmp_path):
    path = tmp_path / "d.json"
    write_network(D0, path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match=message) as refusal:
        read_network(path)
    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "triscale.run"), 'expected a network or detector file \\("format": "triscale.network" or'),
        (put("version", 2), "is of format version 2, this triscale reads 1"),
        (put("version", True), "is of format version True"),
    ],
)
def test_a_file_of_another_format_or_version_is_refused(change, message, tmp_path):
    path = tmp_path / "d.json"
    write_network(D0, path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(FileError, match=message):
        read_network(path)


def test_aliases_are_written_under_their_own_name():
    assert {detector_to_dict(detector(name))["name"] for name in DETECTOR_ALIASES} == set(DETECTOR_ALIASES)
