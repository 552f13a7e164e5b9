"""What training keeps by arithmetic, beside what autograd really keeps."""

import pytest
import torch

from triscale.models.create import create_model
from triscale.spec.families import network
from triscale.spec.training_memory import training_memory
from triscale.training.memory import kept_by_stage

# Within a twentieth: small maps of squeeze-excite and BatchNorm's own vectors are left out.
CLOSE = 0.05


def really_kept(name, pixels, images):
    """Bytes that autograd keeps for the backward pass, by stage, beside the parameters."""
    model = create_model(name).train().to(memory_format=torch.channels_last)
    x = torch.randn(images, 3, pixels, pixels).to(memory_format=torch.channels_last)
    return kept_by_stage(model, lambda: model(x))


@pytest.mark.parametrize(
    "name",
    ["efficientnet_b0", "efficientnetv2_b0", "efficientnet_lite0", "mobilenet_v3_large", "mnasnet_a1", "resnet50"],
)
def test_the_activations_of_a_family_are_predicted(name):
    found = really_kept(name, 96, 8)
    predicted = training_memory(network(name), 96, 8)
    assert predicted.activations == pytest.approx(sum(found.values()), rel=CLOSE)
    largest = max(found, key=found.get)
    assert predicted.stages[largest] == pytest.approx(found[largest], rel=CLOSE)
    assert set(predicted.stages) == set(found)


def test_a_stage_by_hand():
    # The stem of B0 at 64 px keeps 3 x 64 x 64 of the image and 32 x 32 x 32 of its convolution, four bytes each.
    b0 = network("efficientnet_b0")
    assert training_memory(b0, 64, 1).stages["stem"] == 4 * (3 * 64 * 64 + 32 * 32 * 32)
    assert training_memory(b0, 64, 1, copies=True).stages["stem"] == 4 * (3 * 64 * 64 + 2 * 32 * 32 * 32)
    assert training_memory(b0, 64, 3).stages["stem"] == 3 * training_memory(b0, 64, 1).stages["stem"]


def test_weights_are_held_once_for_each_use():
    b0 = training_memory(network("efficientnet_b0"), optimiser="adamw")
    assert (b0.weights, b0.gradients, b0.optimiser, b0.average) == tuple(4 * 5_288_548 * n for n in (1, 1, 2, 1))
    plain = training_memory(network("efficientnet_b0"), optimiser="sgd", average=False)
    assert (plain.optimiser, plain.average) == (4 * 5_288_548, 0)
    assert plain.total == plain.activations + 3 * 4 * 5_288_548
    assert str(b0).startswith(f"about {b0.total / 1e6:.0f} MB: activations ")
