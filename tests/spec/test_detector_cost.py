"""Detectors by arithmetic: equal to what others counted, part by part, and to a count by hand."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.golden import golden
from tests.spec.strategies import detectors
from triscale.spec.block import Block
from triscale.spec.cost import cost
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.families.efficientdet import detector, list_detectors
from triscale.spec.network import Network, Stem, stage
from triscale.spec.pyramid import Node, Pyramid

GOLDEN = golden("detection")
MODELS = GOLDEN["models"]
PARTS = ("backbone", "pyramid", "class_head", "box_head")


def by_part(own):
    return [sum(layer.params for layer in own.layers if layer.where.split(".")[0] == part) for part in PARTS]


def totals(own):
    layers = own.layers
    return (
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.activations for layer in layers),
        4 * own.params + max(layer.memory for layer in layers),
    )


def counted(own):
    return own.params, own.macs, own.activations, own.memory


def normalised(own):
    """Elements of all running means and variances: two for every channel of a convolution with BatchNorm."""
    without = ("squeeze reduce", "squeeze expand", "answer")
    channels = 0
    for layer in own.layers:
        in_backbone = layer.where.startswith("backbone")
        depthwise_of_maps = not in_backbone and layer.operation.endswith("depthwise")
        if layer.macs and layer.operation not in without and not depthwise_of_maps:
            channels += layer.output[0]
    return 2 * channels


def test_every_released_detector_has_a_golden_count():
    assert list(MODELS) == list_detectors()


@pytest.mark.parametrize("name", MODELS)
def test_params_and_macs_equal_the_published_ones_in_total_and_by_part(name):
    own, exact = cost(detector(name)), MODELS[name]["exact"]
    assert (own.params, own.macs) == (exact["params"], exact["macs"])
    assert by_part(own) == exact["params_by_part"]
    assert totals(own) == counted(own)
    assert normalised(own) == exact["bn_stats"]


def test_the_counts_of_d0_are_the_known_ones():
    own = cost(detector("efficientdet_d0"))
    assert (own.params, own.macs) == (3_880_067, 2_492_331_520)


@pytest.mark.parametrize("size", ["D0", "D1", "D2", "D3"])
def test_effdets_own_detectors_lack_the_biases_before_batch_norm_and_nothing_else(size):
    own, row = cost(detector(f"effdet_efficientdet_{size.lower()}")), GOLDEN["effdet_native_configs"][size]
    assert (own.params, own.macs) == (row["params"], row["macs"])


def test_effdets_own_d4_keeps_them():
    exact = MODELS["efficientdet_d4"]["exact"]
    assert cost(detector("effdet_efficientdet_d4")).params == exact["params"]


def tiny(**changes):
    """A detector that can be counted by hand: maps at strides 2 and 4, and one that is made."""
    backbone = Network(
        "b",
        Stem(4, stride=1),
        (stage(Block("separable", 6, stride=2)), stage(Block("separable", 8, stride=2))),
        None,
        12,
    )
    pyramid = Pyramid("", (Node(2, (1, 2)), Node(1, (0, 3))), (1, 3), 5, 2, "fast")
    made = Detector("tiny", backbone, pyramid, Heads(1), Anchors(octaves=(0.0,), aspects=((1.0, 1.0),)), classes=3)
    return replace(made, **changes)


def test_a_tiny_detector_is_counted_by_hand():
    own = cost(tiny())
    pixels = 6 * 6, 3 * 3, 2 * 2  # of levels 1, 2 and 3
    stem, first, second = 27 * 4 + 8, 36 + 8 + 24 + 12, 54 + 12 + 48 + 16
    project6, project8 = 6 * 5 + 5 + 10, 8 * 5 + 5 + 10
    node = 2 + 45 + 25 + 5 + 10  # two weights, depthwise, pointwise with its bias, BatchNorm
    made = project8
    # In the first repeat, the node at level 2 reads the backbone's 8 channels, the one at level 1 its 6.
    pyramid = made + (project8 + node) + (project6 + node) + 2 * node
    layer = 45 + 25 + 5 + 3 * 10
    heads = layer + 45 + 15 + 3 + layer + 45 + 20 + 4
    assert own.params == stem + first + second + pyramid + heads
    backbone_macs = 144 * 108 + 36 * 36 + 36 * 24 + 9 * 54 + 9 * 48
    pyramid_macs = 9 * 40 + 9 * (40 + 45 + 25) + 36 * (30 + 45 + 25) + (9 + 36) * (45 + 25)
    head_macs = sum(pixels) * (45 + 25 + 45 + 15 + 45 + 25 + 45 + 20)
    assert own.macs == backbone_macs + pyramid_macs + head_macs
    backbone_outputs = 144 * 4 + 36 * (4 + 6) + 9 * (6 + 8)
    pyramid_outputs = 9 * 5 + 9 * 15 + 36 * 15 + (9 + 36) * 10
    assert own.activations == backbone_outputs + pyramid_outputs + sum(pixels) * (5 * 3 + 3 + 5 * 3 + 4)


def test_maps_that_the_pyramid_reads_stay_alive_while_the_backbone_runs_on():
    alive = {(layer.where, layer.operation): layer.memory // 4 for layer in cost(tiny()).layers}
    assert alive["backbone.stages.0.0", "pointwise"] == 36 * (4 + 6)
    assert alive["backbone.stages.1.0", "depthwise"] == 36 * 6 + 9 * 6
    assert alive["backbone.stages.1.0", "pointwise"] == 36 * 6 + 9 * (6 + 8)
    # Level 3 is made while both maps of the backbone wait for their nodes.
    assert alive["pyramid.P3", "project"] == 36 * 6 + 9 * (8 + 5)
    assert alive["pyramid.P3", "max pool"] == 36 * 6 + 9 * (8 + 5) + 4 * 5


def test_a_level_that_no_node_makes_passes_at_the_pyramids_width():
    passing = tiny(pyramid=Pyramid("", (), (1, 3), 5, 2))
    layers = {layer.where: layer for layer in cost(passing).layers}
    assert layers["pyramid.0.P1"].output == (5, 6, 6)
    assert layers["pyramid.0.P2"].params == 8 * 5 + 5 + 10
    assert "pyramid.0.P3" not in layers  # made at that width
    assert not any(where.startswith("pyramid.1") for where in layers)


def test_attending_costs_two_maps_and_no_weights():
    nodes = (Node(2, (1, 2), "attend", convolve=False), Node(1, (0, 3)))
    attending = tiny(pyramid=Pyramid("", nodes, (1, 3), 5, 1))
    layers = [layer for layer in cost(attending).layers if layer.where == "pyramid.0.0"]
    assert [layer.operation for layer in layers] == ["project", "upsample", "average pool", "attend"]
    assert [layer.params for layer in layers] == [8 * 5 + 5 + 10, 0, 0, 0]


@pytest.mark.parametrize(("fusion", "weights"), [("fast", 2), ("softmax", 2), ("sum", 0)])
def test_fusion_has_one_weight_for_each_input_of_each_node(fusion, weights):
    made = tiny()
    fused = replace(made, pyramid=replace(made.pyramid, fusion=fusion))
    fuse = [layer.params for layer in cost(fused).layers if layer.operation == "fuse"]
    assert fuse == [weights] * 4


def test_full_convolutions_have_nine_times_the_pointwise_weights():
    made = tiny()
    full = replace(made, pyramid=replace(made.pyramid, separable=False), heads=replace(made.heads, separable=False))
    own = cost(full)
    answers = [layer for layer in own.layers if layer.operation == "answer" and layer.where == "class_head"]
    assert [layer.params for layer in answers] == [9 * 5 * 3 + 3, 0, 0]  # shared by the levels
    assert [layer.output for layer in answers] == [(3, 6, 6), (3, 3, 3), (3, 2, 2)]
    assert totals(own) == counted(own)


def test_a_trainable_swish_adds_one_parameter_for_each_node_and_each_layer_of_each_head():
    made = tiny()
    sloped = replace(
        made, pyramid=replace(made.pyramid, activation="swish"), heads=replace(made.heads, activation="swish")
    )
    assert cost(sloped).params - cost(made).params == 4 + 2
    assert totals(cost(sloped)) == counted(cost(sloped))


@settings(max_examples=30, deadline=None)
@given(made=detectors, height=st.integers(1, 300), width=st.integers(1, 300))
def test_layers_of_any_detector_add_up_to_the_totals_at_any_size(made, height, width):
    own = cost(made, (height, width))
    assert totals(own) == counted(own)


@settings(max_examples=20, deadline=None)
@given(made=detectors)
def test_a_detector_costs_at_least_what_its_backbone_does(made):
    own, backbone = cost(made), cost(made.backbone)
    assert (own.params, own.macs) >= (backbone.params, backbone.macs)
    assert own.memory >= backbone.memory
