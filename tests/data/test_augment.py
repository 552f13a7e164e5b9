import collections

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.images import make_image, make_photo
from triscale.data.augment import Augmentation, augment, dice_for, draw_crop
from triscale.data.operations import OPERATIONS, Change, border_colour, changed
from triscale.data.randaugment import AMOUNTS, STILL, draw_randaugment, randaugment
from triscale.errors import SpecError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(24, 24))
STRONG = Augmentation(randaugment_layers=2, randaugment_magnitude=15, erase=0.5, flip_vertical=0.5)


def augmented(image, augmentation, seed=0, epoch=0, index=0, size=(24, 24)):
    dice = dice_for(seed, epoch, index)
    return augment(image, augmentation, draw_crop(augmentation, dice), dice, size, PREPROCESSING)


def test_the_same_seed_epoch_and_index_give_the_same_pixels():
    image = make_image(1, size=48)
    for index in range(20):
        first, again = (np.asarray(augmented(image, STRONG, 3, 7, index)) for _ in range(2))
        assert np.array_equal(first, again)


@pytest.mark.parametrize("other", [{"seed": 1}, {"epoch": 1}, {"index": 1}])
def test_another_seed_epoch_or_index_gives_other_pixels(other):
    image = make_image(1, size=48)
    assert not np.array_equal(np.asarray(augmented(image, STRONG)), np.asarray(augmented(image, STRONG, **other)))


def test_seed_and_epoch_are_not_mixed_up():
    assert dice_for(1, 23, 4).random() != dice_for(12, 3, 4).random()


@given(
    st.integers(1, 300), st.integers(1, 300), st.integers(1, 60), st.integers(1, 60), st.integers(0, 10_000),
    st.floats(0.01, 1.0),
)  # fmt: skip
def test_a_crop_lies_in_the_image_and_keeps_its_aspect(height, width, rows, columns, index, least):
    augmentation = Augmentation(crop_area=(least, 1.0))
    crop = draw_crop(augmentation, dice_for(0, 0, index))
    left, top, right, bottom = crop.box(Image.new("L", (width, height)), (rows, columns))
    assert -1e-9 <= left < right <= width + 1e-9
    assert -1e-9 <= top < bottom <= height + 1e-9
    aspect = (right - left) / (bottom - top) * rows / columns
    assert 0.749 < aspect < 1.334
    assert (right - left) * (bottom - top) <= crop.area * width * height * 1.001


def test_a_crop_needs_more_of_the_image_the_less_it_keeps():
    crop = draw_crop(Augmentation(crop_area=(0.25, 0.25)), dice_for(0, 0, 0))
    assert crop.needed_size((100, 50)) == (200, 100)


def test_the_whole_image_is_kept_where_no_crop_is_wanted():
    image = make_image(1, size=24)
    still = Augmentation(crop_area=(1, 1), crop_aspect=(1, 1), flip=0)
    assert np.array_equal(np.asarray(augmented(image, still)), np.asarray(image))


def test_flips_happen_as_often_as_told():
    image = Image.new("L", (2, 2), 0)
    image.putpixel((0, 0), 255)
    corners = collections.Counter()
    for index in range(400):
        seen = np.asarray(augmented(image, Augmentation((1, 1), (1, 1), 0.25, 0.5), index=index, size=(2, 2)))
        corners[tuple(np.argwhere(seen == 255)[0])] += 1
    assert corners[0, 1] + corners[1, 1] == pytest.approx(100, abs=30)
    assert corners[1, 0] + corners[1, 1] == pytest.approx(200, abs=40)


def test_without_flips_a_digit_is_never_mirrored():
    half = Image.new("L", (8, 8), 0)
    half.paste(255, (0, 0, 4, 8))
    for index in range(50):
        assert np.asarray(augmented(half, Augmentation((0.9, 1), flip=0), index=index))[12, 0] == 255


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("name", "amount"), AMOUNTS[1:], ids=[name for name, _ in AMOUNTS[1:]])
def test_each_operation_keeps_size_and_mode_and_grows_with_its_strength(name, amount, mode):
    image = Image.blend(make_photo(40, 32), make_image(1, size=(40, 32)), 0.3).convert(mode)
    difference = []
    for strength in (0.0, 0.2, -1.0, 1.0, 3.0):
        seen = OPERATIONS[name](image, amount(strength), border_colour(image))
        assert (seen.size, seen.mode) == ((32, 40), mode)
        difference.append(np.abs(np.asarray(seen).astype(int) - np.asarray(image)).mean())
    if name in ("autocontrast", "equalize") or (name, mode) == ("colour", "L"):
        return
    assert difference[0] < 0.1
    assert difference[3] > 0
    assert difference[1] < difference[3]


def test_randaugment_draws_every_operation_equally_often():
    counts = collections.Counter()
    for index in range(1400):
        drawn = draw_randaugment(2, 9, dice_for(0, 0, index))
        counts["identity"] += 2 - len(drawn)  # nothing is to be done then
        counts.update(name for name, _ in drawn)
    assert counts.keys() == {name for name, _ in AMOUNTS}
    assert (min(counts.values()) > 150, sum(counts.values())) == (True, 2800)


def test_randaugment_goes_either_way_equally_often():
    degrees = [
        amount
        for index in range(3000)
        for name, amount in draw_randaugment(2, 9, dice_for(0, 0, index))
        if name == "rotate"
    ]
    assert set(degrees) == {-27.0, 27.0}  # 30 degrees at magnitude 10
    assert degrees.count(27.0) == pytest.approx(len(degrees) / 2, rel=0.15)


def test_operations_that_move_nothing_leave_a_mark_where_it_is():
    marked = Image.new("L", (40, 40), 50)
    marked.paste(200, (3, 5, 13, 25))
    assert " ".join(name for name, _ in STILL) == (
        "identity autocontrast equalize solarize posterize colour contrast brightness sharpness"
    )
    moved = 0
    for index in range(100):
        for operations in (STILL, None):
            seen = np.asarray(randaugment(marked, 1, 10, dice_for(0, 0, index), operations)).astype(int)
            same = len({*seen[6:24, 4:12].ravel()}) == 1 and len({*seen[30:39, 1:39].ravel()}) == 1
            assert same or operations is None
            moved += not same
    assert moved > 10


def test_what_comes_in_from_outside_has_the_border_colour():
    digit = Image.new("RGB", (28, 28), (10, 20, 30))
    digit.paste((255, 255, 255), (10, 10, 18, 18))
    assert changed(digit, [Change("rotate", 30.0)]).getpixel((0, 0)) == (10, 20, 30)


def test_erasing_covers_2_to_33_percent():
    image = Image.new("RGB", (100, 100), (1, 2, 3))
    eraser = Augmentation((1, 1), (1, 1), flip=0, erase=1.0)
    for index in range(50):
        seen = np.asarray(augmented(image, eraser, index=index, size=(100, 100)))
        assert 0.01 < (seen != (1, 2, 3)).any(axis=2).mean() < 0.36


@pytest.mark.parametrize(
    "wrong",
    [{"crop_area": (0.0, 1.0)}, {"crop_area": (0.5, 0.2)}, {"crop_area": (0.5, 2.0)}, {"crop_aspect": (2.0, 1.0)},
     {"flip": 1.5}, {"erase": -0.1}, {"randaugment_layers": -1}, {"randaugment_magnitude": 40}],
)  # fmt: skip
def test_impossible_augmentations_are_refused(wrong):
    with pytest.raises(SpecError, match="Augmentation"):
        Augmentation(**wrong)
