"""The faster passes of training on a CPU give the numbers of PyTorch's own."""

import copy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from triscale.models import cpu_training
from triscale.models.create import create_model
from triscale.models.layers import ConvNorm, Convolution, SqueezeExcite
from triscale.spec.network import Numerics


@pytest.fixture
def any_processor(monkeypatch):
    monkeypatch.setattr(cpu_training, "ONEDNN", True)


def gradients(loss, *tensors):
    return torch.autograd.grad(loss, tensors)


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()) + 1e-6)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.integers(2, 9),
    stride=st.integers(1, 3),
    padding=st.integers(0, 5),
    height=st.integers(1, 15),
    width=st.integers(1, 15),
)
def test_a_depthwise_kernel_of_any_size_has_the_gradients_of_the_plain_convolution(
    kernel, stride, padding, height, width
):
    assume(min(height, width) + 2 * padding >= kernel)
    torch.manual_seed(0)
    image = torch.randn(2, 6, height, width).contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, requires_grad=True)
    found = cpu_training.depthwise_conv2d(image, weight, (stride, stride), (padding, padding))
    expected = functional.conv2d(image, weight, None, stride, padding, 1, 6)
    assert torch.equal(found, expected)
    towards = torch.randn_like(expected)
    close(gradients((found * towards).sum(), image, weight), gradients((expected * towards).sum(), image, weight))


@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_depthwise_layer_has_the_gradients_of_the_plain_one(any_processor, monkeypatch, padding, stride):
    torch.manual_seed(0)
    layer = Convolution(8, 8, 5, stride, groups=8, padding=padding)
    image = torch.randn(2, 8, 14, 14, requires_grad=True)
    found = gradients(layer(image).square().sum(), image, layer.weight)
    assert cpu_training.splits_kernel(image, layer.weight)
    monkeypatch.setattr(cpu_training, "ONEDNN", False)
    close(found, gradients(layer(image).square().sum(), image, layer.weight))


def test_a_narrow_or_frozen_depthwise_kernel_is_left_to_pytorch(any_processor):
    image = torch.randn(2, 8, 14, 14)
    assert not cpu_training.splits_kernel(image, torch.randn(8, 1, 3, 3, requires_grad=True))
    assert cpu_training.splits_kernel(image[..., :2, :], torch.randn(8, 1, 3, 3, requires_grad=True))
    assert not cpu_training.splits_kernel(image, torch.randn(8, 1, 5, 5))
    assert not cpu_training.splits_kernel(image, torch.randn(8, 8, 5, 5, requires_grad=True))
    with torch.no_grad():
        assert not cpu_training.splits_kernel(image, torch.randn(8, 1, 5, 5, requires_grad=True))


def pair(**changes):
    torch.manual_seed(0)
    fast = ConvNorm(3, 8, 3, act="silu", numerics=Numerics(), **changes)
    nn.init.normal_(fast.norm.weight, 1, 0.2)
    nn.init.normal_(fast.norm.bias)
    return fast, copy.deepcopy(fast)


def plain(layer, x):
    return functional.silu(layer.norm(layer.conv(x)))


def test_normalised_activations_that_are_made_again_have_the_same_gradients_and_statistics():
    fast, slow = pair()
    image = torch.randn(4, 3, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_()
    found, expected = fast(image), plain(slow, image)
    assert type(found.grad_fn).__name__ == "_NormSiluBackward"
    assert torch.equal(found, expected)
    towards = torch.randn_like(expected)
    close(
        gradients((found * towards).sum(), image, *fast.parameters()),
        gradients((expected * towards).sum(), image, *slow.parameters()),
    )
    for name, buffer in fast.named_buffers():
        assert torch.equal(buffer, slow.get_buffer(name)), name


def test_what_stands_between_convolutions_takes_two_maps_instead_of_three():
    fast, slow = pair()
    image = torch.randn(2, 3, 32, 32)

    def kept(call):
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t, lambda t: t
        ):
            answer = call(image)  # alive, so that no storage's place is used twice
        assert answer.requires_grad
        return sum(sizes.values()) - image.untyped_storage().nbytes()

    one_map = 2 * 8 * 32 * 32 * 4
    assert one_map <= kept(fast) < 1.1 * one_map
    assert kept(lambda x: plain(slow, x)) >= 2 * one_map


def test_frozen_or_watched_batchnorm_is_left_to_pytorch():
    image = torch.randn(2, 3, 8, 8)
    fast, _ = pair()
    fast.norm.eval()
    assert "NormSilu" not in type(fast(image).grad_fn).__name__
    fast.norm.train()
    seen = []
    fast.norm.register_forward_hook(lambda *given: seen.append(given))
    assert "NormSilu" not in type(fast(image).grad_fn).__name__
    assert len(seen) == 1


def test_one_value_a_channel_is_refused_as_pytorch_refuses_it():
    layer = ConvNorm(3, 8, 1, act="silu", numerics=Numerics())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer(torch.randn(1, 3, 1, 1))


def test_second_derivatives_are_those_of_the_plain_layers(any_processor):
    """As a penalty on the gradient of the images needs them."""
    fast, slow = pair()
    depthwise = Convolution(8, 8, 5, groups=8)
    image = torch.randn(2, 3, 8, 8, requires_grad=True)

    def second(call, parameters):
        (first,) = torch.autograd.grad(depthwise(call(image)).square().sum(), image, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [image, *parameters, depthwise.weight])

    close(second(fast, fast.parameters()), second(lambda x: plain(slow, x), slow.parameters()))
    for layer in (fast, slow):
        layer.norm.bias.requires_grad_(False)
    chosen = [[layer.conv.weight, layer.norm.weight] for layer in (fast, slow)]
    close(second(fast, chosen[0]), second(lambda x: plain(slow, x), chosen[1]))


def test_squeeze_excite_has_the_gradients_of_its_formula():
    torch.manual_seed(0)
    layer = SqueezeExcite(8, 2, "silu", "sigmoid")
    x = torch.randn(3, 8, 5, 5, requires_grad=True)
    inner = functional.silu(layer.reduce(x.mean((2, 3), keepdim=True)))
    expected = x * torch.sigmoid(layer.expand(inner))
    close(gradients(layer(x).square().sum(), x), gradients(expected.square().sum(), x))


def test_a_whole_network_trains_as_it_does_with_plain_layers(any_processor, monkeypatch):
    """efficientnet_b0 in float32 has gradients of widely different size; each is compared with its own largest."""
    torch.manual_seed(0)
    model = create_model("efficientnet_b0", num_classes=5)
    model.regularise(0.0, 0.0)
    model.train()
    other = copy.deepcopy(model)
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 3])
    functional.cross_entropy(model(images), labels).backward()
    for name in ("splits_kernel", "recomputes"):
        monkeypatch.setattr(f"triscale.models.layers.{name}", lambda *given: False)
    functional.cross_entropy(other(images), labels).backward()
    # The bias before a BatchNorm has a gradient of 0 that is made of sums of such sizes.
    rounding = 1e-6 * max(float(each.grad.abs().max()) for each in other.parameters())
    for (name, a), b in zip(model.named_parameters(), other.parameters(), strict=True):
        assert (a.grad - b.grad).abs().max() <= 2e-3 * b.grad.abs().max() + rounding, name
    for (name, a), b in zip(model.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)
