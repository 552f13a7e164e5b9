import pytest

from triscale.deployment.drift import RECENT, Moment, Reference, between, slowdown, spread


def moments(*milliseconds, start=1e9):
    return [Moment(ms, ms, start + number) for number, ms in enumerate(milliseconds)]


def test_a_limit_has_room_for_the_slowest_tenth_of_recent_moments():
    seen = moments(*[2.0] * 5, *[2.4] * 5)
    assert slowdown(seen[0], seen) == pytest.approx(1.2)
    assert slowdown(seen[-1], seen) == 1.0  # a slow moment already shows what a slow moment takes


def test_what_is_long_past_does_not_count():
    loaded, now = moments(*[9.0] * 50), Moment(2.0, 2.0, 1e9 + RECENT + 60)
    assert slowdown(now, loaded) == 1.0
    assert slowdown(loaded[-1], loaded) == 1.0
    assert spread([*loaded, now]) == (1.0, 1.0)


def test_the_spread_is_from_the_fast_tenth_to_the_slow_one():
    low, high = spread(moments(*[float(ms) for ms in range(10, 31)]))
    assert (low, high) == (pytest.approx(0.6), pytest.approx(1.4))
    assert spread([]) == (1.0, 1.0)


def test_between_two_moments_is_their_middle_at_the_later_time():
    assert between(Moment(2.0, 1.0, 5.0), Moment(4.0, 2.0, 9.0)) == Moment(3.0, 1.5, 9.0)


def test_the_reference_is_timed_on_this_device():
    clock = Reference("onnx", 1)
    first, second = clock(), clock()
    assert 0 < first.low_ms <= first.ms
    assert first.when < second.when
