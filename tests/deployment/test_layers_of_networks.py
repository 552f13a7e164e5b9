from dataclasses import replace

import pytest

from tests.models.helpers import small_network
from triscale.deployment.layers import Layer, layers_of, work
from triscale.spec.block import Block
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network
from triscale.spec.network import Head, Stem


def test_the_layers_of_lite0_stand_in_order_at_the_size_that_reaches_them():
    layers = layers_of(network("efficientnet_lite0"))
    assert len(layers) == 18
    assert len(set(layers)) == 14
    told = [str(each) for each in layers]
    assert told[0] == "stem 3x3 /2, 3 -> 32 channels, 224 x 224"
    assert told[1] == "mbconv 3x3, 32 -> 16 channels, 112 x 112"
    assert told[4] == "mbconv 5x5 /2, 24 -> 144 -> 40 channels, 56 x 56"
    assert told[-1] == "head, 320 -> 1280 -> 1000 outputs, 7 x 7"


def test_two_ways_to_write_the_same_width_are_one_layer():
    written = small_network()
    blocks = tuple(replace(b, hidden=64, expand=1.0) for b in written.stages[1].blocks[1:])
    explicit = replace(written.stages[1], blocks=(written.stages[1].blocks[0], *blocks))
    assert layers_of(replace(written, stages=(written.stages[0], explicit, written.stages[2]))) == layers_of(written)


def test_padding_and_classes_make_another_layer_and_dropout_does_not():
    net = network("efficientnet_b0")
    assert set(layers_of(net)).isdisjoint(layers_of(network("tf_efficientnet_b0")))
    other = replace(net, head=replace(net.head, dropout=0.5))
    assert layers_of(other) == layers_of(net)
    assert layers_of(replace(net, classes=10))[:-1] == layers_of(net)[:-1]
    assert layers_of(replace(net, classes=10))[-1] != layers_of(net)[-1]


@pytest.mark.parametrize("name", list_networks()[::5])
def test_the_work_of_all_layers_is_the_cost_of_the_network(name):
    net = network(name)
    macs = sum(sum(work(each)[:3]) for each in layers_of(net))
    assert macs == pytest.approx(cost(net).macs / 1e6, rel=1e-9)


def test_depthwise_work_is_told_apart_from_dense_work():
    layer = Layer(Block("mbconv", 24, 3, 1, hidden=144, activation="relu6"), 24, (56, 56), "same")
    dense, depthwise, single, _, curved, operations = work(layer)
    assert dense == pytest.approx(2 * 24 * 144 * 56 * 56 / 1e6)
    assert depthwise == pytest.approx(9 * 144 * 56 * 56 / 1e6)
    assert (single, curved, operations) == (0, 0, 4)


def test_a_network_without_a_head_has_no_layer_for_one():
    layers = layers_of(replace(small_network(), head=None))
    assert isinstance(layers[0].part, Stem)
    assert not any(isinstance(each.part, Head) for each in layers)
