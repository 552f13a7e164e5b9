import numpy as np
import pytest

from tests.deployment.device import layer_ms
from triscale.deployment.estimate import LEAST, Estimator, kind_of, not_negative
from triscale.deployment.layers import layers_of
from triscale.spec.families import network
from triscale.spec.scaling import compound

NETWORK = network("efficientnet_lite0")
TIMED = [layer for phi in (-3.0, 0.0, 3.0) for layer in layers_of(compound(NETWORK, phi))]


def test_layers_between_timed_ones_are_estimated_where_time_is_a_sum_of_their_work():
    estimate = Estimator({layer: layer_ms(layer) for layer in TIMED})
    for phi in (-2.0, 1.0, 2.0):
        for layer in layers_of(compound(NETWORK, phi)):
            assert estimate(layer) == pytest.approx(layer_ms(layer), rel=0.02)


def test_the_nearest_layers_of_the_same_kind_correct_an_estimate():
    """A device that runs 5 x 5 kernels at half speed: the sum of work knows nothing of that."""

    def slow_kernel(layer):
        return layer_ms(layer) * (2 if getattr(layer.part, "kernel", 3) == 5 else 1)

    estimate = Estimator({layer: slow_kernel(layer) for layer in TIMED})
    for layer in layers_of(compound(NETWORK, 1.0)):
        assert estimate(layer) == pytest.approx(slow_kernel(layer), rel=0.2)


def test_too_few_layers_estimate_nothing():
    few = dict.fromkeys(list(dict.fromkeys(TIMED))[: LEAST - 1], 1.0)
    estimate = Estimator(few)
    assert estimate(TIMED[0]) is None
    assert estimate.alike(TIMED[0]) == 0


def test_alike_are_layers_that_differ_in_width_and_size_only():
    estimate = Estimator(dict.fromkeys(TIMED, 1.0))
    stem, *_, head = layers_of(compound(NETWORK, 1.0))
    assert estimate.alike(head) == 3
    assert estimate.alike(stem) == len({layers_of(compound(NETWORK, phi))[0] for phi in (-3.0, 0.0, 3.0)})
    assert kind_of(stem) != kind_of(head)


@pytest.mark.parametrize("seed", range(20))
def test_prices_are_the_least_squares_that_no_negative_price_can_better(seed):
    draw = np.random.default_rng(seed)
    rows, wanted = draw.random((30, 5)), draw.random(30) - 0.2
    found = not_negative(rows, wanted)
    gradient = rows.T @ (rows @ found - wanted)
    assert (found >= 0).all()
    assert gradient[found == 0] == pytest.approx(np.maximum(gradient[found == 0], 0), abs=1e-9)  # Kuhn and Tucker
    assert gradient[found > 0] == pytest.approx(0, abs=1e-9)
