import pytest
import torch
from torch.nn import functional

from triscale.models.cpu_inference import FEWEST, pointwise_by_onednn, pointwise_conv2d
from triscale.models.cpu_training import ONEDNN
from triscale.models.layers import Convolution

CHANNELS_LAST = torch.channels_last
needs_onednn = pytest.mark.skipif(not ONEDNN, reason="this processor has other kernels")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def large(side=48):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 24, side, side, generator=generator).contiguous(memory_format=CHANNELS_LAST)
    return images, torch.randn(40, 24, 1, 1, generator=generator), torch.randn(40, generator=generator)


@needs_onednn
@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("biased", [True, False])
def test_onednn_gives_the_same_pointwise_convolution(stride, biased):
    images, weight, bias = large()
    bias = bias if biased else None
    found = pointwise_conv2d(images, weight, bias, stride)
    torch.testing.assert_close(found, functional.conv2d(images, weight, bias, stride), rtol=1e-5, atol=1e-5)


@needs_onednn
@torch.no_grad()
def test_it_is_taken_for_large_ones_on_one_thread_only(one_thread):
    images, weight, _ = large()
    assert images.numel() * 40 >= FEWEST
    assert pointwise_by_onednn(images, weight)
    assert not pointwise_by_onednn(images[..., :8, :8].contiguous(memory_format=CHANNELS_LAST), weight)
    assert not pointwise_by_onednn(images.contiguous(), weight)
    assert not pointwise_by_onednn(images.double(), weight.double())
    assert not pointwise_by_onednn(images, torch.randn(40, 1, 1, 1))
    assert not pointwise_by_onednn(images, torch.randn(40, 24, 3, 3))
    torch.set_num_threads(2)
    assert not pointwise_by_onednn(images, weight)


def test_it_is_never_taken_while_gradients_are_recorded(one_thread):
    images, weight, _ = large()
    assert not pointwise_by_onednn(images, weight)


@torch.no_grad()
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_answers_alike_however_many_threads_it_has(one_thread, stride):
    images, conv = large()[0], Convolution(24, 40, stride=stride, bias=True, padding="same")
    alone = conv(images)
    torch.set_num_threads(2)
    torch.testing.assert_close(alone, conv(images), rtol=1e-5, atol=1e-5)
