"""Which network can be grown from which, and what is said where it cannot."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triscale.errors import SpecError
from triscale.spec.block import Block, Squeeze
from triscale.spec.families import network
from triscale.spec.growth import growth_refusal, require_growable
from triscale.spec.network import Head, Network, Stage, Stem, stage
from triscale.spec.scaling import lowres, scale

B0, LITE0 = network("efficientnet_b0"), network("efficientnet_lite0")
SQUEEZE = Squeeze(0.25)


def net(*stages, **changes):
    return Network(
        "net", Stem(16), stages or (stage(Block("mbconv", 24, 3, 2, 4, squeeze=SQUEEZE), 2),), Head(64), **changes
    )


def with_block(**changes):
    """`net` with a block that differs from its own."""
    return net(stage(Block(**{"kind": "mbconv", "channels": 24, "kernel": 3, "stride": 2, "expand": 4,
                              "squeeze": SQUEEZE, **changes}), 2))  # fmt: skip


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "efficientnetv2_s", "mobilenet_v2",
                                  "resnet18", "resnet50", "detnas_coco_fpn_300m"])  # fmt: skip
def test_every_network_can_be_grown_from_itself(name):
    assert growth_refusal(network(name), network(name)) is None


@pytest.mark.parametrize(
    ("source", "target"),
    [("efficientnet_b0", "efficientnet_b1"), ("efficientnet_b0", "efficientnet_b7"),
     ("efficientnet_b3", "tf_efficientnet_b4"),
     ("efficientnet_lite0", "efficientnet_lite2"), ("efficientnet_lite1", "efficientnet_lite4"),
     ("resnet18", "resnet34"), ("resnet50", "resnet101"), ("resnet50", "wide_resnet50_2")],
)  # fmt: skip
def test_larger_members_of_a_family_can_be_grown_from_smaller_ones(source, target):
    assert growth_refusal(network(source), network(target)) is None


@settings(max_examples=60, deadline=None)
@given(small=st.tuples(st.floats(1, 1.5), st.floats(1, 1.5)), more=st.tuples(st.floats(1, 2), st.floats(1, 2)),
       baseline=st.sampled_from([B0, LITE0]))  # fmt: skip
def test_of_two_scaled_networks_the_one_scaled_further_can_be_grown_from_the_other(small, more, baseline):
    """Widths and lengths never fall as the multipliers grow, but where a width reaches that of a neighbour."""
    source = scale(baseline, *small)
    found = growth_refusal(source, scale(baseline, small[0] * more[0], small[1] * more[1]))
    assert found is None or "residual" in found


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (replace(net(), in_channels=1), "it reads 1 channels instead of 3"),
        (replace(net(), classes=7), "it has 7 classes instead of 1000 (replace(network, classes=1000))"),
        (replace(net(), stem=Stem(8)), "the stem has only 8 channels of 16"),
        (replace(net(), stem=Stem(16, pool=True)), "the stem has max-pool"),
        (replace(net(), stem=Stem(16, 5)), "the stem has kernel 5 instead of 3"),
        (net(*net().stages * 2), "the network has stages 2 instead of 1"),
        (net(Stage(net().stages[0].blocks[:1])), "stage 0 has only 1 blocks of 2"),
        (with_block(kind="fused"), "stage 0, block 0 has kind fused instead of mbconv"),
        (with_block(kernel=5), "stage 0, block 0 has kernel 5 instead of 3"),
        (with_block(stride=1), "stage 0, block 0 has stride 1 instead of 2"),
        (with_block(activation="relu"), "stage 0, block 0 has activation relu instead of silu"),
        (with_block(channels=16), "stage 0, block 0 has only 16 channels of 24"),
        (with_block(expand=3), "stage 0, block 0 has only 48 hidden channels of 64"),
        (with_block(expand=1), "stage 0, block 0 lacks an expansion"),
        (with_block(squeeze=None), "stage 0, block 0 lacks squeeze-excite"),
        (with_block(squeeze=Squeeze(0.2)), "stage 0, block 0 has only 3 squeeze channels of 4"),
        (with_block(squeeze=Squeeze(gate="hardsigmoid")), "stage 0, block 0 has gate hardsigmoid instead of sigmoid"),
        (with_block(squeeze=Squeeze(activation="relu")),
         "stage 0, block 0 has squeeze activation relu instead of silu"),
        (with_block(skip=False), "stage 0, block 1 lacks a residual"),
        (replace(net(), head=None), "the network lacks a head"),
        (replace(net(), head=Head(None)), "the head lacks a convolution"),
        (replace(net(), head=Head(64, linear=9)), "the head has a linear layer"),
        (replace(net(), head=Head(48)), "the head has only 48 channels of 64"),
        (replace(net(), head=Head(64, "relu")), "the head has activation relu instead of silu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_the_first_stage_that_prevents_it_is_named(target, said):
    assert growth_refusal(net(), target) == said
    with pytest.raises(
        SpecError, match="every stage must be at least as wide and deep, with the same operators"
    ) as caught:
        require_growable(net(), target)
    assert str(caught.value).startswith(f"net cannot be grown from net: {said}; ")


def test_resolution_dropout_drop_connect_and_numerics_are_free():
    other = replace(net(), resolution=(96, 64), head=Head(64, dropout=0.5), drop_connect=0.0,
                    numerics=network("tf_efficientnet_b0").numerics)  # fmt: skip
    assert growth_refusal(net(), other) is None
    assert growth_refusal(LITE0, lowres(LITE0, 32)) == "the stem has stride 1 instead of 2"  # strides are not


def test_a_residual_must_stay_one():
    """Where input and output grow apart, what was added as it is would have to be projected, or not be added."""
    source = net(stage(Block("mbconv", 16, expand=4)))
    assert growth_refusal(source, net(stage(Block("mbconv", 24, expand=4)))) == "stage 0, block 0 lacks a residual"
    resnet = net(stage(Block("basic", 16, activation="relu")))
    wider = net(stage(Block("basic", 24, activation="relu")))
    assert growth_refusal(resnet, wider) == "stage 0, block 0 lacks a residual"
    assert growth_refusal(wider, replace(wider, stem=Stem(24))) == "stage 0, block 0 has a residual"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (Block("separable", 24, stride=2), "a block without a residual cannot be added"),
        (Block("mbconv", 24, stride=2, expand=4, skip=False), "a block without a residual cannot be added"),
        (Block("fused", 24, stride=2, activation="sigmoid"), "sigmoid of a new block that adds nothing is not zero"),
        (Block("basic", 24, stride=2, activation="silu"), "silu after the sum of an added block would change"),
        (
            Block("basic", 24, stride=2, activation="hardswish"),
            "hardswish after the sum of an added block would change",
        ),
    ],
)
def test_depth_is_added_only_where_a_new_block_can_pass_on_what_it_reads(block, said):
    found = growth_refusal(net(stage(block, 1)), net(stage(block, 2)))
    assert found.startswith(f"stage 0 has 2 blocks instead of 1, and {said}")


@pytest.mark.parametrize("block", [Block("mbconv", 24, stride=2, expand=4), Block("fused", 24, stride=2),
                                   Block("basic", 24, stride=2, activation="relu"),
                                   Block("bottleneck", 24, stride=2, expand=0.25, activation="relu6"),
                                   Block("bottleneck", 24, stride=2, activation="identity")])  # fmt: skip
def test_where_it_can_depth_is_added(block):
    assert growth_refusal(net(stage(block, 1)), net(stage(block, 3))) is None


def test_relu_behind_values_that_may_be_negative_is_refused():
    first, basic = Block("mbconv", 24, stride=2, expand=4), Block("basic", 24, activation="relu")
    found = growth_refusal(net(Stage((first,))), net(Stage((first, basic))))
    assert found.startswith("stage 0 has 2 blocks instead of 1, and relu after the sum of an added block would change")


def test_units_that_split_their_channels_stay_as_they_are():
    detnas = network("detnas_coco_fpn_300m")
    assert growth_refusal(detnas, scale(detnas, width=2)) is not None
    assert growth_refusal(detnas, scale(detnas, depth=2)).endswith("it would not pass on what it reads")
