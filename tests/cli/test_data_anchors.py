import json

import pytest

from tests.boxes import drawn_set, write_coco
from triscale.cli.main import main
from triscale.data.detection.anchors import anchor_report
from triscale.data.detection.read import read_boxes
from triscale.errors import DataError
from triscale.spec.detector import Anchors
from triscale.spec.families.efficientdet import detector
from triscale.spec.files import read_network


@pytest.fixture
def shapes(tmp_path):
    """96 x 128 images of shapes; one of their objects is made a point, and one a crowd."""
    drawn = drawn_set()
    path = write_coco(tmp_path, drawn)
    file = next(path.rglob("*train*.json"))
    document = json.loads(file.read_text())
    document["annotations"][0]["bbox"][2:] = [1.0, 1.0]
    document["annotations"][1]["iscrowd"] = 1
    file.write_text(json.dumps(document))
    return path


def run(capsys, *words):
    code = main(["data", "anchors", *map(str, words)])
    return code, capsys.readouterr()


def test_the_report_says_what_is_reached_and_names_what_is_not(shapes, capsys):
    code, said = run(capsys, shapes, "--detector", "efficientdet_lite0", "--size", 128)
    assert code == 0
    assert "in an input of 128 x 128 pixels" in said.out
    assert "fitted: Anchors(scale=" in said.out
    assert "1 object is smaller than every anchor" in said.out
    assert "1 x 1 pixels" in said.out


def test_the_json_has_what_a_program_needs(shapes, capsys):
    code, said = run(capsys, shapes, "--size", 128, "--json")
    assert code == 0
    report = json.loads(said.out)
    train = read_boxes(shapes).train
    assert report["objects"] == sum(len(each.boxes) for each in train) - 1  # without the crowd
    assert report["before"]["scale"] == 4.0
    assert len(report["after"]["aspects"]) == 3
    whole = report["reach"][-1]
    assert whole["objects"] == report["objects"]
    assert whole["after"] > whole["before"]
    assert report["reach"][2] == {"size": "large", "objects": 0, "before": None, "after": None}
    assert report["missed"][0]["in_input"] == [1, 1]
    assert Anchors(**{key: tuple(map(tuple, v)) if key == "aspects" else v for key, v in report["after"].items()})


def test_objects_are_told_in_pixels_of_the_input(shapes):
    half = anchor_report(read_boxes(shapes), detector("efficientdet_d0"), (64, 64))
    assert (half.missed[0].width, half.missed[0].height) == (0.5, 0.5)
    assert half.missed[0].fault == "small"


def test_a_set_without_objects_is_one_line(tmp_path, capsys):
    path = write_coco(tmp_path)
    for file in path.rglob("*.json"):
        document = json.loads(file.read_text())
        document["annotations"] = []
        file.write_text(json.dumps(document))
    code, said = run(capsys, path)
    assert code == DataError.exit_code
    assert len(said.err.splitlines()) == 1


def test_an_unknown_detector_is_one_line(shapes, capsys):
    code, said = run(capsys, shapes, "--detector", "efficientdet_d9")
    assert code == 2
    assert "no detector is called 'efficientdet_d9'; did you mean" in said.err


def test_the_fitted_anchors_are_written_as_a_detector(shapes, capsys, tmp_path):
    file = tmp_path / "fitted.json"
    code, said = run(capsys, shapes, "--detector", "efficientdet_lite0", "--size", 128, "--write", file)
    assert code == 0
    assert f"written: {file}" in said.out
    made = read_network(file)
    own = detector("efficientdet_lite0")
    assert (made.resolution, made.pyramid, made.heads) == ((128, 128), own.pyramid, own.heads)
    assert made.anchors == anchor_report(read_boxes(shapes, verify=False), own, (128, 128)).fit.after
    assert made.anchors != own.anchors
    assert run(capsys, shapes, "--detector", file)[0] == 0  # and read again


def test_the_input_may_be_a_rectangle(shapes, capsys):
    code, said = run(capsys, shapes, "--size", 96, 160)
    assert code == 0
    assert "in an input of 160 x 96 pixels" in said.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--size", 1, 2, 3), "--size takes one number or height and width, got 3 numbers"),
        (("--write", "fitted.txt"), "--write writes a detector file, got 'fitted.txt'"),
        (("--detector", "efficientdet_d9"), "no detector is called 'efficientdet_d9'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_data_is_read(words, said, tmp_path, capsys):
    code, told = run(capsys, tmp_path / "nowhere", *words)
    assert code == 2
    assert said in told.err


def test_a_network_has_no_anchors(shapes, capsys):
    code, said = run(capsys, shapes, "--detector", "efficientnet_b0")
    assert code == 2
    assert "efficientnet_b0" in said.err
    assert "detector" in said.err
