"""The section on how good a detector is, and the values that it shows."""

import math
import re

import pytest

from tests.report.test_page import Page
from tests.training.detection.sets import answer, image, random_set
from triscale.errors import SpecError
from triscale.report.detection import detection
from triscale.report.detection_summary import ToldBox, TrueBox, detection_summary, judged_image
from triscale.training.detection.evaluation import score_detections

A, B, C = (0, 0, 100, 100), (150, 0, 250, 100), (0, 120, 60, 190)
CLASSES = ("cat", "dog", "<b>bird</b>")
SAMPLES = [image((*A, 0), (*B, 1), name="one.jpg"), image((*C, 0), name="two.jpg"), image(name="three.jpg")]
FOUND = [answer((*A, 0, 0.9), (*B, 0, 0.8)), answer((*C, 0, 0.2)), answer((*A, 2, 0.7))]


def summary_of(found, samples, classes, split="test", threshold=None):
    return detection_summary(score_detections(found, samples, classes, threshold=threshold), found, samples, split)


def words_of(html):
    return re.sub(r"\s+", " ", " ".join(Page(html).words)).replace("\u202f", " ").replace("\u00a0", " ")


@pytest.fixture(scope="module")
def summary():
    return summary_of(FOUND, SAMPLES, CLASSES, threshold=0.5)


def test_a_judged_image_says_of_each_object_and_each_box_what_became_of_it():
    details = score_detections(FOUND, SAMPLES, CLASSES, threshold=0.5).details
    one, two = (judged_image(details, FOUND, SAMPLES, number) for number in (0, 1))
    assert one.path.name == "one.jpg"
    assert one.objects == (TrueBox(A, "cat", True), TrueBox(B, "dog", False))
    assert [each.box for each in one.told] == [A, B]
    assert [each.kind for each in one.told] == ["", "classification"]
    assert one.mistakes() == {"classification": 1, "not found": 1}
    assert (two.objects, two.told) == ((TrueBox(C, "cat", False),), ())  # its box is below the threshold
    assert two.mistakes() == {"not found": 1}
    assert ToldBox(A, "cat", pytest.approx(0.9), "") == one.told[0]


def test_the_worst_images_are_those_with_the_most_mistakes(summary):
    assert [each.path.name for each in summary.worst] == ["one.jpg", "three.jpg", "two.jpg"]


def test_the_section_says_all_figures(summary):
    html = detection(summary)
    words = words_of(html)
    assert "On the test images: 3 objects." in words
    assert "a score of 0.500 or more" in words
    assert "precision 33.3 % recall 33.3 %" in words
    for kind in ("classification", "localisation", "both", "duplicate", "background", "missed"):
        assert kind in words
    assert re.search(r"classification on an object of another class 1 ", words)
    assert "<b>bird</b>" in words  # a name is text, whatever it holds
    assert "b" not in {tag for tag, _ in Page(html).elements}


def test_sizes_without_objects_are_dashes(summary):
    assert math.isnan(summary.figures["map_small"])
    assert re.search(r"small –( )+–", words_of(detection(summary)))


def test_the_matrix_has_background_and_only_classes_that_occur(summary):
    svg = re.search(r"<svg.*?</svg>", detection(summary), re.DOTALL).group()
    assert svg.count("(background)") == 2  # beside its row and below its column
    found, samples = random_set(0, classes=3, unused=())
    for classes, drawn in ((3, True), (80, True)):
        told = detection(summary_of(found, samples, tuple(f"c{i}" for i in range(classes))))
        assert ("<svg" in told) == drawn
        assert "c79" not in (re.search(r"<svg.*?</svg>", told, re.DOTALL) or [""])[0]


def test_it_says_where_training_chose_by_these_images():
    assert "training chose its best state on these very images" in detection(summary_of(FOUND, SAMPLES, CLASSES, "val"))


def test_nothing_right_has_no_threshold():
    html = detection(summary_of([answer()], [image((*A, 0))], CLASSES))
    assert "No box is right at any score" in html
    assert "inf" not in html


def test_many_classes_are_folded_away():
    found, samples = random_set(1, classes=30, images=60)
    html = detection(summary_of(found, samples, tuple(f"class {i}" for i in range(30))))
    assert "All 30 classes" in html


def test_a_quick_evaluation_has_nothing_to_show():
    with pytest.raises(SpecError, match="without quick"):
        detection_summary(score_detections(FOUND, SAMPLES, CLASSES, quick=True), FOUND, SAMPLES, "test")
