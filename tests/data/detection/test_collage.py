"""Collages: objects by themselves at new places, among pieces that hold little of any."""

import numpy as np
import pytest
import torch
from PIL import Image

from triscale.data.detection import collage
from triscale.data.detection.collage import Cut, collages
from triscale.data.detection.dataset import BoxLabel, BoxSample
from triscale.data.detection.items import PADDING
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(
    size=(96, 128), mean=(0.0,) * 3, std=(1.0,) * 3, fit="letterbox", interpolation="bilinear"
)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Grey images of 200 x 150 with one coloured square each; the last is a crowd and counts as nothing."""
    folder, made = tmp_path_factory.mktemp("set"), []
    for number in range(4):
        pixels = np.full((150, 200, 3), 60, np.uint8)
        left, top, side = 50 + 10 * number, 40 + 5 * number, 40
        pixels[top : top + side, left : left + side] = COLOURS[number % 3]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        box = BoxLabel(float(left), float(top), float(left + side), float(top + side), number % 3, crowd=number == 3)
        made.append(BoxSample(folder / f"{number}.png", (150, 200), (box,)))
    return tuple(made)


def test_each_object_is_where_its_row_says_with_all_of_its_pixels(samples, monkeypatch):
    monkeypatch.setattr(collage, "LIGHT", (1.0, 1.0))
    made = collages(samples, PREPROCESSING, 0.5, 0.5, seed=0)
    seen = 0
    for number in range(4):
        images, targets = made.batch(number)
        assert images.shape == (4, 3, 96, 128) and targets.shape[0] == 4 and targets.shape[2] == 5
        for image, rows in zip(images, targets.tolist(), strict=True):
            for x1, y1, x2, y2, label in (row for row in rows if row[4] != PADDING):
                inside = image[:, round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
                own = inside[int(label)]
                assert own.numel() and float((own > 0.9).float().mean()) > 0.95
                assert 40 * 0.64 * 0.8 - 2 <= x2 - x1 <= 40 * 0.64 * 1.25 + 2  # the input is .64 of the image
                seen += 1
    assert seen >= 30


def test_pieces_beside_an_object_hold_little_of_it(samples):
    made = collages(samples, PREPROCESSING, 0.0, 0.0, seed=0)
    import random

    dice, (cut,) = random.Random(0), made.boxes[1]
    for _ in range(50):
        piece = made._beside(cut, dice)
        assert piece.label is None and piece.image == 1
        x1, y1, x2, y2 = (round(each) for each in piece.box)
        crop = np.asarray(made.images[1])[y1:y2, x1:x2]
        assert crop.shape[0] == pytest.approx(40, abs=1)
        assert (crop[..., 1] > 200).mean() <= collage.SHARED + 0.05


def test_a_collage_is_a_function_of_seed_and_number(samples):
    one, other = (collages(samples, PREPROCESSING, 0.5, 0.0, seed=3) for _ in range(2))
    other.batch(5)
    for first, second in zip(one.batch(2), other.batch(2), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(one.batch(3)[0], one.batch(2)[0])
    assert not torch.equal(collages(samples, PREPROCESSING, 0.5, 0.0, seed=4).batch(2)[0], one.batch(2)[0])


def test_crowds_are_no_objects_and_objects_that_fill_the_image_have_nothing_beside_them(samples):
    made = collages(samples, PREPROCESSING, 0.0, 0.0, seed=0)
    assert [len(own) for own in made.boxes] == [1, 1, 1, 0]
    assert made.size == (96, 128)
    import random

    assert made._beside(Cut(0, (0.0, 0.0, 200.0, 150.0), 0), random.Random(0)) is None
