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
from triscale.spec.scaling import scale


def totals(own):
    layers = own.layers
    return (
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.activations for layer in layers),
        4 * sum(layer.params for layer in layers) + max(layer.memory for layer in layers),
    )


def counted(own):
    return own.params, own.macs, own.activations, own.memory


def test_b0_at_224_has_the_activations_that_pycls_counts():
    assert cost(network("efficientnet_b0")).activations == 6_747_036
    assert golden("classification")["counted_here"]["efficientnet_b0_activations_at_224"] == 6_747_036


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize("size", [None, 32, (193, 257), (1, 1)])
def test_layers_add_up_to_the_totals(name, size):
    own = cost(network(name), size)
    assert totals(own) == counted(own)


@settings(max_examples=80, deadline=None)
@given(net=networks, height=st.integers(1, 300), width=st.integers(1, 300))
def test_layers_of_any_network_add_up_to_the_totals_at_any_size(net, height, width):
    own = cost(net, (height, width))
    assert totals(own) == counted(own)


def test_a_network_of_one_block_is_counted_by_hand():
    block = Block("mbconv", 4, 3, 2, expand=2, squeeze=Squeeze(0.5), activation="relu")
    net = Network("tiny", Stem(4, stride=1, activation="relu"), (Stage((block,)),), Head(None), 5, classes=3)
    own = cost(net, 5)
    stem = 3 * 3 * 3 * 4
    expand, depthwise, squeeze, project = 4 * 8, 9 * 8, (8 * 2 + 2) + (2 * 8 + 8), 8 * 4
    norms = 2 * (4 + 8 + 8 + 4)
    assert own.params == stem + expand + depthwise + squeeze + project + norms + (4 * 3 + 3)
    assert own.macs == 25 * stem + 25 * expand + 9 * depthwise + (8 * 2 + 2 * 8) + 9 * project + 4 * 3
    assert own.activations == 25 * 4 + 25 * 8 + 9 * 8 + (2 + 8) + 9 * 4
    # the most is alive in the expansion: 4 and 8 channels of 25 pixels
    assert own.memory == 4 * (own.params + 25 * (4 + 8))


def test_a_residual_stays_alive_until_it_is_added():
    block = Block("mbconv", 4, 3, 1, expand=2, activation="relu")
    with_residual = Network("r", Stem(4, stride=1), (Stage((block,)),), None, 10)
    without = replace(with_residual, stages=(Stage((replace(block, skip=False),)),))
    # depthwise: 8 in and 8 out, and the 4 channels of the residual
    assert cost(with_residual).memory == 4 * (cost(with_residual).params + 100 * (8 + 8 + 4))
    assert cost(without).memory == 4 * (cost(without).params + 100 * (8 + 8))


def test_a_trainable_swish_adds_one_parameter_for_each_place_it_stands():
    block = Block("mbconv", 16, expand=6, activation="silu")
    plain = Network("s", Stem(16), (stage(block, 2),), Head(64))
    sloped = replace(
        plain,
        stem=Stem(16, activation="swish"),
        stages=(stage(replace(block, activation="swish"), 2),),
        head=Head(64, activation="swish"),
    )
    assert cost(sloped).params - cost(plain).params == 1 + 2 * 2 + 1
    assert cost(sloped).macs == cost(plain).macs


def test_parameters_never_depend_on_the_size():
    net = network("efficientnet_b3")
    assert len({cost(net, size).params for size in (1, 31, 224, (193, 257), 1024)}) == 1


def test_height_and_width_can_be_exchanged():
    net = network("mobilenet_v3_large")
    assert counted(cost(net, (193, 257))) == counted(cost(net, (257, 193)))


def test_a_map_of_one_pixel_survives_strides_and_kernels_larger_than_itself():
    net = network("efficientnet_lite0")
    own = cost(net, 1)
    assert {layer.output[1:] for layer in own.layers} == {(1, 1)}
    assert own.macs == own.params - sum(
        layer.output[0] * (1 if layer.operation == "classifier" else 2) for layer in own.layers if layer.macs
    )


@pytest.mark.parametrize(("classes", "in_channels"), [(1, 3), (10, 1), (21_843, 13)])
def test_classes_and_input_channels_change_only_the_classifier_and_the_stem(classes, in_channels):
    base, own = (
        cost(network("efficientnet_b0")),
        cost(replace(network("efficientnet_b0"), classes=classes, in_channels=in_channels)),
    )
    assert own.params - base.params == (classes - 1000) * 1281 + (in_channels - 3) * 9 * 32
    assert own.macs - base.macs == (classes - 1000) * 1280 + (in_channels - 3) * 9 * 32 * 112 * 112


def test_without_a_head_the_cost_is_that_of_the_backbone():
    net = network("efficientnet_b0")
    own, backbone = cost(net), cost(replace(net, head=None))
    head = [layer for layer in own.layers if layer.where == "head"]
    assert own.params - backbone.params == sum(layer.params for layer in head)
    assert own.macs - backbone.macs == sum(layer.macs for layer in head)


def test_a_stem_of_stride_1_reads_as_many_pixels_as_it_writes():
    net = replace(network("efficientnet_b0"), stem=Stem(32, stride=1))
    assert totals(cost(net, 33)) == counted(cost(net, 33))
    assert cost(net, 33).layers[0].output == (32, 33, 33)


def test_a_max_pool_is_no_convolution_and_halves_the_map():
    net = replace(network("efficientnet_b0"), stem=Stem(32, 7, pool=True))
    own = cost(net, 224)
    assert [(layer.operation, layer.output, layer.macs) for layer in own.layers[:2]] == [
        ("convolution", (32, 112, 112), 49 * 3 * 32 * 112 * 112),
        ("max pool", (32, 56, 56), 0),
    ]
    assert totals(own) == counted(own)


@pytest.mark.parametrize("size", [0, -5, 1.5, (224,), (224, 0), "224", True, 2**30])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(SpecError, match="a size is a number of pixels"):
        cost(network("efficientnet_b0"), size)


def test_the_largest_network_that_a_file_may_hold_is_costed_without_delay_and_to_the_digit():
    different = tuple(Block("mbconv", 1 << 20, 1023, hidden=1 + i) for i in range(9_000))
    net = Network("vast", Stem(1 << 20), (Stage(different), stage(Block("basic", 1 << 20), 11_000)), None, 1 << 20)
    own = cost(net)
    assert own.params > 2**50
    assert own.macs > 2**80
    assert totals(own) == counted(own)


def test_scaling_to_the_same_widths_gives_the_same_cost_by_another_way():
    b1 = scale(network("efficientnet_b0"), 1.1, 1.0)
    assert cost(b1, 240).macs == golden("classification")["networks"]["efficientnet_b1"]["macs"]
