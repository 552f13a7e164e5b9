import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.detection.sets import answer, image, random_set
from triscale.errors import TrainingError
from triscale.training.detection.coco import NAMES
from triscale.training.detection.evaluation import best_threshold, confusion_at, score_detections
from triscale.training.detection.matches import match_boxes

A, B, C = (0, 0, 100, 100), (150, 0, 250, 100), (0, 120, 60, 190)
CLASSES = ("cat", "dog", "bird")


@pytest.fixture(scope="module")
def evaluation():
    """Two cats and a dog; a cat found, a dog called a cat, a bird where nothing is, and a faint right box."""
    samples = [image((*A, 0), (*B, 1)), image((*C, 0)), image()]
    found = [answer((*A, 0, 0.9), (*B, 0, 0.8)), answer((*C, 0, 0.2)), answer((*A, 2, 0.7))]
    return score_detections(found, samples, CLASSES, seconds=2.5, loss=1.5)


def test_it_has_the_face_of_an_evaluation(evaluation):
    assert evaluation.count == 3
    assert evaluation.objects == 3
    assert evaluation.score == evaluation.figures["map"]
    assert evaluation.said() == f"mAP {evaluation.score:.2%}, mAP50 {evaluation.figures['map50']:.2%}"
    assert evaluation.sentence("val") == f"{evaluation.said()} on 3 objects in 3 val images"
    assert list(evaluation.rates()) == [name for name in NAMES if "small" not in name]  # no small object is there


def test_its_metrics_are_flat_and_plain(evaluation):
    metrics = json.loads(json.dumps(evaluation.metrics(), allow_nan=False))
    assert list(metrics) == [*NAMES, "threshold", "precision", "recall", "f1", "errors", "loss", "per_class"]
    assert metrics["map_small"] is None
    assert metrics["loss"] == 1.5
    assert list(metrics["per_class"]) == ["cat", "dog"]  # there is no bird
    assert metrics["per_class"]["dog"] == 0
    assert metrics["errors"]["classification"]["count"] == 1


def test_its_record_is_plain_and_names_every_class(evaluation):
    record = json.loads(json.dumps(evaluation.details.record(), allow_nan=False))
    assert [each["name"] for each in record["classes"]] == list(CLASSES)
    assert record["classes"][2] == {"name": "bird", "objects": 0, "ap": None, "ap50": None, "precision": 0,
                                    "recall": None, "f1": 0}  # fmt: skip
    assert record["confusion"]["classes"] == [*CLASSES, "(background)"]
    assert record["confusion"]["counts"] == evaluation.details.confusion.tolist()


def test_the_threshold_is_where_f1_is_best_and_the_figures_are_those_of_the_boxes_above_it(evaluation):
    # Told boxes 1, 2, 3, 4 with 1, 1, 1, 2 right and 3 objects: F1 is 2/4, 2/5, 2/6, 4/7.
    details = evaluation.details
    assert details.threshold == pytest.approx(0.2)
    assert (details.precision, details.recall, details.f1) == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    cat, dog, bird = details.classes
    assert (cat.objects, cat.precision, cat.recall, cat.f1) == pytest.approx((2, 2 / 3, 1, 4 / 5))
    assert (dog.objects, dog.precision, dog.recall, dog.ap) == (1, None, 0, 0)
    assert (bird.objects, bird.precision, bird.recall, bird.ap, bird.ap50) == (0, 0, None, None, None)


def test_confusion_has_a_row_for_background_and_a_column_for_what_has_no_box(evaluation):
    assert evaluation.details.confusion.tolist() == [
        [2, 0, 0, 0],
        [1, 0, 0, 0],  # the dog, called a cat
        [0, 0, 0, 0],
        [0, 0, 1, 0],  # a bird where nothing is
    ]
    samples = [image((*A, 0), (*B, 1)), image((*C, 0)), image()]
    found = [answer((*A, 0, 0.9), (*B, 0, 0.8)), answer((*C, 0, 0.2)), answer((*A, 2, 0.7))]
    above = confusion_at(match_boxes(found, samples), 0.5, 3)
    assert above[0].tolist() == [1, 0, 0, 1]


