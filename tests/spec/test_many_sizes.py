"""Costs at many sizes at once."""

import numpy as np
import pytest

from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.many_sizes import costs


@pytest.mark.parametrize("name", ["efficientnet_b0", "mobilenet_v3_large", "resnet50", "efficientnetv2_s"])
def test_many_sizes_cost_what_each_of_them_does(name):
    made = network(name)
    height, width = np.array([32, 97, 224, 301, 1000]), np.array([64, 97, 200, 1, 1000])
    found = costs(made, height, width)
    for place, size in enumerate(zip(height.tolist(), width.tolist(), strict=True)):
        own = cost(made, size)
        expected = (own.params, own.macs, own.activations, own.memory)
        assert tuple(int(each[place]) for each in found) == expected
