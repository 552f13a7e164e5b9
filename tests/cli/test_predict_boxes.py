"""`predict`, `export` and `bench` of a detector."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import triscale.deployment.latency as latency
from tests.detection.helpers import small_model
from tests.fitted import refusal, triscale
from triscale.data.detection.draw import class_colour
from triscale.data.transforms import load as load_image
from triscale.detection.detect import detect, to_image
from triscale.models.files import save
from triscale.spec.card import ModelCard
from triscale.spec.detector import Heads
from triscale.spec.placement import place
from triscale.spec.suppression import Suppression

NAMES = ("ant", "bee", "cat", "dog", "eel")
SIZE = (120, 200)


@pytest.fixture(autouse=True)
def _measured_here(monkeypatch):
    """Latency in this process: one of its own for each file takes longer than the export."""
    monkeypatch.setattr(latency, "measure_fresh", latency.measure)


@pytest.fixture(scope="module")
def model():
    model = small_model(suppression=Suppression(score=0.1, detections=9), heads=Heads(2, prior=0.3))
    model.preprocessing = replace(model.preprocessing, size=(96, 128))
    model.card = ModelCard(classes=NAMES)
    return model


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("detector") / "model.safetensors"
    save(model, path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of three images of noise."""
    folder = tmp_path_factory.mktemp("photos")
    dice = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(dice.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def test_json_is_a_list_of_files_with_boxes_in_pixels_of_the_image(file, model, photos):
    done = triscale("predict", file, photos, "--json", "--score", "0")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert [each["file"] for each in found] == [str(photos / f"{name}.png") for name in "abc"]
    assert [list(box) for box in found[0]["boxes"]] == [["name", "score", "xyxy"]] * 9
    (told,) = detect(model, load_image(photos / "a.png", model.preprocessing)[None])
    expected = to_image(told, place(model.preprocessing, SIZE), SIZE)
    assert [box["name"] for box in found[0]["boxes"]] == [NAMES[label] for label in expected.labels]
    np.testing.assert_allclose([box["score"] for box in found[0]["boxes"]], expected.scores, atol=1e-5)
    np.testing.assert_allclose([box["xyxy"] for box in found[0]["boxes"]], expected.boxes, atol=0.05)


def test_the_table_has_a_line_for_each_box(file, photos):
    lines = triscale("predict", file, photos / "a.png", "--score", "0", "--top", "2").out.splitlines()
    assert lines[0] == str(photos / "a.png")
    assert len(lines) == 3
    score, *corners, name = lines[1].split()
    assert score.endswith("%")
    assert len([float(each) for each in corners]) == 4
    assert name in NAMES


def test_a_high_score_leaves_nothing_and_says_how_to_see_more(file, photos):
    done = triscale("predict", file, photos / "a.png", "--score", "0.999")
    assert done.out.splitlines()[1] == "  no box has enough of a score; a lower --threshold shows more"


def test_boxes_are_drawn_into_a_folder(file, photos, tmp_path):
    (tmp_path / "more").mkdir()
    Image.open(photos / "a.png").save(tmp_path / "more" / "a.png")
    folder = tmp_path / "drawn"
    done = triscale(
        "predict", file, photos, tmp_path / "more", "--draw", folder, "--score", "0", "--top", "1", "--json"
    )
    assert done.code == 0, done.err
    assert sorted(each.name for each in folder.iterdir()) == ["a-2.jpg", "a.jpg", "b.jpg", "c.jpg"]
    (box,) = json.loads(done.out)[1]["boxes"]
    picture = np.asarray(Image.open(folder / "b.jpg")).astype(int)
    scale = picture.shape[1] / SIZE[1]
    assert scale == picture.shape[0] / SIZE[0] == int(scale)
    x1, y1, x2, y2 = (int(side * scale) for side in box["xyxy"])
    colour = np.array(class_colour(NAMES.index(box["name"])))
    near = picture[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3]
    framed = np.abs(near - colour).max(2) < 60  # JPEG
    assert framed.any(1).mean() > 0.9  # nearly every row has its left or right line


def test_pictures_never_overwrite_the_images(file, photos, tmp_path):
    Image.open(photos / "a.png").save(tmp_path / "a.jpg")
    before = (tmp_path / "a.jpg").read_bytes()
    said = refusal("predict", file, tmp_path / "a.jpg", "--draw", tmp_path)
    assert f"{tmp_path / 'a.jpg'}: its picture would overwrite it; give --draw another folder" in said
    assert (tmp_path / "a.jpg").read_bytes() == before


def test_files_that_cannot_be_read_are_told_after_all_others_were_answered(file, photos, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    done = triscale("predict", file, tmp_path / "text.png", photos / "a.png", "--json", "--draw", tmp_path / "drawn")
    assert done.code == 2
    assert done.err == "triscale: 1 of 2 files could not be read; the others were answered.\n"
    assert [list(each) for each in json.loads(done.out)] == [["file", "error"], ["file", "boxes"]]
    assert [each.name for each in (tmp_path / "drawn").iterdir()] == ["a.jpg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--calibrated",), "is a detector, whose scores have no temperature"),
        (("--score", "2"), "--threshold must be in 0..1, got 2"),
        (("--draw", "FILE"), "is a file; give a folder for the pictures"),
    ],
)
def test_what_makes_no_sense_for_boxes_is_one_line(file, photos, arguments, said):
    given = [str(photos / "a.png") if each == "FILE" else each for each in arguments]
    assert said in refusal("predict", file, photos / "a.png", *given)