def test_the_worst_images_come_first_and_faultless_ones_not_at_all():
    samples = [image((*A, 0)), image((*A, 0), (*B, 0)), image(), image((*C, 1))]
    found = [answer((*A, 0, 0.9)), answer((*A, 1, 0.6)), answer((*A, 1, 0.7)), answer((*C, 0, 0.8))]
    details = score_detections(found, samples, CLASSES, threshold=0.5).details
    assert details.worst == (1, 3, 2)  # three mistakes; two; one


def test_a_threshold_can_be_given():
    found, samples = random_set(3)
    details = score_detections(found, samples, tuple("abcd"), threshold=0.4).details
    assert details.threshold == 0.4
    best = score_detections(found, samples, tuple("abcd")).details
    assert best.f1 >= details.f1


def test_the_same_answers_can_be_judged_at_another_threshold():
    found, samples = random_set(3)
    before, wanted = (score_detections(found, samples, tuple("abcd"), threshold=each) for each in (None, 0.4))
    after = before.at(0.4)
    assert after.figures == before.figures
    assert (after.metrics(), after.details.record()) == (wanted.metrics(), wanted.details.record())


def test_best_threshold_is_the_highest_of_those_with_the_best_f1():
    score, hit = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, False, True, False])
    assert best_threshold(score, hit, 2) == 0.8  # 2/3, then 4/5 for both of 0.8 together, then 4/6
    assert best_threshold(score, np.zeros(4, bool), 2) == math.inf
    assert best_threshold(np.zeros(0), np.zeros(0, bool), 2) == math.inf
    assert best_threshold(np.array([0.9, 0.5, 0.4, 0.3]), np.array([1, 0, 0, 1], bool), 2) == 0.9  # 2/3 and 4/6


def test_nothing_found_is_a_score_of_zero_and_no_threshold():
    evaluation = score_detections([answer()], [image((*A, 0))], CLASSES)
    assert evaluation.score == 0
    metrics = evaluation.metrics()
    assert (metrics["threshold"], metrics["precision"], metrics["recall"], metrics["f1"]) == (None, 0, 0, 0)
    assert metrics["loss"] is None
    assert evaluation.details.confusion[0].tolist() == [0, 0, 0, 1]


def test_a_quick_one_has_the_same_figures_and_no_details():
    found, samples = random_set(5)
    quick, whole = (score_detections(found, samples, tuple("abcd"), quick=each) for each in (True, False))
    assert quick.details is None
    assert quick.figures == pytest.approx(whole.figures, nan_ok=True)
    assert "errors" not in quick.metrics()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 0.8]))
def test_confusion_counts_every_object_and_every_box_once(seed, threshold):
    found, samples = random_set(seed, images=6)
    matches = match_boxes(found, samples)
    confusion = confusion_at(matches, threshold, 4)
    told = (matches.score >= threshold) & ~matches.ignored
    assert confusion[:4].sum(1).tolist() == np.bincount(matches.object_label, minlength=4).tolist()
    assert confusion[:, :4].sum(0).tolist() == np.bincount(matches.label[told], minlength=4).tolist()
    assert np.trace(confusion[:4, :4]) == (matches.hit & told).sum()


@pytest.mark.parametrize(
    ("found", "samples", "said"),
    [
        ([answer()], [image(), image()], "1 images were answered, and there are 2"),
        ([answer()], [image((*A, 0, True))], "1 images to evaluate on have no object"),
        ([], [], "0 images to evaluate on have no object"),
        ([answer((*A, 3, 0.5))], [image((*A, 0))], "image.jpg: found was class 3, and there are 3"),
        ([answer()], [image((*A, 5))], "image.jpg: the data has class 5, and there are 3"),
        (
            [answer((0, 0, np.nan, 5, 0, 0.5))],
            [image((*A, 0))],
            "image.jpg: a box or score that was found is not finite",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(found, samples, said):
    with pytest.raises(TrainingError, match=said):
        score_detections(found, samples, CLASSES)
