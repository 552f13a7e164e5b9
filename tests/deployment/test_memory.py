import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.deployment.liveness import peak_bytes
from tests.models.helpers import small_network
from triscale.deployment.fuse import fuse
from triscale.models.assembler import ConvNet
from triscale.spec.block import Block
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network
from triscale.spec.network import Stem, stage

SIZES = [f"b{i}" for i in range(9)] + [f"lite{i}" for i in range(5)] + ["l2"]
FAMILY = [f"{owner}efficientnet_{size}" for owner in ("", "tf_") for size in SIZES]
LARGE = ("b8", "l2", "tf_efficientnet_b6", "tf_efficientnet_b7")  # seconds each
MEMBERS = [pytest.param(name, marks=[pytest.mark.slow] * name.endswith(LARGE)) for name in FAMILY]


# Of the other families all; the largest, which differ from these in lengths and widths alone, take seconds each
OTHERS = [name for name in list_networks() if not name.startswith(("efficientnet_", "tf_efficientnet_"))]
SECONDS = ("v2_m", "v2_l", "v2_xl", "resnet152", "resnet200", "resnet101_2", "seresnet101")
OTHERS = [pytest.param(name, marks=[pytest.mark.slow] * name.endswith(SECONDS)) for name in OTHERS]
EDGETPU = [f"efficientnet_edgetpu_{size}" for size in "sml"]


@pytest.mark.parametrize("name", [*MEMBERS, *EDGETPU, *OTHERS])
def test_memory_and_activations_by_arithmetic_are_those_of_the_built_network(name):
    net = network(name)
    model = ConvNet(net, device="meta").eval()
    trainable = sum(each.numel() for each in model.parameters() if each.requires_grad)
    assert cost(net).memory == 4 * trainable + peak_bytes(fuse(model, net.resolution), net.in_channels)
    assert cost(net).activations == hooked_activations(model)


def hooked_activations(model):
    """Elements of all convolution outputs, counted while an image runs through."""
    counted = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda module, inputs, output: counted.append(output.numel()))
    with torch.no_grad():
        model(torch.empty(1, model.network.in_channels, *model.network.resolution, device="meta"))
    return sum(counted)


@pytest.mark.parametrize("kind", ["separable", "fused", "basic", "bottleneck", "shuffle", "xception"])
@pytest.mark.parametrize("size", [(32, 32), (45, 30)])
def test_so_it_is_for_every_kind_of_block(kind, size):
    net = small_network(stages=(stage(Block(kind, 16, 3, 2, 2.0, relative_to="output"), 3),), stem=Stem(8, pool=True))
    model = ConvNet(net, device="meta")
    trainable = sum(each.numel() for each in model.parameters())
    assert cost(net, size).memory == 4 * trainable + peak_bytes(fuse(model, size), net.in_channels)


def test_activations_of_b0_are_the_published_number():
    assert cost(network("efficientnet_b0")).activations == 6_747_036  # pycls' count at 224 pixels


def test_memory_lies_within_a_fifth_of_what_a_process_grows_by():
    program = Path(__file__).with_name("resident.py")
    done = subprocess.run(
        [sys.executable, str(program), "tf_efficientnet_b0", "1024"], capture_output=True, text=True, check=True
    )
    growth = int(done.stdout)
    assert 0.8 * growth <= cost(network("tf_efficientnet_b0"), 1024).memory <= 1.2 * growth
