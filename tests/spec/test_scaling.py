import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden import golden
from tests.spec.strategies import networks
from triscale.errors import SpecError
from triscale.spec.block import Block, Squeeze
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network
from triscale.spec.network import Head, Network, Stage, Stem, stage
from triscale.spec.scaling import ALPHA, BETA, GAMMA, compound, lowres, scale

SCALING = golden("scaling")
B0, LITE0 = network("efficientnet_b0"), network("efficientnet_lite0")
MULTIPLIERS = st.floats(0.05, 6.0)


def params_and_macs(net):
    own = cost(net)
    return own.params, own.macs


@pytest.mark.parametrize("phi", sorted(SCALING["pure_rule_models"]))
def test_the_pure_rule_makes_the_counted_networks(phi):
    row, net = SCALING["pure_rule_models"][phi], compound(B0, int(phi))
    assert (*params_and_macs(net), net.resolution[0]) == (row["params"], row["macs"], row["resolution"])


def test_the_coefficients_are_those_of_the_paper():
    rule = SCALING["rule"]
    assert [rule["alpha"], rule["beta"], rule["gamma"]] == [1.2, 1.1, 1.15] == [ALPHA, BETA, GAMMA]
    assert rule["constraint_value"] == pytest.approx(ALPHA * BETA**2 * GAMMA**2, abs=1e-5)


@pytest.mark.parametrize("name", [name for name in SCALING["released"] if name in list_networks()])
def test_released_coefficients_make_the_released_networks(name):
    row = SCALING["released"][name]
    scaled = scale(B0, row["depth"], row["width"], row["resolution"] / 224)
    assert params_and_macs(scaled) == params_and_macs(network(name))
    assert scaled.resolution == network(name).resolution


@pytest.mark.parametrize("width", sorted(SCALING["single_dimension_series"]["width"]))
def test_the_width_series_of_figure_3_is_counted_to_the_digit(width):
    row = SCALING["single_dimension_series"]["width"][width]
    assert params_and_macs(scale(B0, width=float(width))) == (row["params"], row["macs"])


@pytest.mark.parametrize("depth", sorted(SCALING["single_dimension_series"]["depth"]))
def test_the_depth_series_of_figure_3_is_counted_to_the_digit(depth):
    row = SCALING["single_dimension_series"]["depth"][depth]
    assert params_and_macs(scale(B0, depth=float(depth))) == (row["params"], row["macs"])


@pytest.mark.parametrize("resolution", sorted(SCALING["single_dimension_series"]["resolution"]))
def test_the_resolution_series_of_figure_3_is_counted_to_the_digit(resolution):
    row, net = SCALING["single_dimension_series"]["resolution"][resolution], scale(B0, resolution=float(resolution))
    assert (net.resolution[0], *params_and_macs(net)) == (row["pixels"], 5_288_548, row["macs"])


@pytest.mark.parametrize(
    ("row", "multipliers"),
    [
        ("depth_4", (4, 1, 1)),
        ("width_2", (1, 2, 1)),
        ("resolution_2", (1, 1, 2)),
        ("compound", (1.4, 1.2, 1.3)),
    ],
)
def test_table_7_of_the_paper_is_what_its_multipliers_really_give(row, multipliers):
    expected = SCALING["paper_table_7"][row]
    assert params_and_macs(scale(B0, *multipliers)) == (expected["exact_params"], expected["exact_macs"])


@given(depth=st.integers(2, 8))
def test_macs_grow_as_depth(depth):
    assert cost(scale(B0, depth=depth)).macs / cost(B0).macs == pytest.approx(depth, rel=0.1)


@given(width=st.floats(1.5, 6))
def test_macs_grow_about_as_the_square_of_width(width):
    # depthwise convolutions grow as width only, so wide networks lag the square a little
    grown = cost(scale(B0, width=width)).macs / cost(B0).macs
    assert 0.8 * width**2 < grown < 1.1 * width**2


@pytest.mark.parametrize("word", ["macs", "activations"])
@given(maps=st.integers(3, 40))
def test_at_multiples_of_the_stride_costs_are_a_square_of_resolution_and_a_constant(word, maps):
    # the constant: squeeze-excite and the classifier work on one pixel whatever the size
    one, two, many = (getattr(cost(B0, 32 * n), word) for n in (1, 2, maps))
    square, rest = divmod(two - one, 3)
    assert rest == 0
    assert many == square * maps**2 + (one - square)


@given(resolution=st.floats(0.2, 5))
def test_between_multiples_of_the_stride_maps_are_rounded_up_but_never_beyond_the_next_multiple(resolution):
    net = scale(B0, resolution=resolution)
    below, above = net.resolution[0] // 32 * 32, -(-net.resolution[0] // 32) * 32
    assert cost(B0, below).macs <= cost(net).macs <= cost(B0, above).macs
    assert cost(net).params == 5_288_548


@settings(max_examples=60, deadline=None)
@given(smaller=st.tuples(MULTIPLIERS, MULTIPLIERS, MULTIPLIERS), factor=st.floats(1, 1.5))
def test_a_larger_multiplier_never_costs_less(smaller, factor):
    small = cost(scale(LITE0, *smaller))
    large = cost(scale(LITE0, *(factor * each for each in smaller)))
    for word in ("params", "macs", "activations", "memory"):
        assert getattr(large, word) >= getattr(small, word)


@settings(max_examples=50, deadline=None)
@given(net=networks, depth=MULTIPLIERS, resolution=MULTIPLIERS)
def test_a_width_of_1_leaves_every_channel_as_it_is(net, depth, resolution):
    scaled = scale(net, depth=depth, resolution=resolution)
    assert (scaled.stem, scaled.head) == (net.stem, net.head)
    for before, after in zip(net.stages, scaled.stages, strict=True):
        assert after.channels == before.channels
        known = {replace(block, stride=1) for block in before.blocks}
        assert {replace(block, stride=1) for block in after.blocks} <= known


