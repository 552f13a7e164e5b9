import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import peers
from triscale.detection.layers import by_pixel, resample
from triscale.spec.network import shrink

SIDES = st.integers(1, 70)


def pooled(x, kernels, strides, before, sides):
    """Max-pooling as it is written in books: every window, cut at the edges."""
    out = torch.empty(*x.shape[:2], *sides)
    for row in range(sides[0]):
        for column in range(sides[1]):
            top, left = row * strides[0] - before[0], column * strides[1] - before[1]
            window = x[:, :, max(top, 0) : top + kernels[0], max(left, 0) : left + kernels[1]]
            out[:, :, row, column] = window.amax((2, 3))
    return out


@given(SIDES, SIDES, st.integers(1, 4))
def test_shrinking_is_max_pooling_with_same_padding(height, width, levels):
    x = torch.randn(1, 2, height, width)
    sides = shrink((height, width), 2**levels)
    strides = tuple(-(-n // m) for n, m in zip((height, width), sides, strict=True))
    kernels = tuple(1 if stride == 1 else stride + 1 for stride in strides)
    # TensorFlow: as much padding as the windows need, the odd pixel after
    needed = [(m - 1) * s + k - n for n, m, s, k in zip((height, width), sides, strides, kernels, strict=True)]
    expected = pooled(x, kernels, strides, [max(n, 0) // 2 for n in needed], sides)
    assert torch.equal(resample(x, sides, "same"), expected)


@given(SIDES, SIDES, st.integers(1, 4), st.sampled_from(["same", "symmetric"]))
def test_any_level_is_brought_to_the_size_of_any_coarser_or_finer_one(height, width, levels, padding):
    fine, coarse = (height, width), shrink((height, width), 2**levels)
    assert resample(torch.zeros(1, 1, *fine), coarse, padding).shape[2:] == coarse
    assert resample(torch.zeros(1, 1, *coarse), fine, padding).shape[2:] == fine


def test_symmetric_pools_are_pytorchs_and_same_ones_are_timms():
    peers.timm()
    from timm.layers import create_pool2d

    for size in ((16, 24), (15, 21)):
        x = torch.randn(1, 3, *size)
        for padding, theirs in (("symmetric", ""), ("same", "same")):
            pool = create_pool2d("max", 3, stride=2, padding=theirs)
            assert torch.equal(resample(x, shrink(size, 2), padding), pool(x))


def test_growing_repeats_the_nearest_pixel():
    x = torch.tensor([[1.0, 2.0]]).view(1, 1, 1, 2)
    assert resample(x, (2, 4), "same").tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    assert resample(x, (1, 3), "same").tolist() == [[[[1, 1, 2]]]]
    assert resample(x, (1, 2), "same") is x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pixels_come_row_by_row(layout):
    x = torch.arange(12.0).view(1, 2, 2, 3).contiguous(memory_format=layout)
    assert by_pixel(x).tolist() == [[[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]]
