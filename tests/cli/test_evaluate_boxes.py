"""`triscale eval` where DATA has boxes."""

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch

from tests.fitted import refusal, triscale
from triscale.data.scenes import write_scenes
from triscale.detection.create import create_detector
from triscale.models.create import create_model
from triscale.models.files import save
from triscale.training.detection.coco import NAMES

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("data") / "scenes", images={"train": 6, "val": 4, "test": 6})


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """Fresh weights, so that it finds many boxes and none of them right."""
    torch.manual_seed(0)
    model = create_detector("efficientdet_lite0", num_classes=11)
    model.preprocessing = replace(model.preprocessing, size=(64, 64))
    model.card = replace(model.card, classes=("none", *reversed(DIGITS)))
    path = tmp_path_factory.mktemp("models") / "detector.safetensors"
    save(model, path)
    return path


def test_it_prints_coco_s_figures_mistakes_and_classes(data, detector, tmp_path):
    page = tmp_path / "page.html"
    done = triscale("eval", detector, data, "--report", page, "--threshold", "0.01")
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].startswith(f"{detector}: mAP 0.")
    assert lines[0].endswith(f"objects in 6 test images of {data}")
    assert any(line.startswith("small ") for line in lines)
    assert any(line.startswith("at a score of 0.010: precision ") for line in lines)
    truth = json.loads((data / "annotations" / "instances_test.json").read_text())["annotations"]
    there = {str(each["category_id"] - 1) for each in truth}
    assert {line.split()[0] for line in lines if line} >= {"classification", "background", "missed", *there}
    assert "How good it is" in page.read_text()


def test_json_has_everything_and_classes_by_name(data, detector):
    found = json.loads(triscale("eval", detector, data, "--split", "val", "--json").out)
    assert (found["split"], found["images"]) == ("val", 4)
    truth = json.loads((data / "annotations" / "instances_val.json").read_text())["annotations"]
    assert found["objects"] == len(truth)
    assert set(NAMES) <= set(found)
    objects = {each["name"]: each["objects"] for each in found["classes"] if each["objects"]}
    assert objects == Counter(str(each["category_id"] - 1) for each in truth)
    assert found["confusion"]["classes"][-1] == "(background)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--corruptions"], "has boxes, for which there is no --corruptions"),
        (["--threshold", "1.5"], "--threshold is a score in 0..1, got 1.5"),
        (["--module", "own.py:make"], "has boxes, for which there is no --module"),
        (["--report", "page.txt"], "--report writes a page"),
    ],
)
def test_what_cannot_be_asked_is_one_line(data, detector, options, said):
    assert said in refusal("eval", detector, data, *options)


def test_a_classifier_and_boxes_do_not_go_together(data, tmp_path):
    save(create_model("efficientnet_lite0", num_classes=10), tmp_path / "classifier.safetensors")
    assert f"{data} has boxes, and" in refusal("eval", tmp_path / "classifier.safetensors", data)


def test_a_model_that_is_not_there_is_told_before_the_data_is_read(data, tmp_path):
    (tmp_path / "instances.json").write_text("{}")
    assert "nothing.onnx: no such file" in refusal("eval", tmp_path / "nothing.onnx", tmp_path / "instances.json")


def test_without_objects_or_the_extra_nothing_is_looked_for(detector, data, tmp_path, monkeypatch):
    monkeypatch.setattr("triscale.deployment.judge_boxes.open_image", None)
    shutil.copytree(data, tmp_path / "set")
    file = tmp_path / "set" / "annotations" / "instances_val.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"annotations": []}))
    said = refusal("eval", detector, tmp_path / "set", "--split", "val")
    assert "4 images to evaluate on have no object" in said
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    assert "needs faster-coco-eval, which is not installed" in refusal("eval", detector, data)


def test_a_threshold_is_for_boxes(detector, tmp_path):
    assert "--threshold is for boxes" in refusal("eval", detector, tmp_path, "--threshold", "0.5")