@settings(max_examples=50, deadline=None)
@given(net=networks, depth=MULTIPLIERS, width=MULTIPLIERS, resolution=MULTIPLIERS)
def test_any_network_scales_to_one_that_can_be_costed(net, depth, width, resolution):
    scaled = scale(net, depth, width, resolution)
    assert [len(s.blocks) for s in scaled.stages] == [
        max(1, math.ceil(depth * len(s.blocks) - 1e-9)) if s.deepen else len(s.blocks) for s in net.stages
    ]
    assert [s.stride for s in scaled.stages] == [s.stride for s in net.stages]
    assert scaled.numerics == net.numerics
    assert cost(scaled).params > 0


def test_multipliers_of_1_give_the_same_network():
    assert scale(B0) is B0
    assert compound(B0, 0) is B0


def test_depth_repeats_the_last_block_or_drops_the_last_ones():
    blocks = tuple(Block("mbconv", 24, hidden=hidden) for hidden in (16, 24, 32))
    net = Network("mixed", Stem(16), (Stage(blocks),), None)
    hidden = lambda depth: [b.hidden for b in scale(net, depth=depth).stages[0].blocks]  # noqa: E731
    assert hidden(5 / 3) == [16, 24, 32, 32, 32]
    assert hidden(0.5) == [16, 24]
    assert hidden(0.01) == [16]


def test_a_repeated_first_block_loses_its_stride():
    net = Network("strided", Stem(16), (stage(Block("mbconv", 24, stride=2, expand=6)),), None)
    assert [b.stride for b in scale(net, depth=3).stages[0].blocks] == [2, 1, 1]


def test_width_recomputes_what_came_from_an_expansion_and_scales_what_was_explicit():
    relative = Block("mbconv", 24, expand=6)
    explicit = Block("mbconv", 24, hidden=72, squeeze=Squeeze(channels=16))
    net = Network("widths", Stem(16), (Stage((relative, explicit)),), None)
    first, second = scale(net, width=2).stages[0].blocks
    assert (first.channels, first.hidden, first.hidden_channels(32)) == (48, None, 192)
    assert (second.channels, second.hidden, second.squeeze.channels) == (48, 144, 32)


def test_lite_keeps_its_stem_its_head_and_the_depth_of_its_first_and_last_stage():
    grown = scale(LITE0, depth=2.5, width=1.6)
    assert (grown.stem.channels, grown.head.channels) == (32, 1280)
    assert [len(each.blocks) for each in grown.stages] == [1, 5, 5, 8, 8, 10, 1]
    assert [each.channels for each in grown.stages] == [24, 40, 64, 128, 176, 304, 512]


def test_a_head_that_only_grows_never_gets_narrower_than_its_base():
    net = replace(B0, head=Head(1280, scaling="grow"))
    assert scale(net, width=0.5).head.channels == 1280
    assert scale(net, width=1.5).head.channels == 1920


def test_a_rectangle_keeps_its_shape():
    assert scale(replace(B0, resolution=(192, 256)), resolution=1.5).resolution == (288, 384)
    assert scale(B0, resolution=1e-4).resolution == (1, 1)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e7])
@pytest.mark.parametrize("word", ["depth", "width", "resolution"])
def test_a_multiplier_that_is_no_positive_number_is_refused(word, value):
    with pytest.raises(SpecError, match=f"scale needs multipliers above 0 and at most 1,000,000, got .*{word}="):
        scale(B0, **{word: value})


@pytest.mark.parametrize(
    ("multipliers", "message"),
    [
        ({"depth": 1e5}, r"depth=1e\+05 makes a stage of 100,000 blocks, more than 20,000"),
        ({"width": 1e5}, "Stem.channels must be a whole number in 1"),
        ({"resolution": 1e5}, "a size is a number of pixels in 1"),
    ],
)
def test_a_multiplier_that_makes_what_no_network_may_be_is_refused(multipliers, message):
    with pytest.raises(SpecError, match=message):
        scale(B0, **multipliers)


@pytest.mark.parametrize("phi", [1e9, -1e9, float("nan"), float("inf"), 60])
def test_a_phi_out_of_this_world_is_refused(phi):
    with pytest.raises(SpecError):
        compound(B0, phi)


def test_coefficients_must_be_positive():
    with pytest.raises(SpecError, match=r"alpha, beta and gamma must be positive, got 0, 1\.1 and 1\.15"):
        compound(B0, 1, alpha=0)


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize("pixels", [8, 28, 32, 64])
def test_the_low_resolution_form_has_the_same_parameters_and_a_larger_last_map(name, pixels):
    net = network(name)
    small = lowres(net, pixels)
    assert cost(small).params == cost(net).params
    assert max(small.reductions()) <= max(net.reductions())
    assert [each.channels for each in small.stages] == [each.channels for each in net.stages]


def test_28_pixels_leave_b0_a_last_map_of_at_least_4_pixels():
    assert max(B0.reductions()) == 32
    assert max(lowres(B0, 28).reductions()) == 8
    assert max(lowres(B0, 64).reductions()) == 16
    assert lowres(B0, 128) is B0


def test_a_projection_or_a_branch_keeps_its_stride_because_its_weights_need_it():
    projected = Network("p", Stem(16), (stage(Block("basic", 16, stride=2)),), None)
    assert lowres(projected, 8).stages[0].stride == 2
    assert lowres(projected, 8).stem.stride == 1


def test_a_low_resolution_form_is_refused_for_no_pixels():
    with pytest.raises(SpecError, match=r"lowres\(pixels=...\) must be a whole number"):
        lowres(B0, 0)
