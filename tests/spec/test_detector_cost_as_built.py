"""The arithmetic against what is built: random detectors, at random sizes, on the meta device."""

import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.spec.strategies import detectors
from triscale.detection.detector import DetectorNet
from triscale.spec.cost import cost

SIDES = st.integers(1, 70)


def ran(model, size):
    """MACs and activations of the convolutions through which one image runs."""
    macs, activations = [], []

    def count(weight, outputs):
        macs.append(outputs * weight[0].numel())
        activations.append(outputs)

    heads = model.class_head, model.box_head
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer not in [head.final for head in heads]:
            layer.register_forward_hook(lambda own, _, output: count(own.weight, output.numel()))
    with torch.no_grad():
        answers = model(torch.empty(1, model.detector.in_channels, *size, device="meta"))
    for head, answer in zip(
        heads, answers, strict=True
    ):  # whose last convolution may be a product of all levels' pixels
        count(head.final.weight, answer.numel())
    return sum(macs), sum(activations)


# To shrink a detector takes minutes, and says little more.
@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(made=detectors, size=st.tuples(SIDES, SIDES))
def test_a_random_detector_costs_what_its_layers_do(made, size):
    model, own = DetectorNet(made, device="meta").eval(), cost(made, size)
    assert own.params == sum(each.numel() for each in model.parameters())
    assert (own.macs, own.activations) == ran(model, size)