def test_a_classifier_draws_no_boxes(photos, tmp_path):
    said = refusal("predict", "efficientnet_lite0", photos / "a.png", "--draw", tmp_path)
    assert "is a classifier and finds no boxes; leave --draw out" in said


@pytest.mark.parametrize("suppression", ["in", "out"])
def test_an_exported_detector_is_verified_and_predicts_the_same(file, photos, suppression, tmp_path):
    out = tmp_path / "model.onnx"
    done = triscale("export", file, out, "--suppression", suppression, "--images", photos, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert (said["verified"], said["images"], said["detections"], said["wrong"]) == (True, 3, 27, 0)
    assert said["latency_ms"] > 0
    first, second = (json.loads(triscale("predict", each, photos, "--json").out) for each in (file, out))
    assert [[b["name"] for b in each["boxes"]] for each in first] == [[b["name"] for b in e["boxes"]] for e in second]


def test_an_export_says_how_many_detections_were_compared(file, photos, tmp_path):
    arguments = ("--suppression", "in", "--classes", "together", "--iou", "0.3", "--score", "0.2", "--images", photos)
    lines = triscale("export", file, tmp_path / "model.onnx", *arguments).out.splitlines()
    assert " detections on 3 images, 0 of them wrong; largest differences " in lines[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--suppression", "in", "--method", "soft"), "soft suppression cannot be part of a graph; leave it out"),
        (("--iou", "2"), "Suppression.iou must be in 0..1, got 2"),
        (("--images", "nothing"), "nothing: no such file"),
    ],
)
def test_an_export_that_cannot_be_is_one_line(file, tmp_path, arguments, said):
    assert said in refusal("export", file, tmp_path / "model.onnx", *arguments)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("command", ["predict", "export"])
def test_a_detector_without_weights_is_one_line(command, tmp_path):
    said = refusal(command, "efficientdet_d0", tmp_path / "model.onnx")
    assert "efficientdet_d0: is a detector without weights on this machine" in said


def test_an_export_of_a_classifier_has_no_suppression(tmp_path):
    out = tmp_path / "model.onnx"
    assert "finds no boxes" in refusal("export", "efficientnet_lite0", out, "--suppression", "in")
    assert "finds no boxes; leave --method" in refusal("export", "efficientnet_lite0", out, "--iou", "0.4")


def test_an_export_that_finds_nothing_is_not_called_verified(file, tmp_path):
    done = triscale("export", file, tmp_path / "model.onnx", "--score", "0.99", "--count", "2")
    assert done.code == 1
    assert "cannot be verified: the detector finds nothing on these 2 images" in done.complaint


def test_a_detector_is_timed_by_every_engine(file):
    done = triscale("bench", file, "--engine", "torch", "onnx", "--threads", "1", "--json", "--quiet")
    assert done.code == 0, done.err
    assert [each["engine"] for each in json.loads(done.out)] == ["torch", "onnxruntime"]
    assert all(each["median_ms"] > 0 for each in json.loads(done.out))
