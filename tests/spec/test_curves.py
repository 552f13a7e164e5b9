import pytest

from triscale.spec.cost import cost
from triscale.spec.curves import scaling_curves
from triscale.spec.families import network
from triscale.spec.rules import RULES
from triscale.spec.scaling import compound, scale

B0 = network("efficientnet_b0")
CURVES = {curve.rule.name: curve.points for curve in scaling_curves(B0)}


def at(name, factor):
    return next(point for point in CURVES[name] if point.factor == pytest.approx(factor))


def test_there_is_a_curve_for_every_rule_over_the_same_factors():
    assert list(CURVES) == list(RULES)
    for points in CURVES.values():
        factors = [point.factor for point in points]
        assert factors == pytest.approx([2 ** (quarter / 4) for quarter in range(-8, 17)])


@pytest.mark.parametrize("name", RULES)
def test_every_curve_goes_through_the_baseline(name):
    own = cost(B0)
    assert at(name, 1)[1:] == (own.params, own.macs, own.activations, own.memory)


def test_a_point_is_the_cost_of_the_scaled_network():
    assert at("width", 4).params == cost(scale(B0, width=2)).params
    assert at("resolution", 4).macs == cost(scale(B0, resolution=2)).macs
    assert at("compound", 4).activations == cost(compound(B0, RULES["compound"].phi(4))).activations


def test_what_the_curves_are_there_to_show():
    """Dollár et al. 2021: of the ways to spend MACs, width costs the fewest activations; resolution no parameters."""
    assert at("resolution", 16).params == at("resolution", 0.25).params == cost(B0).params
    assert at("fast", 16).activations < 0.6 * at("compound", 16).activations
    assert at("compound", 16).params < 0.5 * at("depth", 16).params


def test_factors_without_a_network_are_left_out():
    points = {c.rule.name: c.points for c in scaling_curves(network("detnas_coco_fpn_300m"), smallest=1e-5)}
    assert 25 < len(points["width"]) < len(points["resolution"])
