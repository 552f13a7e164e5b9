"""The Gaussian process, and what is expected of it."""

import math
import sys

import numpy as np
import pytest

from triscale.errors import MissingExtraError
from triscale.search.budget.acquisition import log_expected_improvement, log_news, spread_out
from triscale.search.budget.process import Process, _loss, conditioned, fit_process, matern

pytest.importorskip("scipy")

DICE = np.random.default_rng(0)
POINTS = DICE.uniform(-2, 2, (30, 3))


def surface(points):
    return 0.7 + 0.1 * np.sin(points[:, 0]) + 0.02 * points[:, 1]


def process(points, scores, noise=1e-6):
    empty = np.empty(0)
    return conditioned(Process(points, np.ones(3), 1.0, noise, 0.0, 1.0, empty, empty), points, scores)


def test_the_correlation_is_that_of_matern():
    # at distance 1: (1 + sqrt 5 + 5/3) exp(-sqrt 5)
    assert matern(np.array([0.0, 1.0])) == pytest.approx([1.0, (1 + 5**0.5 + 5 / 3) * math.exp(-(5**0.5))])


def test_the_posterior_is_the_textbook_one():
    points, new = POINTS[:5], POINTS[5:8]
    scores = surface(points)

    def kernel(a, b):
        return matern(np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=2)))

    inverse = np.linalg.inv(kernel(points, points) + 0.01 * np.eye(5))
    across = kernel(new, points)
    mean, deviation = process(points, scores, 0.01).predict(new)
    assert mean == pytest.approx(across @ inverse @ scores)
    assert deviation**2 == pytest.approx(1 - np.diag(across @ inverse @ across.T))


def test_what_is_known_is_certain_and_what_is_far_is_not():
    known = process(POINTS, surface(POINTS))
    mean, deviation = known.predict(POINTS)
    assert mean == pytest.approx(surface(POINTS), abs=1e-4) and deviation.max() < 0.01
    mean, deviation = known.predict(np.full((1, 3), 100.0))
    assert (mean[0], deviation[0]) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))


def test_the_gradient_is_that_of_the_loss():
    squares = (POINTS[:, None] - POINTS[None]) ** 2
    values = DICE.normal(size=30)
    at = np.log([2.0, 0.7, 3.0, 1.3, 0.1])
    _, gradient = _loss(at, squares, values)
    step = 1e-5 * np.eye(5)
    numeric = [(_loss(at + e, squares, values)[0] - _loss(at - e, squares, values)[0]) / 2e-5 for e in step]
    assert gradient == pytest.approx(numeric, rel=1e-5)


def test_noise_and_what_matters_are_learnt():
    points = DICE.uniform(-2, 2, (100, 3))
    fitted = fit_process(points, surface(points) + 0.01 * DICE.normal(size=100))
    assert fitted.spread * math.sqrt(fitted.noise) == pytest.approx(0.01, rel=0.3)
    assert fitted.lengths[0] < fitted.lengths[1] < fitted.lengths[2]  # a sine, a line, nothing
    held = DICE.uniform(-2, 2, (200, 3))
    mean, deviation = fitted.predict(held)
    assert np.sqrt(np.mean((mean - surface(held)) ** 2)) < 0.005
    assert np.mean(np.abs(mean - surface(held)) < 2 * deviation) > 0.85


def test_the_same_scores_give_the_same_process():
    one, other = (fit_process(POINTS, surface(POINTS)) for _ in range(2))
    assert np.array_equal(one.weights, other.weights)


def test_equal_scores_and_few_of_them_are_fitted_too():
    for count in (1, 2, 5):
        mean, deviation = fit_process(POINTS[:count], np.full(count, 0.5)).predict(POINTS)
        assert mean == pytest.approx(np.full(30, 0.5)) and np.isfinite(deviation).all()


def test_believing_changes_certainty_but_not_what_is_expected():
    known = fit_process(POINTS[:10], surface(POINTS[:10]))
    mean, deviation = known.predict(POINTS)
    believed, surer = known.believing(POINTS[20:21]).predict(POINTS)
    assert believed == pytest.approx(mean, abs=1e-6)
    assert surer[20] < 0.5 * deviation[20]


def test_expected_improvement_is_the_integral():
    mean, deviation, best = 0.3, 0.2, 0.4
    draws = mean + deviation * np.random.default_rng(1).standard_normal(1_000_000)
    found = log_expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert math.exp(found[0]) == pytest.approx(np.maximum(draws - best, 0).mean(), rel=0.01)


def test_expected_improvement_is_finite_and_grows_however_far_it_is():
    z = np.array([-1e8, -1e5, -1e4 - 1, -1e4 + 1, -1e3, -40, -5, -1 - 1e-9, -1 + 1e-9, 0, 5, 100.0])
    found = log_expected_improvement(z, np.ones(len(z)), 0.0)
    assert np.isfinite(found).all() and (np.diff(found) > 0).all()
    # at z = -40: log pdf - 2 log 40 - 3 / 40^2 to first order
    assert found[5] == pytest.approx(-800 - 0.5 * math.log(2 * math.pi) - 2 * math.log(40) - 3 / 1600, abs=1e-5)
    assert found[7] == pytest.approx(found[8], abs=1e-7)


def test_a_score_tells_little_of_what_is_nearly_known():
    told = np.exp(log_news(np.array([1e-9, 1.0, 1e9]), 1.0))
    assert told == pytest.approx([0.0, 1 - 1 / math.sqrt(2), 1.0], abs=1e-8)  # 1 - noise / sqrt(deviation^2 + noise^2)
    assert np.isfinite(log_news(np.array([0.0, 1.0]), 0.0)).all()


def test_the_farthest_comes_next():
    line = np.array([[0.0], [1.0], [4.0], [9.0], [10.0]])
    assert spread_out(line, [0], 3) == [0, 4, 2]
    assert spread_out(line, [], 1) == [2]
    assert spread_out(line[[0, 0, 0]], [1], 3) == [1]


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match=r"needs scipy.*pip install 'triscale\[search\]'"):
        fit_process(POINTS, surface(POINTS))
