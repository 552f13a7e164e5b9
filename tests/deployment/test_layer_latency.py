"""The real clock, on layers small enough to take no time: what is held is what no clock can change."""

import numpy as np
import pytest
import torch

from tests.models.helpers import small_network
from triscale.deployment.engine import graph_runner
from triscale.deployment.fuse import fuse_part
from triscale.deployment.layer_latency import _Fan, measure_layer
from triscale.deployment.layers import layers_of
from triscale.deployment.onnx_graph import onnx_graph
from triscale.deployment.untrained import randomise
from triscale.spec.families import network

KINDS = ["efficientnet_b0", "efficientnetv2_s", "mobilenet_v1", "mobilenet_v3_small", "resnet18", "resnet50"]
KINDS += ["detnas_coco_fpn_300m"]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_layer_can_be_timed_at_its_own_shape(name):
    """The graph that is timed gives the same answers as the layer it stands for, at batch 1."""
    from dataclasses import replace

    layers = layers_of(replace(network(name), resolution=(40, 40)))
    for layer in {(type(each.part), getattr(each.part, "stride", 1)): each for each in layers}.values():
        fan = _Fan(layer, 2).eval()
        randomise(fan)
        channels = layer.in_channels if fan.first is None else 3
        graph = onnx_graph(fuse_part(fan, layer.size), channels, fan.outputs).SerializeToString()
        image = np.random.default_rng(0).standard_normal((1, channels, *layer.size), dtype=np.float32)
        found = graph_runner(graph, "onnx", 1, (channels, *layer.size))(image)
        with torch.no_grad():
            expected = fan(torch.from_numpy(image)).numpy()
        assert found.shape == (1, fan.outputs)
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_layer_takes_some_time_and_a_larger_one_more(engine):
    small, *_ = layers_of(small_network(resolution=(32, 32)))
    large, *_ = layers_of(small_network(resolution=(512, 512)))
    assert 0 < measure_layer(small, engine, 1) < measure_layer(large, engine, 1)


def test_timing_a_layer_leaves_the_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    measure_layer(layers_of(small_network(resolution=(16, 16)))[0], "onnx", 1)
    assert torch.equal(torch.rand(3), expected)
