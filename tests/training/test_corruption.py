"""Corruptions: every kind changes an image, ever more with severity, and the same way each time."""

import numpy as np
import pytest
from PIL import Image

from tests.images import make_image, make_photo
from triscale.errors import DataError
from triscale.training.corruption import CORRUPTIONS, SEVERITIES, corrupt


def pixels(image):
    return np.asarray(image, float)


def test_there_are_twelve_kinds_of_four_groups():
    assert list(CORRUPTIONS) == [
        *("gaussian_noise", "shot_noise", "impulse_noise"),
        *("defocus_blur", "motion_blur", "zoom_blur"),
        *("fog", "brightness"),
        *("contrast", "elastic", "pixelate", "jpeg"),
    ]


@pytest.mark.parametrize("size", [(32, 32), (96, 128)])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_severity_changes_more_and_more(kind, size):
    images = [make_image(label, size=size) for label in range(4)]  # with detail at the pixel, which a blur takes away
    errors = [
        np.mean(
            [np.abs(pixels(corrupt(each, kind, s, index=i)) - pixels(each)).mean() for i, each in enumerate(images)]
        )
        for s in SEVERITIES
    ]
    assert errors[0] > 0.3  # of 255
    assert errors == sorted(errors)
    assert errors[4] > 1.3 * errors[0]


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_same_seed_and_index_corrupt_the_same_way(kind):
    image = make_photo(40, 48)
    first, again = corrupt(image, kind, 3, 5, 7), corrupt(image, kind, 3, 5, 7)
    assert pixels(first).tolist() == pixels(again).tolist()
    assert (first.size, first.mode) == ((48, 40), "RGB")
    random = kind in ("gaussian_noise", "shot_noise", "impulse_noise", "motion_blur", "fog", "elastic")
    for other in (corrupt(image, kind, 3, 5, 8), corrupt(image, kind, 3, 6, 7)):
        assert (pixels(other).tolist() != pixels(first).tolist()) == random


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_grey_and_very_small_images_are_corrupted_too(kind):
    assert corrupt(make_photo(32, 32).convert("L"), kind, 5).mode == "L"
    assert corrupt(Image.new("RGB", (1, 1), (9, 99, 200)), kind, 5).size == (1, 1)
    assert corrupt(make_photo(9, 3), kind, 5).size == (3, 9)


@pytest.mark.parametrize("kind", ["defocus_blur", "motion_blur", "zoom_blur", "elastic", "contrast"])
def test_what_moves_light_changes_nothing_where_all_is_one_colour(kind):
    image = Image.new("RGB", (32, 32), (40, 120, 200))
    assert np.abs(pixels(corrupt(image, kind, 5)) - pixels(image)).max() <= 1


def test_blurs_keep_the_mean_brightness():
    image = make_photo(64, 64)
    for kind in ("defocus_blur", "motion_blur"):
        assert pixels(corrupt(image, kind, 3)).mean() == pytest.approx(pixels(image).mean(), abs=2)


def test_what_there_is_not_is_refused():
    with pytest.raises(DataError, match="no corruption 'rain'; choose one of gaussian_noise"):
        corrupt(make_photo(8, 8), "rain", 1)
    with pytest.raises(DataError, match="severity must be 1 to 5, got 6"):
        corrupt(make_photo(8, 8), "fog", 6)
