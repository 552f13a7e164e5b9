"""What happens to the pixels happens to the boxes, as a function of (seed, epoch, index) alone."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from triscale.data.augment import Augmentation
from triscale.data.detection.augment import CROWD, BoxAugmentation, draw_place, kept, mirrored, moved
from triscale.data.detection.dataset import BoxLabel, BoxSample
from triscale.data.detection.items import PADDING
from triscale.data.loader import Batches
from triscale.data.transforms import load
from triscale.errors import DataError, SpecError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(64, 96), mean=(0.0,) * 3, std=(1.0,) * 3, fit="letterbox", interpolation="bilinear")
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Black images, each with an own rectangle in the colour of its class, in different places; the last is empty."""
    folder, made = tmp_path_factory.mktemp("set"), []
    for number in range(7):
        size = (60 + 10 * number, 120)
        pixels = np.zeros((*size, 3), np.uint8)
        box = (10 + 5 * number, 8, 40 + 10 * number, 44)
        boxes = ()
        if number < 6:
            pixels[box[1] : box[3], box[0] : box[2]] = COLOURS[number % 3]
            boxes = (BoxLabel(*map(float, box), number % 3),)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        made.append(BoxSample(folder / f"{number}.png", size, boxes))
    return tuple(made)


def batches_of(samples, augmentation=None, **settings):
    return Batches(samples, PREPROCESSING, 4, augmentation, **settings)


def where_it_is(image, label):
    """(x1, y1, x2, y2) of the pixels that are brightest in a channel."""
    rows, columns = np.nonzero(image[label].numpy() > 0.5)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_without_augmentation_an_image_and_its_boxes_are_as_evaluation_has_them(samples):
    batches = batches_of(samples)
    images, targets, indices = next(batches.epoch(0))
    assert targets.shape == (4, 1, 5) and targets.dtype == torch.float32
    for image, target, index in zip(images, targets, indices.tolist(), strict=True):
        assert torch.equal(image, load(samples[index].path, PREPROCESSING))
        across, down = batches.placement(index).scale
        x1, y1, x2, y2, label = samples[index].boxes[0][:5]
        assert target[0].tolist() == pytest.approx([x1 / across, y1 / down, x2 / across, y2 / down, label], abs=1e-4)


@pytest.mark.parametrize(
    "augmentation",
    [
        BoxAugmentation(scale=(0.5, 1.0), flip=0.5, flip_vertical=0.5, shift=True),
        BoxAugmentation(scale=(1.2, 2.0), flip=0.5, visible=0.0),
        BoxAugmentation(scale=(0.7, 1.3), flip=0.0, mosaic=1.0, shift=True, visible=0.0),
    ],
)
def test_a_box_is_where_its_pixels_are(samples, augmentation):
    seen = 0
    for epoch in range(6):
        for images, targets, _ in batches_of(samples, augmentation, seed=3).epoch(epoch):
            for image, rows in zip(images, targets, strict=True):
                own = [row for row in rows.tolist() if row[4] >= 0]
                for label in {row[4] for row in own if sum(other[4] == row[4] for other in own) == 1}:
                    row = next(row for row in own if row[4] == label)
                    if min(row[2] - row[0], row[3] - row[1]) > 4:
                        assert where_it_is(image, int(label)) == pytest.approx(row[:4], abs=1.5)
                        seen += 1
    assert seen >= 20


def test_every_epoch_is_another_and_each_is_always_the_same(samples):
    augmentation = BoxAugmentation(scale=(0.3, 1.7), shift=True, mosaic=0.5, colour_layers=2)
    once = list(batches_of(samples, augmentation, seed=1, workers=1).epoch(2))
    again = list(batches_of(samples, augmentation, seed=1, workers=3, kept_bytes=0).epoch(2))
    assert len(once) == len(again) == 1  # 7 images, batches of 4
    assert all(torch.equal(one, other) for one, other in zip(once[0], again[0], strict=True))
    other = next(batches_of(samples, augmentation, seed=1).epoch(3))
    assert not torch.equal(other.images, once[0].images)


def test_parts_of_a_batch_are_the_batch(samples):
    whole = next(batches_of(samples, BoxAugmentation(), seed=5).epoch(0))
    parts = [next(batches_of(samples, BoxAugmentation(), seed=5, part=(rank, 2)).epoch(0)) for rank in (0, 1)]
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
    rows = [row for part in parts for target in part.labels.tolist() for row in target if row[4] != PADDING]
    assert rows == [row for target in whole.labels.tolist() for row in target if row[4] != PADDING]


