"""The largest module that a factory makes inside a budget, on factories that are arithmetic."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.errors import BudgetError, SpecError
from triscale.modules.multipliers import LARGEST, PATIENCE, largest_inside
from triscale.spec.limits import parse

BOTH = ("depth", "width")


def network(step=8, base=32, calls=None):
    """Costs of a network of 4 blocks of `base` channels, whose widths are multiples of `step`."""

    def counts(depth, width):
        if calls is not None:
            calls.append((depth, width))
        blocks, channels = math.ceil(round(4 * depth, 6)), max(step, step * round(base * width / step))
        params = blocks * channels**2
        return {"params": params, "macs": 100 * params, "activations": channels * 100.0, "memory": 4 * params}

    return counts


def test_a_budget_of_its_own_cost_is_its_own_size():
    assert largest_inside(network(), parse("params<=4096"), BOTH, "net") == (1.0, 1.0)


def test_a_larger_budget_scales_both_together():
    depth, width = largest_inside(network(step=1), parse("params<=1M"), BOTH, "net")
    # 4096 parameters times (1.2 * 1.1^2)^phi make a million at phi = 14.75.
    assert (depth, width) == pytest.approx((1.2**14.75, 1.1**14.75), rel=0.02)
    assert 0.97e6 <= network(step=1)(depth, width)["params"] <= 1e6


def test_only_what_the_factory_takes_changes():
    assert largest_inside(network(step=1), parse("params<=16400"), ("width",), "net") == (
        1.0,
        pytest.approx(2, rel=0.02),
    )
    depth, width = largest_inside(network(), parse("params<=16400"), ("depth",), "net")
    assert (math.ceil(4 * depth), width) == (16, 1.0)


@given(limit=st.floats(2e3, 1e8), step=st.sampled_from([1, 4, 8]))
def test_every_limit_is_hard_and_what_the_steps_allow_is_used(limit, step):
    calls = []
    budget = parse(f"params<={limit:.0f}")
    depth, width = largest_inside(network(step, calls=calls), budget, BOTH, "net")
    assert network(step)(depth, width)["params"] <= budget.limits["params"]
    more = [network(step)(depth * 1.35, width), network(step)(depth, width + 1.01 * step / 32)]
    assert max(each["params"] for each in more) > 0.97 * budget.limits["params"]
    assert len(calls) <= 7 * PATIENCE + 8


def test_the_smallest_that_was_reached_is_named():
    with pytest.raises(BudgetError, match=r"params<=50: nothing that net makes is inside; .* has params 64; raise"):
        largest_inside(network(), parse("params<=50"), BOTH, "net")


def test_a_factory_that_makes_nothing_so_small_is_asked_no_further():
    def counts(depth, width):
        if width < 0.9:
            raise SpecError("nets.py:3: width of no channels")
        return network()(depth, width)

    with pytest.raises(BudgetError, match=r"has params 4\.096K"):
        largest_inside(counts, parse("params<=100"), BOTH, "net")


def test_a_factory_that_fails_at_its_own_size_says_so_itself():
    def counts(depth, width):
        raise SpecError("nets.py:3: wrong")

    with pytest.raises(SpecError, match=r"nets.py:3: wrong"):
        largest_inside(counts, parse("params<=100"), BOTH, "net")


def test_no_multiplier_is_larger_than_what_the_commands_take():
    # Depth changes nothing here, so that it alone is tried ever further.
    depth, width = largest_inside(lambda depth, width: {"macs": width**2}, parse("macs<=1e30"), ("depth", "width"), "f")
    assert max(depth, width) == LARGEST == 100
