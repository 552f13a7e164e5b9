"""The paper's table of any network."""

from dataclasses import replace

import pytest

from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.table import count_layers, table_rows

# Tan & Le 2019, table 1, https://arxiv.org/abs/1905.11946: operator, resolution, channels, layers
TABLE_1 = [
    (1, "Conv3x3", (224, 224), 32, 1),
    (2, "MBConv1, k3x3", (112, 112), 16, 1),
    (3, "MBConv6, k3x3", (112, 112), 24, 2),
    (4, "MBConv6, k5x5", (56, 56), 40, 2),
    (5, "MBConv6, k3x3", (28, 28), 80, 3),
    (6, "MBConv6, k5x5", (14, 14), 112, 3),
    (7, "MBConv6, k5x5", (14, 14), 192, 4),
    (8, "MBConv6, k3x3", (7, 7), 320, 1),
    (9, "Conv1x1 & Pooling & FC", (7, 7), 1280, 1),
]


def test_b0_is_table_1_of_the_paper():
    rows = table_rows(network("efficientnet_b0"))
    assert [(r.stage, r.operator, r.resolution, r.channels, r.layers) for r in rows] == TABLE_1


@pytest.mark.parametrize(("name", "layers"), [("efficientnet_b0", 82), ("efficientnet_b7", 274)])
def test_depth_counts_convolutions_and_linear_layers(name, layers):
    assert count_layers(network(name)) == layers


@pytest.mark.parametrize(
    "name", ["efficientnet_b3", "efficientnet_lite2", "mobilenet_v3_large", "detnas_coco_fpn_300m"]
)
def test_rows_add_up_to_the_network(name):
    net = network(name)
    rows = table_rows(net)
    assert sum(r.params for r in rows) == cost(net).params
    assert sum(r.macs for r in rows) == cost(net).macs
    assert sum(r.layers for r in rows) == 2 + sum(len(stage.blocks) for stage in net.stages)


def test_unlike_blocks_of_a_stage_have_rows_of_their_own():
    rows = [r for r in table_rows(network("mobilenet_v3_large")) if r.stage == 5]
    # Howard et al. 2019, table 1: expansions 240, 200, 184, 184 from 40 and 80 channels
    assert [(r.operator, r.layers, r.resolution) for r in rows] == [
        ("MBConv6, k3x3", 1, (28, 28)),
        ("MBConv 200, k3x3", 1, (14, 14)),
        ("MBConv 184, k3x3", 2, (14, 14)),
    ]


def test_odd_sizes_round_up_at_every_stride():
    assert [r.resolution for r in table_rows(network("efficientnet_b0"), (193, 257))][:4] == [
        (193, 257),
        (97, 129),
        (97, 129),
        (49, 65),
    ]


def test_a_backbone_has_no_head_row():
    rows = table_rows(replace(network("efficientnet_b0"), head=None))
    assert rows[-1].operator == "MBConv6, k3x3"
