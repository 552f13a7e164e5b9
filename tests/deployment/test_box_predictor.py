"""Boxes of files, in pixels of the image as a person sees it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.detection.helpers import small_model
from triscale.deployment.box_predictor import BoxPredictor, FoundBox
from triscale.deployment.export import export
from triscale.deployment.predictor import open_any, open_box_predictor, open_predictor
from triscale.detection.detections import Detections
from triscale.errors import DataError, SpecError
from triscale.models.files import save
from triscale.spec.card import ModelCard
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.suppression import Suppression

NAMES = ("white", "grey")


def find_white(images, rule):
    """What a perfect detector tells of black images with one white rectangle: (x1, y1, x2, y2) of what is bright."""
    found = []
    for image in images:
        sides = []
        for axis in (0, 1):
            bright = image[0].max(axis)
            middle = int((bright * np.arange(len(bright))).sum() / bright.sum())
            sides.append((middle - bright[:middle].sum(), middle + bright[middle:].sum()))
        (x1, x2), (y1, y2) = sides
        found.append(Detections([[x1, y1, x2, y2], [0, 0, 9, 9]], [0.9, 0.2], [0, 1]))
    return found


def predictor(size=(256, 256), fit="letterbox", find=find_white):
    reads = Preprocessing(size=size, fit=fit, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear")
    return BoxPredictor("test", reads, NAMES, 2, find, Suppression())


def draw(path, size, box, orientation=1):
    """A black image that a person sees with one white rectangle; stored turned as its EXIF says."""
    image = Image.new("RGB", (size[1], size[0]), "black")
    x1, y1, x2, y2 = box
    ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), "white")
    exif = Image.Exif()
    exif[0x0112] = orientation
    if orientation == 6:
        image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(path, exif=exif, **({"quality": 98, "subsampling": 0} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("into", [(256, 256), (224, 352), (300, 500)])
@pytest.mark.parametrize("size", [(480, 640), (333, 1001), (97, 61)])
def test_boxes_are_those_of_the_image_within_a_pixel_for_any_rectangle(into, size, tmp_path):
    box = (size[1] // 5, size[0] // 3, size[1] // 2, size[0] - size[0] // 6)
    path = draw(tmp_path / "a.png", size, box)
    (found,) = predictor(into).predict([path])
    assert found.size == size
    (only,) = found.boxes  # the other one is below the threshold
    assert (only.name, only.label, only.score) == ("white", 0, pytest.approx(0.9))
    np.testing.assert_allclose(only.xyxy, box, atol=1)


def test_exif_is_applied_before_anything_is_measured(tmp_path):
    box = (30, 150, 140, 260)
    path = draw(tmp_path / "turned.jpg", (400, 200), box, orientation=6)
    with Image.open(path) as stored:
        assert stored.size == (400, 200)  # (width, height), lying on its side
    (found,) = predictor().predict([path])
    assert found.size == (400, 200)  # (height, width), upright
    np.testing.assert_allclose(found.boxes[0].xyxy, box, atol=1)


def test_files_that_cannot_be_read_stop_nobody(tmp_path):
    good = [draw(tmp_path / f"{number}.png", (64, 96), (10, 20, 50, 40)) for number in range(9)]
    (tmp_path / "bad.png").write_text("text")
    found = list(predictor((96, 96)).predict([good[0], tmp_path / "bad.png", *good[1:]]))
    assert [bool(each.error) for each in found] == [False, True, *[False] * 8]
    assert "not an image" in found[1].error
    assert all(len(each.boxes) == 1 for each in found if not each.error)
    with pytest.raises(DataError, match="not an image"):
        predictor((96, 96)).detections([tmp_path / "bad.png"])


def test_top_and_threshold_choose_what_is_told(tmp_path):
    path = draw(tmp_path / "a.png", (64, 96), (10, 20, 50, 40))
    scores = [[box.score for box in found.boxes] for found in predictor((96, 96)).predict([path], threshold=0.0)]
    np.testing.assert_allclose(scores, [[0.9, 0.2]])
    (found,) = predictor((96, 96)).predict([path], top=1, threshold=0.1)
    assert [box.score for box in found.boxes] == [pytest.approx(0.9)]
    (found,) = predictor((96, 96)).predict([path], threshold=0.95)
    assert found.boxes == ()


def test_hard_suppression_is_told_the_threshold_and_soft_is_not(tmp_path):
    path, rules = draw(tmp_path / "a.png", (64, 96), (10, 20, 50, 40)), []

    def find(images, rule):
        rules.append(rule)
        return find_white(images, rule)

    for method in ("hard", "soft"):
        made = replace(predictor((96, 96), find=find), suppression=Suppression(method=method))
        (found,) = made.predict([path], threshold=0.5)
        assert len(found.boxes) == 1
    assert [each.score for each in rules] == [0.5, 0.001]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A detector's model file and its two exported forms."""
    folder = tmp_path_factory.mktemp("files")
    model = small_model(suppression=Suppression(score=0.005, detections=9))
    model.preprocessing = replace(model.preprocessing, size=(96, 128))
    model.card = ModelCard(classes=("a", "b", "c", "d", "e"))
    save(model, folder / "model.safetensors")
    export(model, folder / "out.onnx")
    export(model, folder / "in.onnx", suppression="in")
    return folder


def test_every_file_of_a_detector_predicts_the_same(files, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 500, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    answers = []
    for name in ("model.safetensors", "out.onnx", "in.onnx"):
        opened = open_any(str(files / name))
        assert isinstance(opened, BoxPredictor)
        (found,) = opened.predict([tmp_path / "noise.png"], threshold=0.0)
        answers.append(found.boxes)
    assert len(answers[0]) == 9
    assert isinstance(answers[0][0], FoundBox)
    for other in answers[1:]:
        assert [each.name for each in other] == [each.name for each in answers[0]]
        np.testing.assert_allclose([e.xyxy for e in other], [e.xyxy for e in answers[0]], atol=0.05)
        np.testing.assert_allclose([e.score for e in other], [e.score for e in answers[0]], atol=1e-5)


def test_a_detector_where_a_classifier_is_needed_is_one_line_and_the_other_way_round(files):
    with pytest.raises(SpecError, match="is a detector, which finds boxes and does not name whole images"):
        open_predictor(str(files / "out.onnx"))
    with pytest.raises(SpecError, match="is a classifier, which finds no boxes"):
        open_box_predictor("efficientnet_lite0")
    with pytest.raises(SpecError, match="efficientdet_d0: is a detector without weights on this machine"):
        open_any("efficientdet_d0")
