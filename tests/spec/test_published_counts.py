"""Every published network that has a count: equal to the last digit, by arithmetic and as built."""

import pytest

from tests.golden import golden
from tests.spec.test_cost_as_built import ran
from triscale.models.assembler import ConvNet
from triscale.spec.cost import cost
from triscale.spec.families import NETWORKS, list_networks, network

CLASSIFICATION = golden("classification")
ROWS = {**CLASSIFICATION["networks"], **CLASSIFICATION["baselines"]}


def normalised(model):
    """Elements of all running means and variances."""
    return sum(each.numel() for key, each in model.named_buffers() if key.rpartition(".")[2].startswith("running"))


@pytest.mark.parametrize("name", ROWS)
def test_parameters_and_macs_equal_the_published_ones_by_arithmetic_and_as_built(name):
    row, net = ROWS[name], network(name)
    model = ConvNet(net, device="meta").eval()
    macs, activations = ran(model, net.resolution)
    assert net.resolution == (row["resolution"], row["resolution"])
    assert (cost(net).params, cost(net).macs) == (row["params"], row["macs"])
    assert (sum(each.numel() for each in model.parameters()), macs) == (row["params"], row["macs"])
    assert cost(net).activations == activations
    assert normalised(model) == row.get("bn_stats", normalised(model))


@pytest.mark.parametrize("name", [name for name in ROWS if "macs_at" in ROWS[name]])
def test_macs_at_the_other_published_sizes_are_equal_too(name):
    for pixels, macs in ROWS[name]["macs_at"].items():
        assert cost(network(name), int(pixels)).macs == macs


def test_every_network_with_a_name_has_a_count_that_others_published():
    counted = {*ROWS, "detnas_coco_fpn_300m"}  # whose counts are in golden/detnas.json
    assert {
        name for name in list_networks() if name.removeprefix("tf_") not in counted and name not in counted
    } == set()


def test_both_forms_of_a_name_are_one_network_with_two_numerics():
    both = [name for name in NETWORKS if f"tf_{name}" in NETWORKS]
    assert len(both) == 26  # V1 with B8 and L2, Lite, EdgeTPU, V2
    for name in both:
        own, google = network(name), network(f"tf_{name}")
        assert (own.stem, own.stages, own.head) == (google.stem, google.stages, google.head)
        assert (own.numerics.padding, google.numerics.padding) == ("symmetric", "same")
