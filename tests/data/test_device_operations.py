"""Every operation on a batch, beside Pillow's on each of its images.

Both read bilinearly between pixels, so moves have no other tolerance than blends: one level of 256, for processors
that round a sum otherwise. Tables (what becomes of each value) are equal.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.images import make_image, make_photo
from triscale.data.device_operations import WAYS, border_colours
from triscale.data.operations import OPERATIONS, Change, border_colour, changed

FACTORS = (0.0, 0.1, 0.5, 1.0, 1.3, 1.9, 3.7)
SHARES = (-0.9, -0.3, -0.131, 0.0, 0.25, 0.77)
AMOUNTS = {
    "rotate": (-90.0, -37.3, 0.0, 12.0, 30.0, 90.0),
    "solarize": (0, 76, 100, 256),
    "solarize_add": (0, 33, 110),
    "posterize": (1, 2, 4, 8),
    **dict.fromkeys(("colour", "contrast", "brightness", "sharpness"), FACTORS),
    **dict.fromkeys(("shear_x", "shear_y", "translate_x", "translate_y"), SHARES),
}
TABLES = {"autocontrast", "equalize", "invert", "solarize", "solarize_add", "posterize"}
SIZES = [(40, 32), (31, 57), (2, 2), (1, 5)]


def pictures(size, mode):
    """A photograph, a pattern, noise, a picture of few values, and one of a single colour."""
    dice = np.random.default_rng(0)
    noise = Image.fromarray(dice.integers(0, 256, (*size, 3), np.uint8))
    few = Image.fromarray(dice.integers(100, 103, (*size, 3), np.uint8))
    made = [make_photo(*size), make_image(1, size=size), noise, few, Image.new("RGB", size[::-1], (3, 200, 90))]
    return [each.convert(mode) for each in made]


def batch_of(images):
    pixels = [np.asarray(each).reshape(each.height, each.width, -1) for each in images]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()


def on_batch(name, images, amounts):
    """(N, H, W, C), each image with its own amount."""
    batch, way = batch_of(images), WAYS[name]
    size = tuple(batch.shape[-2:])
    parameters = torch.tensor([way.parameters(amount, size) for amount in amounts], dtype=torch.float64)
    return way.function(batch, parameters, border_colours(batch)).permute(0, 2, 3, 1).numpy()


def with_pillow(name, images, amounts):
    made = [changed(image, [Change(name, amount)]) for image, amount in zip(images, amounts, strict=True)]
    return np.stack([np.asarray(each).reshape(each.height, each.width, -1) for each in made])


def assert_close(name, images, amounts):
    found, expected = on_batch(name, images, amounts), with_pillow(name, images, amounts)
    assert (found.dtype, found.shape) == (np.uint8, expected.shape)
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= (0 if name in TABLES else 1)
    assert (apart > 0).mean() < 0.01


def test_there_is_one_for_each_of_pillows():
    assert WAYS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_does_to_each_image_what_pillow_does(name, mode):
    for size in SIZES:
        pairs = [(image, amount) for image in pictures(size, mode) for amount in AMOUNTS.get(name, (0.0,))]
        images, amounts = zip(*pairs, strict=True)
        assert_close(name, images, amounts)


@pytest.mark.parametrize("name", ["rotate", "equalize"])
def test_many_images_at_once_too(name):
    images = [make_image(number % 3, size=(9, 12), number=number) for number in range(70)]
    assert_close(name, images, [number - 35.0 for number in range(70)])


@given(
    st.sampled_from(["rotate", "shear_x", "shear_y", "translate_x", "translate_y", "contrast", "sharpness"]),
    st.floats(-0.9, 0.9),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.integers(0, 2**32 - 1),
)
def test_any_amount_and_any_size(name, share, size, seed):
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    found, expected = (
        each(name, [image], [share * 100 if name == "rotate" else share]) for each in (on_batch, with_pillow)
    )
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_borders_have_the_colours_that_pillow_fills_with():
    for mode in ("RGB", "L"):
        for size in SIZES:
            images = pictures(size, mode)
            expected = [np.atleast_1d(border_colour(each)).tolist() for each in images]
            assert border_colours(batch_of(images)).tolist() == expected


def test_the_images_that_are_given_stay_as_they_are():
    for name, way in WAYS.items():
        batch = batch_of(pictures((12, 9), "RGB"))
        before, amount = batch.clone(), AMOUNTS.get(name, (0.0,))[-2 if name in AMOUNTS else 0]
        parameters = torch.tensor([way.parameters(amount, (12, 9))] * len(batch), dtype=torch.float64)
        way.function(batch, parameters, border_colours(batch))
        assert torch.equal(batch, before), name
