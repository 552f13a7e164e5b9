import pytest
import torch
from torch import nn

from tests import peers
from tests.modules.nets import image
from triscale import create_model, scale_module, scaling_report
from triscale.models.assembler import ConvNet
from triscale.spec.families import network
from triscale.spec.scaling import scale


@pytest.mark.parametrize(
    ("name", "padding", "eps"), [("efficientnet_b0", "symmetric", 1e-5), ("tf_efficientnet_b0", "same", 1e-3)]
)
def test_a_published_network_is_scaled_as_its_network_with_its_numerics(name, padding, eps):
    module = peers.timm().create_model(name, num_classes=7)
    made = scale_module(module, image(), depth=1.2, width=1.1)
    assert isinstance(made, ConvNet)
    assert made.training
    assert (made.network.numerics.padding, made.network.numerics.eps) == (padding, eps)
    assert made.network.stages == scale(network("efficientnet_b0"), 1.2, 1.1).stages
    assert (made.network.classes, made.network.resolution) == (7, (32, 32))
    assert "recognised as efficientnet_b0" in str(scaling_report(made))
    assert scaling_report(made).after.params == sum(parameter.numel() for parameter in made.parameters())


def test_one_that_is_not_changed_keeps_its_weights():
    module = peers.timm().create_model("efficientnet_b0", num_classes=7).eval()
    made = scale_module(module, image())
    torch.testing.assert_close(made(image()), module(image()), rtol=1e-4, atol=1e-4)


def test_our_own_networks_are_recognised_and_solved_as_data():
    model = create_model("efficientnet_lite0", num_classes=10)
    made = scale_module(model, image(size=64), to="macs<=20M")
    assert isinstance(made, ConvNet)
    assert 0.9 * 20e6 <= scaling_report(made).after.macs <= 20e6
    assert not made.training


def test_what_only_looks_like_a_published_network_is_traced():
    module = peers.timm().create_model("efficientnet_b0", num_classes=7)
    module.act1 = nn.Tanh()
    module.bn1.act = nn.Tanh()
    assert type(scale_module(module, image(), width=1.2)) is type(module)


def test_a_network_with_hooks_is_traced_so_that_they_are_kept():
    module = create_model("efficientnet_lite0", num_classes=10)
    module.head.register_forward_hook(lambda *_: None)
    made = scale_module(module, image(), width=1.2)
    assert len(made.head._forward_hooks) == 1
