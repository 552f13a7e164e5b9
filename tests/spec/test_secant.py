import math

from hypothesis import given
from hypothesis import strategies as st

from triscale.spec.secant import SATISFIED, secant


def counting(share):
    calls = []
    return calls, lambda phi: calls.append(phi) or share(phi)


@given(edge=st.floats(-5, 5), growth=st.floats(1.5, 3))
def test_a_cost_that_grows_as_told_is_found_with_at_most_three_measurements(edge, growth):
    calls, share = counting(lambda phi: growth ** (phi - edge))
    found = secant(share, -20.0, 20.0, 0.0, growth, 11)
    assert SATISFIED <= growth ** (found - edge) <= 1
    assert len(calls) <= 3


def test_nothing_is_found_where_even_the_lowest_is_outside():
    assert secant(lambda phi: 2.0, -3.0, 3.0, 0.0, 2.0, 11) is None


def test_the_highest_is_the_answer_where_all_is_inside():
    assert secant(lambda phi: 0.1, -3.0, 3.0, 3.0, 2.0, 11) == 3.0


def test_a_cost_in_steps_never_ends_outside():
    def share(phi):
        return 2.0 ** (math.floor(phi) - 1.5)

    found = secant(share, -20.0, 20.0, 0.0, 2.0, 11)
    assert found is not None
    assert share(found) <= 1
