import numpy as np
import pytest
import torch
from PIL import Image

from tests.images import make_image, make_photo
from triscale.data.transforms import load, needed_size, preprocess
from triscale.errors import SpecError
from triscale.spec.preprocessing import Preprocessing

PLAIN = Preprocessing(size=(4, 4), mean=(0.0,) * 3, std=(1.0,) * 3, crop=1.0, interpolation="nearest")


@pytest.mark.parametrize("shape", [(400, 600), (451, 300), (256, 256), (1333, 999)])
def test_one_step_agrees_with_resize_256_then_crop_224(shape):
    photo = make_photo(*shape)
    side = 256 / min(shape)
    small = photo.resize((round(shape[1] * side), round(shape[0] * side)), Image.Resampling.BICUBIC)
    left, top = round((small.width - 224) / 2), round((small.height - 224) / 2)
    peer = np.asarray(small.crop((left, top, left + 224, top + 224))).astype(float)
    lite0 = Preprocessing(size=(224, 224), mean=(127 / 255,) * 3, std=(128 / 255,) * 3, crop=224 / 256)
    ours = preprocess(photo, lite0).permute(1, 2, 0).numpy() * 128 + 127
    # half a pixel of the peer's rounding is all that remains, of 255
    assert abs(ours - peer).mean() < 1


def test_where_nothing_is_rounded_it_equals_resize_then_crop():
    photo = make_photo(512, 768)
    peer = np.asarray(photo.resize((384, 256), Image.Resampling.BICUBIC).crop((80, 16, 304, 240))).astype(float)
    ours = preprocess(photo, Preprocessing(size=(224, 224), crop=224 / 256, mean=(0.0,) * 3, std=(1 / 255,) * 3))
    assert abs(ours.permute(1, 2, 0).numpy() - peer).max() <= 1


def test_values_are_normalised_with_mean_and_std():
    image = Image.new("RGB", (8, 8), (255, 0, 51))
    tensor = preprocess(image, Preprocessing(size=(4, 4), mean=(0.5, 0.25, 0.2), std=(0.5, 0.25, 0.1)))
    assert tensor.shape == (3, 4, 4)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([1.0, -1.0, 0.0]), atol=1e-6, rtol=0)


def test_crop_keeps_the_central_share():
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (6, 2, 10, 6))  # the central half of the central square
    assert preprocess(image, Preprocessing(**fields(PLAIN) | {"crop": 0.5})).min() == 1


def test_a_tall_target_cuts_a_tall_part():
    image = Image.new("RGB", (100, 100), "black")
    image.paste("white", (25, 0, 75, 100))
    assert preprocess(image, Preprocessing(**fields(PLAIN) | {"size": (8, 4)})).min() == 1


def test_squash_shows_the_whole_image():
    image = Image.new("RGB", (16, 8), "black")
    image.paste("white", (8, 0, 16, 8))
    seen = preprocess(image, Preprocessing(**fields(PLAIN) | {"fit": "squash"}))
    assert seen[0, 0].tolist() == [0, 0, 1, 1]


def test_letterbox_fills_right_and_bottom_with_the_mean():
    letterbox = Preprocessing(size=(4, 4), fit="letterbox", mean=(0.25,) * 3, std=(0.5,) * 3)
    seen = preprocess(Image.new("RGB", (16, 8), "white"), letterbox)
    assert seen[0].tolist() == [[1.5] * 4, [1.5] * 4, [0] * 4, [0] * 4]


def test_letterbox_fills_with_a_colour_where_told():
    letterbox = Preprocessing(size=(4, 4), fit="letterbox", mean=(0.25,) * 3, std=(0.5,) * 3, fill=0.5)
    assert preprocess(Image.new("RGB", (8, 16), "white"), letterbox)[0, 0].tolist() == [1.5, 1.5, 0.5, 0.5]


def test_a_grey_network_sees_one_channel():
    grey = Preprocessing(size=(4, 4), mean=(0.0,), std=(1.0,))
    assert preprocess(Image.new("RGB", (9, 9), (51, 51, 51)), grey).unique().tolist() == pytest.approx([0.2])


def test_other_channel_counts_are_refused():
    four = Preprocessing(size=(4, 4), mean=(0.0,) * 4, std=(1.0,) * 4)
    with pytest.raises(SpecError, match="the network wants 4"):
        preprocess(Image.new("RGB", (9, 9)), four)


def test_a_file_is_decoded_no_larger_than_needed_and_looks_the_same(tmp_path):
    photo = make_photo(1200, 1600)
    photo.save(tmp_path / "a.jpg", quality=95)
    choice = Preprocessing(size=(64, 64), mean=(0.0,) * 3, std=(1 / 255,) * 3)
    assert needed_size(choice, choice.size) == (74, 74)
    with Image.open(tmp_path / "a.jpg") as full:
        assert abs(load(tmp_path / "a.jpg", choice) - preprocess(full.convert("RGB"), choice)).mean() < 1


def test_an_image_of_one_pixel_works():
    assert preprocess(Image.new("RGB", (1, 1), "white"), PLAIN).min() == 1


def test_the_source_may_be_any_size():
    for height, width in [(1, 500), (500, 1), (31, 33)]:
        for fit in ("crop", "squash", "letterbox"):
            choice = Preprocessing(size=(16, 24), fit=fit)
            assert preprocess(make_image(0, size=(height, width)), choice).shape == (3, 16, 24)


def fields(choice):
    return {name: getattr(choice, name) for name in choice.__dataclass_fields__}