def test_what_is_hardly_left_of_an_object_is_neither_there_nor_absent():
    rows = np.array([[0, 0, 10, 10, 3], [-8, 0, 2, 10, 4], [18, 0, 30, 20, 5], [40, 0, 50, 10, 6], [1, 1, 2, 9, 7]])
    made = kept(rows.astype(np.float32), (0, 0, 20, 20), visible=0.25, least_side=2.0)
    assert made.tolist() == [
        [0, 0, 10, 10, 3],
        [0, 0, 2, 10, CROWD],  # a fifth shows
        [18, 0, 20, 20, CROWD],  # a sixth
        [1, 1, 2, 9, CROWD],  # one pixel wide; the one that lay outside is gone
    ]
    assert kept(rows.astype(np.float32), (0, 0, 20, 20), 0.0, 0.0)[:, 4].tolist() == [3, 4, 5, 7]


def test_mirrored_twice_a_box_is_where_it_was():
    rows = np.array([[3, 4, 10, 20, 1]], np.float32)
    window = (2, 1, 50, 30)
    assert mirrored(rows, window, True, False).tolist() == [[21, 4, 28, 20, 1]]
    assert mirrored(rows, window, False, True).tolist() == [[3, 32, 10, 48, 1]]
    assert np.array_equal(mirrored(mirrored(rows, window, True, True), window, True, True), rows)


def test_a_mirrored_image_lies_where_evaluation_has_it(samples):
    plain, turned = (
        next(batches_of(samples[:1], BoxAugmentation(scale=(0.5, 0.5), flip=flip, flip_vertical=flip)).epoch(0))
        for flip in (0.0, 1.0)
    )
    # 60 x 120 in 64 x 96 is 48 x 96, and half of that 24 x 48, at the upper left
    assert torch.equal(turned.images[:, :, :24, :48], plain.images[:, :, :24, :48].flip(2, 3))
    assert torch.equal(turned.images[:, :, 24:], plain.images[:, :, 24:])
    assert torch.equal(turned.images[:, :, :, 48:], plain.images[:, :, :, 48:])
    x1, y1, x2, y2, label = plain.labels[0, 0].tolist()
    assert turned.labels[0, 0].tolist() == pytest.approx([48 - x2, 24 - y2, 48 - x1, 24 - y1, label])


def test_a_place_covers_the_input_or_lies_inside_it():
    dice = random.Random(0)
    for _ in range(200):
        place = draw_place((60, 100), (64, 64), BoxAugmentation(scale=(0.2, 3.0), shift=True), dice)
        for start, own in zip((place.top, place.left), place.size, strict=True):
            assert (0 <= start <= 64 - own) if own <= 64 else (64 - own <= start <= 0)
        left, top, right, bottom = place.source((64, 64), (60, 100))
        assert 0 <= left < right <= 100 and 0 <= top < bottom <= 60
        corner = moved(
            np.array([[left, top, right, bottom, 0]], np.float32), (100 / place.size[1], 60 / place.size[0]), place
        )
        assert corner[0, :4] == pytest.approx(
            [*place.window((64, 64))[1::-1], *place.window((64, 64))[:1:-1]], abs=1e-3
        )
    still = [draw_place((60, 100), (64, 64), BoxAugmentation(scale=(0.5, 0.5)), dice)[1:] for _ in range(3)]
    assert still == [(0, 0)] * 3


def test_at_most_a_hundred_boxes_are_taught(samples):
    many = replace(samples[0], boxes=tuple(BoxLabel(1.0 + i % 9, 1.0, 20.0 + i % 9, 30.0, 0) for i in range(130)))
    assert next(batches_of([many]).epoch(0)).labels.shape == (1, 100, 5)


def test_crowds_are_marked_and_images_without_boxes_have_one_empty_row(samples):
    crowd = replace(samples[0], boxes=(samples[0].boxes[0]._replace(crowd=True),))
    labels = next(batches_of([crowd, samples[6]]).epoch(0)).labels
    assert labels[:, :, 4].tolist() == [[CROWD], [PADDING]]


def test_settings_that_cannot_be_are_refused(samples):
    with pytest.raises(
        SpecError, match=r"BoxAugmentation.scale is \(smallest, largest\), both in 0.01..10; got \(2, 1\)"
    ):
        BoxAugmentation(scale=(2, 1))
    with pytest.raises(SpecError, match=r"BoxAugmentation\.mosaic is how often, 0\.\.1; got 2"):
        BoxAugmentation(mosaic=2)
    with pytest.raises(DataError, match="images with boxes need a BoxAugmentation, got Augmentation"):
        batches_of(samples, Augmentation())
    with pytest.raises(DataError, match='images with boxes are letterboxed, the preprocessing says "crop"'):
        Batches(samples, Preprocessing(), 4)
