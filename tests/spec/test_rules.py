import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.errors import BudgetError, SpecError
from triscale.spec.budget import fit_budget, solution
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.limits import parse
from triscale.spec.network import Network
from triscale.spec.rules import RULES, Multipliers, Rule, fast_compound, fast_rule
from triscale.spec.scaling import compound, scale

B0 = network("efficientnet_b0")
SHARES, FACTORS = st.floats(0, 1), st.floats(0.1, 100)


@given(alpha=SHARES, factor=FACTORS)
def test_fast_scaling_shares_a_factor_as_the_paper_says(alpha, factor):
    """Dollár et al. 2021, section 5: e_d = (1 - a) / 2, e_w = a, e_r = (1 - a) / 2, of d, w^2 and r^2."""
    d, w, r = fast_rule(alpha).multipliers(math.log2(factor))
    assert d == pytest.approx(factor ** ((1 - alpha) / 2))
    assert w**2 == pytest.approx(factor**alpha)
    assert r**2 == pytest.approx(factor ** ((1 - alpha) / 2))


@given(alpha=SHARES, factor=FACTORS)
def test_fast_scaling_multiplies_macs_by_the_factor_and_activations_by_less(alpha, factor):
    d, w, r = fast_rule(alpha).multipliers(math.log2(factor))
    assert d * w**2 * r**2 == pytest.approx(factor)
    assert d * w * r**2 == pytest.approx(factor ** (1 - alpha / 2))


def test_at_four_times_the_macs_the_fast_rule_is_mostly_wider():
    d, w, r = RULES["fast"].multipliers(2)
    assert (d, w, r) == pytest.approx((4**0.1, 4**0.4, 4**0.05))  # 1.149, 1.741, 1.072


def test_with_a_third_for_width_the_three_grow_alike():
    d, w, r = fast_rule(1 / 3).multipliers(3)
    assert d == pytest.approx(w**2) == pytest.approx(r**2) == pytest.approx(2)


def test_with_all_for_width_fast_scaling_is_width_scaling():
    assert fast_rule(1.0).multipliers(2) == pytest.approx(RULES["width"].multipliers(2))
    assert fast_rule(1.0).directions == ("width",)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_knows_the_phi_of_a_factor(name):
    rule = RULES[name]
    d, w, r = rule.multipliers(rule.phi(5.0))
    assert d * w**2 * r**2 == pytest.approx(5.0)


def test_a_step_of_compound_scaling_is_not_quite_a_doubling():
    assert RULES["compound"].growth == pytest.approx(1.2 * 1.1**2 * 1.15**2) == pytest.approx(1.92027)
    assert [RULES[name].growth for name in ("fast", "depth", "width", "resolution")] == pytest.approx([2] * 4)


def test_fast_compound_is_compound_scaling_with_its_own_coefficients():
    rule = fast_rule(0.8)
    assert (
        fast_compound(B0, 4) == compound(B0, 2, rule.alpha, rule.beta, rule.gamma) == scale(B0, 4**0.1, 4**0.4, 4**0.05)
    )
    assert fast_compound(B0, 4).name == "efficientnet_b0-fast4"
    assert fast_compound(B0, 1) is B0


def test_fast_compound_costs_fewer_activations_than_the_paper_of_efficientnet_at_equal_macs():
    fast, usual = fit_budget(B0, "macs<=2G", "fast"), fit_budget(B0, "macs<=2G")
    assert min(cost(fast).macs, cost(usual).macs) > 1.9e9
    assert cost(fast).activations < 0.75 * cost(usual).activations
    assert cost(fast).params > 1.3 * cost(usual).params  # and this is what it pays


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf"), 1e7, 1e-7])
def test_a_factor_that_cannot_be_is_refused(factor):
    with pytest.raises(SpecError, match=r"fast_compound needs a factor in 1e-06\.\.1e\+06, got "):
        fast_compound(B0, factor)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_a_share_that_cannot_be_is_refused(alpha):
    with pytest.raises(SpecError, match=r"fast scaling's alpha is width's share of the growth, 0\.\.1; got "):
        fast_compound(B0, 2, alpha)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("budget", ["macs<=1.5G", "activations<=20M", "memory<=80MB", "macs<=1G, params<=8M"])
def test_every_rule_keeps_every_budget(rule, budget):
    found, multipliers = solution(B0, parse(budget), rule=RULES[rule])
    used = parse(budget).used(
        {word: getattr(cost(found), word) for word in ("params", "macs", "activations", "memory")}
    )
    assert 0.85 <= max(used.values()) <= 1
    assert found == scale(B0, *multipliers)
    unchanged = {"depth", "width", "resolution"} - set(RULES[rule].directions)
    assert all(getattr(multipliers, direction) == 1 for direction in unchanged)


def test_what_a_budget_gives_says_by_which_rule():
    assert fit_budget(B0, "macs<=1G").name == "efficientnet_b0@macs1G"
    assert fit_budget(B0, "macs<=1G", "fast").name == "efficientnet_b0@macs1G-fast"
    assert fit_budget(B0, "macs<=200M", "depth").name == "efficientnet_b0@macs200M-depth"


def test_a_budget_that_the_baseline_just_meets_multiplies_nothing():
    assert solution(B0, parse("macs<=385814752"), rule=RULES["depth"]) == (B0, Multipliers(1, 1, 1))


@pytest.mark.parametrize("budget", ["params<=8M", "params<=1M"])
def test_resolution_alone_cannot_answer_a_budget_that_does_not_see_it(budget):
    with pytest.raises(BudgetError, match="params do not depend on resolution, so nothing would stop it from growing"):
        fit_budget(B0, budget, "resolution")


def test_an_unknown_rule_is_refused_with_those_that_there_are():
    with pytest.raises(SpecError, match="must be one of compound, fast, depth, width, resolution; got 'quick'"):
        fit_budget(B0, "macs<=1G", "quick")


def test_a_rule_says_what_a_step_multiplies():
    assert str(Rule("compound", 1.2, 1.1, 1.15)) == "compound (per step of phi: depth 1.2, width 1.1, pixels 1.15)"
    assert str(Multipliers(1.2, 1.0, 2.0)) == "depth x1.2, width x1, resolution x2"
    assert isinstance(fast_compound(B0, 0.25), Network)
