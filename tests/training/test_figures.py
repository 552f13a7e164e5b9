"""Precision, recall, F1 and average precision against scikit-learn and values made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, precision_recall_fscore_support

from triscale.training.evaluate_several import score_several
from triscale.training.figures import average_precision, class_figures, mean

NAMES = ("ant", "bee", "cat")


def test_average_precision_by_hand():
    """Ranks 1 and 3 have the class: precisions 1/1 and 2/3 at recalls 1/2 and 1."""
    found = average_precision(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0]))
    assert found == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_equal_scores_are_one_step_whatever_their_order():
    """Both of the tied: precision 1/2 at recall 1."""
    assert average_precision(np.array([0.5, 0.5]), np.array([1, 0])) == 0.5
    assert average_precision(np.array([0.5, 0.5]), np.array([0, 1])) == 0.5


def test_a_class_that_no_image_has_is_not_measured():
    assert average_precision(np.array([0.5, 0.2]), np.zeros(2)) is None
    (found,) = class_figures(["ant"], np.array([0]), np.array([0]), np.array([0]))
    assert (found.precision, found.recall, found.f1) == (None, None, None)
    assert mean([None, 0.5, 1.0]) == 0.75


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40), st.booleans())
def test_average_precision_is_scikit_learns(seed, count, tied):
    dice = np.random.default_rng(seed)
    scores = dice.integers(0, 5, count) / 5 if tied else dice.normal(size=count)
    truth = dice.random(count) < 0.4
    truth[dice.integers(count)] = True
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))


@pytest.mark.parametrize("seed", range(5))
def test_all_figures_of_several_labels_are_scikit_learns(seed):
    dice = np.random.default_rng(seed)
    logits, labels = dice.normal(0, 2, (50, 3)).astype(np.float32), (dice.random((50, 3)) < 0.3).astype(np.float32)
    found = score_several(logits, labels, np.arange(50), NAMES, 0.0)
    given = logits >= 0
    assert found.map == pytest.approx(average_precision_score(labels, logits, average="macro"))
    assert found.f1_micro == pytest.approx(f1_score(labels, given, average="micro"))
    assert found.f1_macro == pytest.approx(f1_score(labels, given, average="macro"))
    rows = zip(*precision_recall_fscore_support(labels, given, zero_division=0), strict=True)
    for own, (precision, recall, f1, images) in zip(found.classes, rows, strict=True):
        assert (own.precision, own.recall, own.f1, own.images) == pytest.approx((precision, recall, f1, images))
    assert found.per_class == {each.name: each.average_precision for each in found.classes}
    assert found.score == found.map


def test_classes_without_images_are_in_no_mean():
    logits = np.array([[3.0, -3.0, 2.0], [-3.0, 3.0, -2.0]], np.float32)
    labels = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    found = score_several(logits, labels, np.arange(2), NAMES, 0.0)
    assert (found.map, found.f1_macro) == (1.0, 1.0)
    assert found.f1_micro == 2 * 2 / (2 + 3)  # the cat that was given to nobody who has it counts here
    assert list(found.per_class) == ["ant", "bee"]
    assert found.classes[2].precision == 0.0


def test_the_image_whose_labels_are_least_likely_comes_first():
    logits = np.array([[4.0, -4.0], [4.0, 4.0], [0.0, 0.0]], np.float32)
    found = score_several(logits, np.array([[1, 0], [0, 0], [1, 1]], np.float32), np.arange(3), NAMES[:2], 0.0)
    assert found.ranked().tolist() == [1, 2, 0]
