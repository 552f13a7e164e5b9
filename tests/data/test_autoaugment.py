"""AutoAugment: the released table, its strengths, and the same pixels again."""

import collections

import numpy as np
import pytest
from PIL import Image

import triscale.data.autoaugment as module
from tests import peers
from tests.images import make_image, make_photo
from triscale.data.augment import Augmentation, augment, dice_for, draw_crop
from triscale.data.autoaugment import AMOUNTS, POLICY, draw_autoaugment
from triscale.data.operations import Change, changed
from triscale.spec.preprocessing import Preprocessing

GREYS = np.arange(256, dtype=np.uint8).reshape(16, 16)


def test_the_table_is_the_released_one_row_by_row():
    """tensorflow/tpu autoaugment.py, policy_v0, which timm has too; TranslateYRel is timm's word for a share."""
    table = peers.timm().data.auto_augment.auto_augment_policy_v0({})
    expected = [[(op.name.lower().removesuffix("rel"), op.prob, op.magnitude) for op in row] for row in table]
    found = [[(spelt(operation), probability, level) for operation, probability, level in row] for row in POLICY]
    assert len(found) == 25
    assert found == expected


def spelt(operation):
    return operation.replace("_", "").replace("colour", "color")


def at_level(image, operation, level, sign=1):
    return np.asarray(changed(image, [Change(operation, AMOUNTS[operation](level, sign))]))


@pytest.mark.parametrize(
    ("operation", "level", "expected"),
    [
        ("invert", 9, 255 - GREYS),
        ("solarize", 3, np.where(GREYS < 76, GREYS, 255 - GREYS)),  # int(0.3 * 256)
        ("solarize", 10, GREYS),  # the higher, the weaker
        ("solarize_add", 3, np.where(GREYS < 128, GREYS + 33, GREYS)),  # int(0.3 * 110)
        ("posterize", 6, GREYS & 0b11000000),  # int(0.6 * 4) = 2 bits
        ("posterize", 2, GREYS & 0b10000000),  # 0 bits: TensorFlow's shift leaves one
    ],
)
def test_levels_mean_what_they_mean_in_the_released_code(operation, level, expected):
    for mode in ("L", "RGB"):
        seen = at_level(Image.fromarray(GREYS).convert(mode), operation, level)
        assert np.array_equal(seen.reshape(16, 16, -1)[:, :, 0], expected)


def test_colour_goes_from_a_tenth_to_almost_twice():
    image = Image.new("RGB", (4, 4), (140, 120, 100))
    grey = np.asarray(image.convert("L"))[0, 0]
    for level, factor in ((0, 0.1), (5, 1.0), (10, 1.9)):
        seen = at_level(image, "colour", level)[0, 0].astype(float)
        assert seen == pytest.approx(grey + factor * (np.array([140, 120, 100]) - float(grey)), abs=1.0)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_move_is_a_share_of_the_height_and_shows_the_border(sign):
    image = Image.new("L", (20, 100), 7)
    image.paste(200, (0, 45, 20, 55))
    moved = at_level(image, "translate_y", 4, sign)  # 0.45 * 0.4 * 100 = 18 rows
    rows = np.flatnonzero(moved[:, 10] > 100)
    assert (rows[0], rows[-1]) == (45 - sign * 18, 54 - sign * 18)


def test_pairs_are_drawn_equally_often_and_operations_by_their_probability(monkeypatch):
    names = [(f"a{number}", f"b{number}") for number in range(25)]
    monkeypatch.setattr(module, "POLICY", tuple(((first, 0.25, 1), (second, 1.0, 1)) for first, second in names))
    monkeypatch.setattr(module, "AMOUNTS", {each: lambda level, sign: sign for pair in names for each in pair})
    drawn = [draw_autoaugment(dice_for(0, 0, index)) for index in range(5000)]
    counts = collections.Counter(name for each in drawn for name, _ in each)
    pairs = [counts[second] for _, second in names]
    assert (sum(pairs), min(pairs) > 140, max(pairs) < 260) == (5000, True, True)
    assert sum(counts[first] for first, _ in names) == pytest.approx(1250, abs=150)
    signs = collections.Counter(sign for each in drawn for _, sign in each)
    assert signs[1] == pytest.approx(signs[-1], rel=0.1)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_any_pair_keeps_size_and_mode_and_is_the_same_again(mode):
    image = Image.blend(make_photo(40, 32), make_image(1, size=(40, 32)), 0.3).convert(mode)
    before = np.asarray(image).copy()
    different = set()
    for index in range(60):
        first, again = (changed(image, draw_autoaugment(dice_for(1, 2, index))) for _ in range(2))
        assert (first.size, first.mode) == ((32, 40), mode)
        assert np.array_equal(np.asarray(first), np.asarray(again))
        different.add(np.asarray(first).tobytes())
    assert len(different) > len(POLICY) // 2
    assert np.array_equal(np.asarray(image), before)  # the image itself is left alone


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(autoaugment=True),
        Augmentation(randaugment_layers=2),
        Augmentation(erase=1.0),
        Augmentation(autoaugment=True, randaugment_layers=1, erase=0.5, flip_vertical=0.5),
    ],
)
def test_every_augmentation_is_a_function_of_seed_epoch_and_index(augmentation):
    image = make_image(1, size=48)

    def made(seed, epoch, index):
        dice = dice_for(seed, epoch, index)
        crop = draw_crop(augmentation, dice)
        return np.asarray(augment(image, augmentation, crop, dice, (24, 24), Preprocessing())).tobytes()

    assert [made(3, 7, index) for index in range(10)] == [made(3, 7, index) for index in range(10)]
    others = {made(3, 7, 0), made(4, 7, 0), made(3, 8, 0), made(3, 7, 1)}
    assert len(others) == 4
