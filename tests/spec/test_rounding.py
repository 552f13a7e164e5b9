import pytest

from triscale.errors import SpecError
from triscale.spec.rounding import Rounding, round_repeats


def test_sixteen_channels_times_1_2_are_24_under_the_90_percent_rule_of_v1_and_16_without_it():
    # tensorflow/tpu round_filters; google/automl effnetv2: the one released width where the two rules differ (B3)
    assert Rounding(8, 8, 0.9).channels(16, 1.2) == 24
    assert Rounding(8, 8, 0.0).channels(16, 1.2) == 16


@pytest.mark.parametrize(
    ("base", "width", "channels"),
    [(32, 1.1, 32), (32, 1.2, 40), (40, 1.1, 48), (1280, 1.1, 1408), (320, 4.3, 1376), (16, 0.1, 8), (12, 1.0, 12)],
)
def test_widths_round_to_multiples_of_8_and_a_width_of_1_changes_nothing(base, width, channels):
    assert Rounding().channels(base, width) == channels


@pytest.mark.parametrize("floor", [0.0, 0.9])
def test_more_width_never_makes_fewer_channels(floor):
    widths = [Rounding(8, 8, floor).channels(24, 0.01 * step) for step in range(1, 1000) if step != 100]
    assert widths == sorted(widths)
    assert widths[0] == 8


@pytest.mark.parametrize(
    ("repeats", "depth", "blocks"),
    [(1, 1.1, 2), (2, 1.1, 3), (4, 3.1, 13), (5, 1.4, 7), (3, 1.0, 3), (3, 0.34, 2), (3, 0.01, 1), (10, 1.1, 11)],
)
def test_repeats_are_rounded_up_and_a_whole_product_stays_as_it_is(repeats, depth, blocks):
    assert round_repeats(repeats, depth) == blocks


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"divisor": 0}, "Rounding.divisor must be a whole number"),
        ({"minimum": 2.5}, "Rounding.minimum must be a whole number"),
        ({"floor": 1.5}, r"Rounding.floor must be in 0..1, got 1.5"),
        ({"floor": float("nan")}, r"Rounding.floor must be in 0..1"),
    ],
)
def test_a_rounding_rule_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        Rounding(**wrong)
