"""How costs grow with depth, width and resolution: exactly where nothing is rounded, within stated bounds elsewhere.

Tan & Le 2019, section 3.3, says that MACs grow as d w^2 r^2. To the last digit, before rounding: linear
in d; a w^2 + b w + c, because depthwise convolutions, the stem and the classifier grow as w only; and a
square of r plus what squeeze-excite and the classifier do on one pixel (`test_scaling.py`).
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spec.strategies import networks
from triscale.spec.block import Block, Squeeze
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.network import Head, Network, Stem, stage
from triscale.spec.rounding import Rounding
from triscale.spec.rules import RULES
from triscale.spec.scaling import scale

UNROUNDED = Rounding(1, 1, 0.0)
WORDS = ("params", "macs", "activations")

channels = st.integers(1, 12).map(lambda n: 8 * n)  # so that a quarter of them, for squeeze-excite, is whole
blocks = st.builds(
    Block,
    kind=st.sampled_from(["mbconv", "bottleneck", "basic"]),
    channels=channels,
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    expand=st.sampled_from([1.0, 2.0, 6.0]),
    hidden=st.none() | channels,
    squeeze=st.none() | st.just(Squeeze(0.25)),
)
unrounded = st.builds(
    Network,
    name=st.just("unrounded"),
    stem=st.builds(Stem, channels=channels),  # one that is not scaled makes projections come and go
    stages=st.lists(st.builds(stage, blocks, st.integers(1, 3)), min_size=1, max_size=4).map(tuple),
    head=st.none()
    | st.builds(
        Head, channels=st.none() | channels, linear=st.none() | channels, scaling=st.sampled_from(["full", "fixed"])
    ),
    resolution=st.integers(1, 80).map(lambda side: (side, side)),
    rounding=st.just(UNROUNDED),
)


def costs(net, **multipliers):
    own = cost(scale(net, **multipliers))
    return [getattr(own, word) for word in WORDS]


@settings(max_examples=60, deadline=None)
@given(net=networks, depth=st.integers(3, 9))
def test_every_cost_is_exactly_linear_in_a_whole_depth(net, depth):
    for one, two, many in zip(costs(net), costs(net, depth=2), costs(net, depth=depth), strict=True):
        assert many == one + (depth - 1) * (two - one)


@settings(max_examples=60, deadline=None)
@given(net=unrounded, width=st.integers(4, 12))
def test_params_and_macs_are_exactly_a_square_of_a_whole_width_and_activations_linear(net, width):
    one, two, three, many = (costs(net, width=w) for w in (1, 2, 3, width))
    for word, at1, at2, at3, at_many in zip(WORDS, one, two, three, many, strict=True):
        square = at3 - 2 * at2 + at1  # twice the coefficient of w^2
        linear = at2 - at1 - 3 * square // 2
        assert at_many == at1 + square * (width**2 - 1) // 2 + linear * (width - 1)
        assert square >= 0
        assert word != "activations" or square == 0


def split(net):
    """(a, b): MACs that grow as the square of width, and as width, at width 1; the large classifier is in b."""
    one, two, three = (cost(scale(net, width=w)).macs for w in (1, 2, 3))
    square = (three - 2 * two + one) / 2
    return square, one - square


# B0 far from where rounding matters: stages of 20 to 80 blocks, 128 to 2,560 channels, 2,048 pixels, no divisor.
LARGE = replace(scale(replace(network("efficientnet_b0"), rounding=UNROUNDED), 20, 8), resolution=(2048, 2048))
SQUARE, LINEAR = split(LARGE)
TOLERANCE = 0.06  # what is still rounded: blocks up, maps up to whole pixels at 1/32 of the side


@settings(max_examples=60, deadline=None)
@given(depth=st.floats(0.5, 4), width=st.floats(0.5, 3), resolution=st.floats(0.7, 2.5))
def test_macs_grow_as_d_w2_r2_but_for_the_part_that_is_linear_in_width(depth, width, resolution):
    grown = cost(scale(LARGE, depth, width, resolution)).macs / cost(LARGE).macs
    in_width = (SQUARE * width**2 + LINEAR * width) / (SQUARE + LINEAR)
    assert grown == pytest.approx(depth * in_width * resolution**2, rel=TOLERANCE)


def test_the_part_that_is_linear_in_width_is_small_where_networks_are_wide():
    assert LINEAR / (SQUARE + LINEAR) < 0.02  # of these; of B0 itself, a tenth
    assert 0.05 < split(replace(network("efficientnet_b0"), rounding=UNROUNDED))[1] / 385_814_752 < 0.15


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(RULES)), phi=st.floats(-1, 3))
def test_macs_grow_as_2_to_the_phi(name, phi):
    """Or 1.92 to the phi with the paper's own coefficients, whose product it calls about 2."""
    rule = RULES[name]
    grown = cost(scale(LARGE, *rule.multipliers(phi))).macs / cost(LARGE).macs
    assert grown == pytest.approx(rule.growth**phi, rel=TOLERANCE + 0.02)
    assert rule.growth == pytest.approx(1.92 if name == "compound" else 2, abs=0.001)


@settings(max_examples=30, deadline=None)
@given(factor=st.floats(0.5, 8))
def test_activations_of_fast_scaling_grow_as_the_factor_to_the_three_fifths(factor):
    """Dollár et al. 2021, section 5: s^(1 - a / 2), nearly the square root, at a = 0.8."""
    rule = RULES["fast"]
    grown = cost(scale(LARGE, *rule.multipliers(rule.phi(factor)))).activations / cost(LARGE).activations
    assert grown == pytest.approx(factor**0.6, rel=TOLERANCE)


@settings(max_examples=30, deadline=None)
@given(width=st.floats(0.5, 3), depth=st.floats(0.5, 4))
def test_params_do_not_know_resolution_and_grow_as_d_w2(width, depth):
    grown = cost(scale(LARGE, depth, width, 2.0)).params / cost(LARGE).params
    assert grown == pytest.approx(depth * width**2, rel=TOLERANCE + 0.02)
