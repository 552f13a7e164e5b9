"""The arithmetic against what is built: random networks of all kinds, at random sizes, on the meta device."""

from dataclasses import replace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.deployment.liveness import peak_bytes
from tests.spec.strategies import networks
from triscale.deployment.fuse import fuse
from triscale.models.assembler import ConvNet
from triscale.spec.cost import cost
from triscale.spec.network import Stage
from triscale.spec.parts import totals

SIDES = st.integers(1, 70)


def ran(model, size):
    """MACs and activations, summed over the convolution and linear layers through which one image runs."""
    macs, activations = [], []

    def count(layer, _, output):
        macs.append(output.numel() * layer.weight[0].numel())
        activations.append(output.numel() if isinstance(layer, nn.Conv2d) else 0)

    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        model(torch.empty(1, model.network.in_channels, *size, device="meta"))
    return sum(macs), sum(activations)


def _plain(block):
    return replace(block, activation="relu", squeeze=block.squeeze and replace(block.squeeze, activation="relu"))


def with_plain_activations(net):
    """The same network where an activation is a layer without numbers of its own, as fusing on "meta" needs it."""
    stages = tuple(Stage(tuple(map(_plain, each.blocks))) for each in net.stages)
    head = net.head and replace(net.head, activation="relu")
    return replace(net, stem=replace(net.stem, activation="relu"), stages=stages, head=head)


@settings(max_examples=25, deadline=None)
@given(net=networks, size=st.tuples(SIDES, SIDES))
def test_a_random_network_costs_what_its_layers_do(net, size):
    model, own = ConvNet(net, device="meta").eval(), cost(net, size)
    assert own.params == sum(each.numel() for each in model.parameters())
    assert (own.macs, own.activations) == ran(model, size)


@settings(max_examples=25, deadline=None)
@given(net=networks.map(with_plain_activations), size=st.tuples(SIDES, SIDES))
def test_a_random_network_needs_the_memory_that_walking_its_fused_graph_finds(net, size):
    model = ConvNet(net, device="meta").eval()
    assert cost(net, size).memory == 4 * cost(net).params + peak_bytes(fuse(model, size), net.in_channels)


@settings(max_examples=25, deadline=None)
@given(net=networks.map(with_plain_activations), size=st.tuples(SIDES, SIDES), data=st.data())
def test_maps_that_a_detector_reads_stay_alive_as_walking_the_graph_finds(net, size, data):
    backbone = replace(net, head=None)
    taps = data.draw(st.sets(st.sampled_from(sorted(backbone.reductions().values()))))
    model = ConvNet(backbone, device="meta").eval()
    assert 4 * totals(backbone, size, tuple(taps)).peak == peak_bytes(fuse(model, size), net.in_channels, taps)
