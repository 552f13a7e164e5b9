import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spec.strategies import detectors
from triscale.errors import BudgetError, SpecError
from triscale.spec.budget import fit_budget, solution
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.families.efficientdet import detector
from triscale.spec.limits import Budget, counted, parse
from triscale.spec.rules import RULES, Rule, fast_compound
from triscale.spec.scaling import compound, scale

D0, LITE0 = detector("efficientdet_d0"), detector("efficientdet_lite0")
WORDS = ["params", "macs", "activations", "memory"]
MULTIPLIERS = st.floats(0.1, 4.0)


def sizes(made):
    return made.pyramid.channels, made.pyramid.repeats, made.heads.repeats, made.resolution


def test_depth_width_and_resolution_act_on_backbone_pyramid_and_heads_alike():
    made = scale(D0, depth=1.5, width=1.25, resolution=1.5)
    assert sizes(made) == (80, 5, 5, (768, 768))
    assert made.backbone == scale(D0.backbone, 1.5, 1.25, 1.5)
    assert made.name == "efficientdet_d0-d1.5-w1.25-r1.5"
    assert (made.anchors, made.classes, made.pyramid.nodes) == (D0.anchors, D0.classes, D0.pyramid.nodes)


def test_multipliers_of_1_and_a_phi_of_0_give_the_same_detector():
    assert scale(D0) is D0
    assert compound(D0, 0) is D0
    assert fast_compound(D0, 1) is D0


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (1, (88, 4, 3, (640, 640))),
        (3, (160, 6, 4, (896, 896))),
        (0.5, (72, 3, 3, (576, 576))),  # half a step is no repeat yet
        (-1, (48, 2, 3, (410, 410))),
        (-3, (24, 1, 2, (262, 262))),
    ],
)
def test_compound_is_efficientdets_rule_for_any_phi(phi, expected):
    made = compound(D0, phi)
    assert sizes(made) == expected
    assert [len(each.blocks) for each in made.backbone.stages] == [
        len(each.blocks) for each in scale(D0.backbone, 1.2**phi, 1.1**phi).stages
    ]
    assert made.name == f"efficientdet_d0-phi{phi:.4g}"


def test_efficientdets_rule_has_no_gamma():
    with pytest.raises(
        SpecError, match="EfficientDet's rule adds a quarter of the resolution per step and has no gamma"
    ):
        compound(D0, 1, gamma=1.2)
    with pytest.raises(SpecError, match=r"has no gamma, got 1\.2"):
        solution(D0, parse("macs<=1G"), rule=Rule("compound", 1.2, 1.1, 1.2))


@pytest.mark.parametrize(
    ("phi", "message"), [(62, "makes a stage of 81,141 blocks, more than 20,000"), (4000, "phi=4000")]
)
def test_a_phi_that_makes_what_no_detector_may_be_is_refused(phi, message):
    with pytest.raises(SpecError, match=message):
        compound(D0, phi)


@settings(max_examples=30, deadline=None)
@given(smaller=st.tuples(MULTIPLIERS, MULTIPLIERS, MULTIPLIERS), factor=st.floats(1, 1.5))
def test_a_larger_multiplier_never_costs_less(smaller, factor):
    small, large = cost(scale(LITE0, *smaller)), cost(scale(LITE0, *(factor * each for each in smaller)))
    for word in WORDS:
        assert getattr(large, word) >= getattr(small, word)


@settings(max_examples=30, deadline=None)
@given(phi=st.floats(-8, 8), more=st.floats(0, 2))
def test_a_larger_phi_never_costs_less(phi, more):
    small, large = cost(compound(D0, phi)), cost(compound(D0, phi + more))
    for word in WORDS:
        assert getattr(large, word) >= getattr(small, word)


@settings(max_examples=20, deadline=None)
@given(made=detectors, depth=MULTIPLIERS, width=MULTIPLIERS, resolution=MULTIPLIERS)
def test_any_detector_scales_to_one_that_can_be_costed(made, depth, width, resolution):
    scaled = scale(made, depth, width, resolution)
    assert scaled.pyramid.repeats == max(1, math.ceil(depth * made.pyramid.repeats - 1e-9))
    assert scaled.fed_levels == made.fed_levels
    assert cost(scaled).params > 0


@pytest.mark.parametrize("seed", range(30))
def test_a_random_budget_is_kept_and_at_least_nine_tenths_of_one_limit_are_used(seed):
    draw = random.Random(seed)
    made = detector(draw.choice(["efficientdet_d0", "efficientdet_lite0", "efficientdet_d2"]))
    own, words = counted(made), draw.sample(WORDS, draw.choice([1, 2]))
    budget = Budget({word: own[word] * math.exp(draw.uniform(math.log(0.35), math.log(8))) for word in words})
    rule = RULES[draw.choice(["compound", "compound", "fast"])]
    used = budget.used(counted(solution(made, budget, rule=rule).network))
    assert 0.9 <= max(used.values()) <= 1


@settings(max_examples=15, deadline=None)
@given(made=detectors, share=st.floats(0.5, 3))
def test_what_a_budget_gives_is_inside_it_whatever_the_detector(made, share):
    budget = Budget({"macs": share * cost(made).macs + 1})
    try:
        found = solution(made, budget).network
    except BudgetError as refused:
        assert refused.overrun > 1
        return
    assert cost(found).macs <= budget.limits["macs"]


def test_fit_budget_reads_the_language_of_budgets():
    made = fit_budget(D0, "macs<=2G, params<=4M")
    assert isinstance(made, Detector)
    assert cost(made).macs <= 2e9
    assert cost(made).params <= 4e6
    assert made.name == "efficientdet_d0@macs2G,params4M"


def test_resolution_is_not_given_up_for_parameters():
    assert fit_budget(D0, "params<=1M").resolution == (512, 512)


def test_one_direction_alone_changes_nothing_else():
    made = fit_budget(D0, "macs<=5G", "resolution")
    assert sizes(replace(made, backbone=D0.backbone)) == sizes(D0)
    assert made.name == "efficientdet_d0@macs5G-resolution"


def test_the_smallest_detector_is_named_where_nothing_is_inside():
    with pytest.raises(
        BudgetError, match="nothing of efficientdet_d0 with 90 classes is inside; the smallest that can be"
    ):
        fit_budget(D0, "macs<=1K")


def test_a_limit_that_is_measured_asks_the_measure():
    asked = []

    def latency(made):
        asked.append(made)
        return cost(made).macs / 50e9

    found = solution(D0, parse("latency<=20ms"), {"latency": latency}).network
    assert 0.8 * 1e9 <= cost(found).macs <= 1e9
    assert all(isinstance(each, Detector) for each in asked)


@pytest.mark.parametrize("word", ["latency<=5ms", "size<=5MB"])
def test_a_limit_without_its_measure_is_refused(word):
    with pytest.raises(BudgetError, match="must be measured on an exported file"):
        fit_budget(D0, word)
