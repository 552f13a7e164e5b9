import pytest
import torch
from torch.nn import functional

from tests.models.helpers import photos
from triscale.models.layers import ConvNorm, Convolution, DropConnect, MaxPool, SqueezeExcite, Swish, activation
from triscale.spec.network import Numerics


def swish(beta):
    module = Swish()
    torch.nn.init.constant_(module.beta, beta)
    return module.double()


LINE = torch.linspace(-8, 8, 1601, dtype=torch.float64)


def test_swish_begins_as_silu():
    torch.testing.assert_close(swish(1.0)(LINE), functional.silu(LINE))


def test_swish_at_beta_zero_is_half_of_its_input():
    torch.testing.assert_close(swish(0.0)(LINE), LINE / 2)


def test_swish_becomes_relu_as_beta_grows():
    torch.testing.assert_close(swish(1e5)(LINE), functional.relu(LINE))


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 3.0])
def test_the_derivative_of_swish_is_its_closed_form(beta):
    x = LINE.clone().requires_grad_()
    module = swish(beta)
    y = module(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    gate = torch.sigmoid(beta * LINE)
    torch.testing.assert_close(gradient, beta * y.detach() + gate * (1 - beta * y.detach()))


def test_the_derivative_of_swish_with_respect_to_beta():
    module = swish(0.7)
    module(LINE).sum().backward()
    gate = torch.sigmoid(0.7 * LINE)
    torch.testing.assert_close(module.beta.grad, (LINE**2 * gate * (1 - gate)).sum())


def test_swish_is_least_at_minus_1_2785():
    x = torch.linspace(-1.3, -1.25, 50_001, dtype=torch.float64)
    y = swish(1.0)(x)
    assert x[y.argmin()].item() == pytest.approx(-1.2785, abs=5e-5)
    assert y.min().item() == pytest.approx(-0.2785, abs=5e-5)


def test_every_activation_is_what_pytorch_calls_so():
    expected = {
        "silu": functional.silu,
        "swish": functional.silu,
        "relu": functional.relu,
        "relu6": functional.relu6,
        "hardswish": functional.hardswish,
        "sigmoid": torch.sigmoid,
        "hardsigmoid": functional.hardsigmoid,
    }
    for name, function in expected.items():
        torch.testing.assert_close(activation(name)(LINE.clone()).detach(), function(LINE))
    assert activation("identity") is None


def tensorflow_same(x, weight, stride, groups):
    """SAME as its definition says it: ceil(n / s) windows, the odd pixel of padding after."""
    pads = []
    for pixels, kernel in zip(reversed(x.shape[-2:]), reversed(weight.shape[-2:]), strict=True):
        total = max((-(-pixels // stride) - 1) * stride + kernel - pixels, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (9, 7), (12, 5), (1, 2)])
@pytest.mark.parametrize("groups", [1, 4])
def test_same_padding_is_tensorflows_at_every_size(kernel, stride, size, groups):
    torch.manual_seed(0)
    layer = Convolution(4, 4, kernel, stride, groups=groups, padding="same").double()
    x = photos(*size, channels=4).double()
    expected = tensorflow_same(x, layer.weight, stride, groups)
    torch.testing.assert_close(layer(x), expected)
    layer.fix(size)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_symmetric_padding_is_pytorchs(size):
    layer = Convolution(4, 4, 5, 2)
    x = photos(*size, channels=4)
    torch.testing.assert_close(layer(x), functional.conv2d(x, layer.weight, None, 2, 2), rtol=0, atol=0)


def test_both_paddings_give_equal_shapes_and_different_values_on_even_sizes():
    layer = Convolution(4, 4, 3, 2, padding="same")
    x = photos(8, 8, channels=4)
    same = layer(x)
    layer.set_padding("symmetric")
    assert layer(x).shape == same.shape
    assert not torch.allclose(layer(x), same)


def test_gradients_flow_through_the_same_padding():
    layer = Convolution(2, 2, 3, 2, groups=2, padding="same").double()
    assert torch.autograd.gradcheck(layer, photos(6, 6, channels=2).double().requires_grad_())


@pytest.mark.parametrize("size", [(8, 8), (9, 7)])
def test_a_padded_maximum_is_never_the_padding(size):
    x = -1 - photos(*size, channels=2).abs()
    assert MaxPool("same")(x).shape == MaxPool("symmetric")(x).shape
    assert MaxPool("same")(x).max() <= -1


def test_a_max_pool_pads_the_odd_pixel_after():
    row = torch.tensor([[[[5.0, 1.0, 2.0, 7.0]] * 4]])
    assert MaxPool("same")(row)[0, 0, 0].tolist() == [5.0, 7.0]  # windows 0..2 and 2..4
    assert MaxPool("symmetric")(row)[0, 0, 0].tolist() == [5.0, 7.0]  # windows -1..1 and 1..3


def test_squeeze_excite_scales_each_channel_by_its_gate():
    torch.manual_seed(0)
    layer = SqueezeExcite(4, 2, "relu", "sigmoid")
    x = photos(5, 6, 2, 4)
    pooled = x.mean((2, 3))
    reduced = functional.relu(pooled @ layer.reduce.weight[:, :, 0, 0].T + layer.reduce.bias)
    gate = torch.sigmoid(reduced @ layer.expand.weight[:, :, 0, 0].T + layer.expand.bias)
    torch.testing.assert_close(layer(x), x * gate[:, :, None, None])
    with torch.no_grad():
        torch.testing.assert_close(layer(x.clone()), x * gate[:, :, None, None])


def test_drop_connect_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    layer = DropConnect(0.25)
    dropped = layer(torch.ones(4000, 2, 3, 3))
    per_sample = dropped.flatten(1)
    assert (per_sample == per_sample[:, :1]).all()
    assert sorted(set(per_sample[:, 0].tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.03)


def test_drop_connect_does_nothing_at_rate_zero_or_in_evaluation():
    x = torch.ones(8, 2)
    assert DropConnect(0.0)(x) is x
    assert DropConnect(0.5).eval()(x) is x


def test_a_layer_is_convolution_norm_and_activation():
    layer = ConvNorm(3, 4, 3, act="relu", numerics=Numerics("symmetric", 1e-2, 0.3)).eval()
    assert (layer.norm.eps, layer.norm.momentum) == (1e-2, 0.3)
    assert (layer(photos(6, 6)) >= 0).all()
