import pytest
import torch
from torch import nn
from torch.nn import functional

from tests import peers
from tests.modules.nets import VGG, Grouped, image
from triscale import cost, create_model, module_cost, network
from triscale.errors import ModuleError
from triscale.modules.count import ModuleCost


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "mobilenet_v3_large", "resnet18"])
def test_a_built_network_costs_what_its_arithmetic_says(name):
    net, own = network(name), cost(network(name))
    counted = module_cost(create_model(name), image(size=net.resolution[0]))
    assert counted == ModuleCost(own.params, own.macs, own.activations, own.memory)


def test_another_librarys_network_costs_the_same():
    own = cost(network("efficientnet_b0"), 64)
    counted = module_cost(peers.timm().create_model("efficientnet_b0"), image(size=64))
    assert counted == ModuleCost(own.params, own.macs, own.activations, own.memory)


def test_the_numbers_are_those_of_batch_one_and_leave_the_module_as_it_is():
    module = Grouped()
    assert module_cost(module, image(batch=4)) == module_cost(module, image())
    assert module.training


def test_each_kind_of_layer_is_counted_by_hand():
    class Layers(nn.Module):
        def __init__(self):
            super().__init__()
            self.grouped, self.up = nn.Conv2d(4, 8, 3, padding=1, groups=2), nn.ConvTranspose2d(8, 2, 2, stride=2)
            self.matrix = nn.Parameter(torch.randn(2, 5))

        def forward(self, x):
            return functional.relu(self.up(self.grouped(x))).mean((2, 3)) @ self.matrix

    counted = module_cost(Layers(), image(channels=4, size=8))
    assert counted.params == (8 * 2 * 9 + 8) + (8 * 2 * 4 + 2) + 10
    assert counted.macs == 64 * 8 * 2 * 9 + 64 * 8 * 2 * 4 + 10  # 8x8 pixels read by both convolutions
    assert counted.activations == 64 * 8 + 256 * 2
    assert counted.memory == 4 * (counted.params + 64 * 8 + 256 * 2)  # while the second convolution runs


def test_memory_knows_what_is_needed_later():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            y = functional.relu(self.first(x))
            return self.second(functional.relu(self.second(y))) + y

    pixels = 8 * 8
    counted = module_cost(Late(), image(size=8))
    assert counted.memory == 4 * (counted.params + pixels * 3 * 4)  # y, what is read and what is made


def test_what_does_not_run_is_one_line():
    with pytest.raises(ModuleError, match=r"^features\.0: cannot be traced: "):
        module_cost(VGG(), image(channels=4))
