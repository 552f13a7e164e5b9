"""Pictures of the worst images, and the page that shows them."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.report.test_page import Page
from tests.training.detection.sets import answer
from triscale.data.detection.dataset import BoxLabel, BoxSample
from triscale.report.detection_page import write_detection
from triscale.report.detection_pictures import LOST, RED, RIGHT, marks, pictures
from triscale.report.detection_summary import JudgedImage, ToldBox, TrueBox, detection_summary
from triscale.training.detection.evaluation import score_detections

A, B, C = (10.0, 20.0, 60.0, 90.0), (100.0, 20.0, 150.0, 90.0), (30.0, 100.0, 90.0, 150.0)


@pytest.fixture
def judged(tmp_path):
    path = tmp_path / "grey.png"
    Image.new("RGB", (200, 160), (128, 128, 128)).save(path)
    objects = (TrueBox(A, "cat", True), TrueBox(B, "dog", False))
    return JudgedImage(path, objects, (ToldBox(A, "cat", 0.9, ""), ToldBox(C, "<i>cow</i>", 0.8, "background")))


def images_in(html):
    return [Image.open(io.BytesIO(base64.b64decode(each))) for each in re.findall(r'base64,([^"]+)"', html)]


def test_right_wrong_and_lost_are_told_apart_by_words_colour_and_line(judged):
    assert [(each.box, each.text, each.colour, each.dashed) for each in marks(judged)] == [
        (B, "dog not found", LOST, True),
        (A, "cat 0.90", RIGHT, False),
        (C, "<i>cow</i> 0.80 background", RED, False),
    ]


def test_boxes_are_drawn_where_they_are(judged):
    (picture,) = images_in(pictures([judged]))
    assert picture.size == (600, 480)  # three times, up to 640
    pixels = np.asarray(picture.convert("RGB")).astype(int)

    def is_near(x, y, colour):
        around = pixels[3 * y - 6 : 3 * y + 7, 3 * x - 6 : 3 * x + 7].reshape(-1, 3)
        return np.abs(around - colour).sum(1).min() < 90

    assert all(is_near(x, 55, RIGHT) for x in (10, 60))
    assert is_near(30, 125, RED)
    assert not is_near(35, 55, RIGHT)
    assert pixels[165, 105].tolist() == pytest.approx([128, 128, 128], abs=4)  # inside it is the image


def test_the_words_under_it_say_what_is_wrong(judged):
    page = Page(pictures([judged]))
    assert " ".join("".join(page.words).split()).endswith("grey.png: 1 background, 1 not found")
    assert page.attributes("alt") == ["grey.png: 1 background, 1 not found"]


def test_an_image_that_has_gone_is_said_to_be_gone(judged, tmp_path):
    (tmp_path / "grey.png").unlink()
    assert "this image can no longer be read" in pictures([judged])


def test_no_image_is_no_heading():
    assert pictures([]) == ""


def test_the_page_is_one_file_with_everything(tmp_path):
    path = tmp_path / "one.png"
    Image.new("RGB", (200, 160), (90, 120, 90)).save(path)
    samples = [BoxSample(path, (160, 200), (BoxLabel(*A, 0), BoxLabel(*B, 1)))]
    found = [answer((*A, 0, 0.9), (*B, 0, 0.8))]
    evaluation = score_detections(found, samples, ("cat", "dog"), threshold=0.5)
    write_detection(
        detection_summary(evaluation, found, samples, "test"), "a <run>", "runs/a", "set", tmp_path / "p.html"
    )
    page = Page((tmp_path / "p.html").read_text())
    words = " ".join(" ".join(page.words).split())
    assert "a <run>" in words
    assert f"{100 * evaluation.score:.1f} % mAP" in words.replace("\u202f", " ")
    assert "one.png: 1 classification, 1 not found" in re.sub(r"\s+", " ", words)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe"}
    assert all(each.startswith("data:image/") for each in page.attributes("src"))
