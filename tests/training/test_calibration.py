"""Calibration against values that can be made by hand, and against a plain search."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triscale.errors import TrainingError
from triscale.training.calibration import (
    COLDEST,
    HOTTEST,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability,
    sigmoid,
    softmax,
)


def test_the_error_of_five_answers_by_hand():
    """Of 15 bins, 0.95, 0.95, 0.97 fall into the last: mean 0.9567, two of three right; 0.4 into (0.333, 0.4]."""
    bins = reliability(np.array([0.95, 0.95, 0.97, 0.4, 0.55]), np.array([True, True, False, False, True]))
    assert len(bins) == 15
    filled = [(round(each.low * 15), each.count, each.accuracy) for each in bins if each.count]
    assert filled == [(5, 1, 0.0), (8, 1, 1.0), (14, 3, pytest.approx(2 / 3))]
    by_hand = (1 * 0.4 + 1 * (1 - 0.55) + 3 * (2.87 / 3 - 2 / 3)) / 5  # 0.344
    assert expected_calibration_error(bins) == pytest.approx(by_hand) == pytest.approx(0.344)


def test_a_bin_holds_its_upper_end_and_the_first_one_nothing_at_all_too():
    counts = [each.count for each in reliability(np.array([0.0, 0.25, 0.26, 0.5, 1.0]), np.ones(5, bool), bins=4)]
    assert counts == [2, 2, 0, 1]


def test_who_is_as_sure_as_right_has_no_error():
    confidence = np.repeat([0.1, 0.5, 0.9], 10)
    right = np.concatenate([np.arange(10) < 1, np.arange(10) < 5, np.arange(10) < 9])
    assert expected_calibration_error(reliability(confidence, right)) == pytest.approx(0)


def test_the_temperature_of_two_classes_by_hand():
    """Margins of 4, three of four right: the best p is 3/4, so 4 / T = ln 3 and T = 4 / ln 3 = 3.641."""
    logits = np.array([[4.0, 0.0]] * 4)
    found = fit_temperature(logits, np.array([0, 0, 0, 1]))
    assert found == pytest.approx(4 / math.log(3), rel=1e-9)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert negative_log_likelihood(logits, np.array([0, 0, 0, 1]), found) == pytest.approx(entropy)


def test_the_temperature_of_several_labels_by_hand():
    """One label, logit 4 on every image, three of four have it: again 4 / ln 3."""
    assert fit_temperature(np.full((4, 1), 4.0), np.array([[1], [1], [1], [0.0]])) == pytest.approx(4 / math.log(3))


@pytest.mark.parametrize("several", [False, True])
def test_what_was_sharpened_is_found_again(several):
    """Labels are drawn from softmax(z); of 3 z the temperature is 3, up to what 20 000 draws tell."""
    dice = np.random.default_rng(0)
    logits = dice.normal(0, 2, (20_000, 5))
    if several:
        labels = (dice.random(logits.shape) < sigmoid(logits)).astype(float)
    else:
        labels = (softmax(logits).cumsum(1) > dice.random((len(logits), 1))).argmax(1)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 6), st.booleans())
def test_no_temperature_of_a_fine_grid_is_better(seed, spread, several):
    dice = np.random.default_rng(seed)
    logits = dice.normal(0, spread, (40, 4))
    labels = dice.integers(0, 2, (40, 4)).astype(float) if several else dice.integers(0, 4, 40)
    found = fit_temperature(logits, labels)
    assert COLDEST <= found <= HOTTEST
    grid = min(negative_log_likelihood(logits, labels, each) for each in np.geomspace(COLDEST, HOTTEST, 400))
    assert negative_log_likelihood(logits, labels, found) <= grid + 1e-12


def test_where_every_answer_is_right_or_wrong_the_search_ends_at_its_bounds():
    logits = np.eye(3)
    assert fit_temperature(logits, np.arange(3)) == COLDEST
    assert fit_temperature(logits, (np.arange(3) + 1) % 3) == HOTTEST


def test_scaling_changes_no_answer_and_lowers_the_error_of_who_is_too_sure():
    dice = np.random.default_rng(1)
    logits = dice.normal(0, 1.5, (4000, 4))
    labels = (softmax(logits).cumsum(1) > dice.random((len(logits), 1))).argmax(1)
    val, test = (4 * logits[:2000], labels[:2000]), (4 * logits[2000:], labels[2000:])
    found = calibrate(*test, val=val)
    assert (found.how, found.temperature, found.told) == ("held out", fit_temperature(*val), True)
    assert found.ece > 0.2 > 0.05 > found.ece_scaled
    assert found.loss_scaled < found.loss
    alone = calibrate(*val)
    assert alone.how == "cross-fitted"
    assert alone.ece_scaled < 0.05


def test_cross_fitting_scales_each_half_by_the_other():
    """Of the even images three of four are right, so T = 4 / ln 3; of the odd ones two: there the flattest is best."""
    logits, labels = np.array([[4.0, 0.0]] * 8), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    found = calibrate(logits, labels)
    odd_by_even = negative_log_likelihood(logits[1::2], labels[1::2], 4 / math.log(3))
    even_by_odd = negative_log_likelihood(logits[0::2], labels[0::2], HOTTEST)
    assert found.loss_scaled == pytest.approx((odd_by_even + even_by_odd) / 2)
    assert not found.told  # half of them says any amount of doubt
    assert calibrate(logits, np.array([0, 0, 0, 0, 0, 0, 1, 1])).told  # three of four in either half


def test_what_is_no_probability_is_refused():
    with pytest.raises(TrainingError, match=r"not in 0\.\.1; give probabilities"):
        reliability(np.array([3.0]), np.array([True]))
    with pytest.raises(TrainingError, match="logits that are finite"):
        fit_temperature(np.array([[math.nan, 1.0]]), np.array([0]))
    with pytest.raises(TrainingError, match="needs images"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, int))
