import math

import pytest

from tests.golden import golden
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.released import (
    baseline_of,
    best_phi,
    compare_released,
    released_accuracies,
    released_members,
    scaled_families,
)
from triscale.spec.rules import RULES
from triscale.spec.scaling import compound

RELEASED = golden("scaling")["released"]
MEMBERS = {member.name: member for member in released_members("efficientnet_b0")}
B7 = MEMBERS["efficientnet_b7"]


def test_the_family_of_b0_is_b1_to_b8_and_l2():
    names = [f"efficientnet_b{number}" for number in range(1, 9)] + ["efficientnet_l2"]
    assert list(MEMBERS) == names
    assert set(RELEASED) == {"efficientnet_b0", *names}


@pytest.mark.parametrize("name", MEMBERS)
def test_released_multipliers_are_those_of_the_owner(name):
    row, found = RELEASED[name], MEMBERS[name].multipliers
    assert (found.depth, found.width, found.resolution * 224) == (row["depth"], row["width"], row["resolution"])


@pytest.mark.parametrize("name", MEMBERS)
def test_each_multiplier_and_the_macs_need_the_phi_of_the_golden_file(name):
    row, needed = RELEASED[name], compare_released(MEMBERS[name]).needed
    expected = [row["phi_d"], row["phi_w"], row["phi_r"], row["phi_flops"]]
    assert [round(phi, 2) + 0.0 for phi in needed[:4]] == expected


@pytest.mark.parametrize("name", [name for name in MEMBERS if "at_nominal_phi" in RELEASED[name]])
def test_at_the_usual_phi_the_difference_is_that_of_the_golden_file(name):
    row = RELEASED[name]["at_nominal_phi"]
    compared = compare_released(MEMBERS[name], phi=row["phi"])
    assert compared.rule.multipliers.depth == pytest.approx(row["depth"], abs=6e-4)
    assert compared.rule.multipliers.width == pytest.approx(row["width"], abs=6e-4)
    assert compared.rule.multipliers.resolution * 224 == pytest.approx(row["resolution"], abs=0.06)
    found = {word: round(100 * compared.difference[word], 1) + 0.0 for word in row["off_pct"]}
    assert found == row["off_pct"]


def test_b5_to_b7_have_about_an_eighth_less_depth_than_the_rule():
    depths = [compare_released(MEMBERS[f"efficientnet_b{n}"], phi=n).difference["depth"] for n in (5, 6, 7)]
    assert depths == pytest.approx([-0.116, -0.129, -0.135], abs=5e-4)


@pytest.mark.parametrize("name", MEMBERS)
def test_no_phi_near_the_best_one_has_a_smaller_sum_of_squares(name):
    def squares(phi):
        pairs = zip(RULES["compound"].multipliers(phi), MEMBERS[name].multipliers, strict=True)
        return sum((math.log(rule) - math.log(released)) ** 2 for rule, released in pairs)

    best = compare_released(MEMBERS[name]).phi
    assert squares(best) < min(squares(best + 0.01), squares(best - 0.01))


def test_the_rules_own_multipliers_fit_their_phi():
    assert best_phi(RULES["compound"].multipliers(3.7)) == pytest.approx(3.7)
    assert best_phi(RULES["fast"].multipliers(2), RULES["fast"]) == pytest.approx(2)


def test_b7_beside_the_rule_at_its_best_phi():
    compared = compare_released(B7)
    assert compared.phi == pytest.approx(6.63, abs=0.005)  # 7 in common talk; by MACs 6.61
    assert (compared.released.pixels, compared.released.blocks, compared.released.params) == (600, 55, 66_347_960)
    ruled = compound(network("efficientnet_b0"), compared.phi)
    assert (compared.rule.params, compared.rule.macs) == (cost(ruled).params, cost(ruled).macs)
    assert compared.difference["macs"] == pytest.approx(cost(network("efficientnet_b7")).macs / cost(ruled).macs - 1)
    assert compared.difference["depth"] == pytest.approx(3.1 / 1.2**compared.phi - 1)


def test_b2_is_the_rule_at_1():
    compared = compare_released(MEMBERS["efficientnet_b2"])
    assert compared.phi == pytest.approx(1.02, abs=0.005)
    assert compared.released.widths == compared.rule.widths == (16, 24, 48, 88, 120, 208, 352)
    assert compared.difference["params"] == 0


def test_a_rule_that_leaves_a_direction_alone_has_no_phi_for_it():
    needed = compare_released(B7, RULES["depth"]).needed
    assert needed.depth == pytest.approx(math.log2(3.1))
    assert math.isnan(needed.width) and math.isnan(needed.resolution)


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        ("efficientnet_b3", "efficientnet_b0"),
        ("tf_efficientnet_b3", "tf_efficientnet_b0"),
        ("efficientnet_lite4", "efficientnet_lite0"),
        ("efficientnet_edgetpu_l", "efficientnet_edgetpu_s"),
        ("efficientnetv2_b3", "efficientnetv2_b0"),
        ("efficientnetv2_s", "efficientnetv2_s"),
        ("my own", None),
    ],
)
def test_a_member_knows_its_baseline(name, baseline):
    assert baseline_of(name) == baseline


def test_families_of_several_sizes_are_known_by_their_baseline():
    assert {"efficientnet_b0", "efficientnet_lite0", "efficientnet_edgetpu_s", "efficientnetv2_b0"} <= set(
        scaled_families()
    )
    assert not {"efficientnet_b1", "resnet50", "efficientnetv2_s"} & set(scaled_families())
    assert released_members("resnet50") == released_members("my own") == ()


@pytest.mark.parametrize("name", scaled_families())
def test_every_member_is_its_baseline_times_its_multipliers(name):
    for member in released_members(name):
        compared = compare_released(member)
        assert compared.released.params == cost(network(member.name)).params
        assert compared.released.pixels == round(network(name).resolution[0] * member.multipliers.resolution)


@pytest.mark.parametrize(
    ("name", "source", "top1"),
    [
        (
            "efficientnet_b3",
            "EfficientNet paper",
            [77.1, 79.1, 80.1, 81.6, 82.9, 83.6, 84.0, 84.3],
        ),  # table 2, B0 to B7
        ("efficientnet_lite0", "Google", [75.1, 76.7, 77.6, 79.8, 81.5]),  # README of tensorflow/tpu efficientnet/lite
        ("tf_efficientnetv2_b0", "Google", [78.7, 79.8, 80.5, 82.1]),
    ],
)
def test_accuracies_of_a_family_are_of_one_source_and_one_recipe(name, source, top1):
    found = released_accuracies(name)
    assert [figure.top1 for _, figure in found] == top1
    assert {figure.source for _, figure in found} == {source}
    assert len({figure.weights for _, figure in found}) == 1


@pytest.mark.parametrize("name", ["my own", "resnet50", "mobilenet_v3_large"])
def test_a_network_without_released_relatives_has_no_accuracies_to_compare(name):
    assert released_accuracies(name) == ()
