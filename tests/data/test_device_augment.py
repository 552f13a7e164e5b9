"""Batches that are finished on the device, beside those that the loader finishes: the same images."""

import numpy as np
import pytest
import torch

from tests.images import make_folder
from triscale.data.augment import Augmentation
from triscale.data.dataset import Sample, read_dataset
from triscale.data.detection.augment import BoxAugmentation
from triscale.data.detection.dataset import BoxSample
from triscale.data.device_augment import DeviceAugment
from triscale.data.loader import Batches
from triscale.errors import DataError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(24, 20), interpolation="bilinear")
GREY = Preprocessing(size=(24, 20), mean=(0.4,), std=(0.3,))
EVERYTHING = Augmentation(
    crop_area=(0.4, 1.0),
    flip_vertical=0.3,
    autoaugment=True,
    randaugment_layers=2,
    randaugment_magnitude=14,
    erase=0.4,
)
LEVEL = 1 / 255 / 0.2  # of 256, at most, as the network sees it; its deviations are above 0.2


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return read_dataset(make_folder(tmp_path_factory.mktemp("images"), classes=3, splits={"train": 20, "val": 2})).train


def on_host(samples, augmentation, preprocessing=PREPROCESSING, epoch=3, batch=16, **more):
    return list(Batches(samples, preprocessing, batch, augmentation, seed=5, **more).epoch(epoch))


def on_device(samples, augmentation, preprocessing=PREPROCESSING, epoch=3, batch=16, **more):
    finish = DeviceAugment(augmentation, preprocessing, 5)
    batches = Batches(samples, preprocessing, batch, augmentation, seed=5, as_bytes=True, **more).epoch(epoch)
    return [each._replace(images=finish(each.images, epoch, each.indices)) for each in batches]


def assert_close(found, expected):
    assert [each.indices.tolist() for each in found] == [each.indices.tolist() for each in expected]
    assert [each.labels.tolist() for each in found] == [each.labels.tolist() for each in expected]
    one, other = (torch.cat([each.images for each in batches]) for batches in (found, expected))
    assert (one.dtype, one.shape) == (torch.float32, other.shape)
    apart = (one - other).abs() > 1e-5
    assert apart.double().mean() < 1e-3  # where a level differs, a later table may make more of it
    assert (one - other).abs().mean() < LEVEL / 1000


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(),
        Augmentation(flip=1.0, flip_vertical=1.0),
        Augmentation(autoaugment=True),
        Augmentation(randaugment_layers=3, randaugment_magnitude=30),
        Augmentation(erase=1.0),
        EVERYTHING,
    ],
    ids=["flip", "turned", "autoaugment", "randaugment", "erase", "everything"],
)
@pytest.mark.parametrize("preprocessing", [PREPROCESSING, GREY], ids=["colour", "grey"])
def test_both_places_give_the_same_images(samples, augmentation, preprocessing):
    assert_close(on_device(samples, augmentation, preprocessing), on_host(samples, augmentation, preprocessing))


def test_what_crosses_to_the_device_is_a_quarter_of_the_bytes(samples):
    (host, device) = (
        next(Batches(samples, PREPROCESSING, 16, EVERYTHING, as_bytes=each).epoch(0)).images for each in (False, True)
    )
    assert (device.dtype, device.shape) == (torch.uint8, host.shape)
    assert device.nbytes * 4 == host.nbytes


def test_an_image_is_the_same_in_any_batch_and_process(samples):
    whole = torch.cat([each.images for each in on_device(samples, EVERYTHING, batch=12)])
    assert torch.equal(torch.cat([each.images for each in on_device(samples, EVERYTHING, batch=5)]), whole)
    parts = [on_device(samples, EVERYTHING, batch=12, part=(rank, 3)) for rank in range(3)]
    assert torch.equal(torch.cat([each.images for batch in zip(*parts, strict=True) for each in batch]), whole)


def test_another_epoch_changes_images_otherwise(samples):
    first, second = (
        {
            i: image
            for b in on_device(samples, EVERYTHING, epoch=epoch)
            for i, image in zip(b.indices.tolist(), b.images, strict=True)
        }
        for epoch in (0, 1)
    )
    assert len(first) > 40
    assert not any(torch.equal(first[index], second[index]) for index in first.keys() & second.keys())


def test_stages_have_their_own_size_and_strength(samples):
    small = Augmentation(randaugment_layers=1, randaugment_magnitude=4)
    assert_close(on_device(samples, small, size=(12, 15)), on_host(samples, small, size=(12, 15)))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_the_memory_layout_stays_and_so_do_the_bytes(layout):
    images = torch.randint(0, 256, (4, 3, 10, 8), dtype=torch.uint8).contiguous(memory_format=layout)
    before = images.clone()
    made = DeviceAugment(EVERYTHING, PREPROCESSING, 0)(images, 0, torch.arange(4))
    assert made.is_contiguous(memory_format=layout)
    assert torch.equal(images, before)


def test_a_part_without_images_is_one_after_it_too():
    made = DeviceAugment(EVERYTHING, PREPROCESSING, 0)(
        torch.empty(0, 3, 10, 8, dtype=torch.uint8), 0, torch.empty(0, dtype=torch.int64)
    )
    assert (made.shape, made.dtype) == ((0, 3, 10, 8), torch.float32)


def test_nothing_is_drawn_from_the_random_numbers_of_the_network():
    images = torch.zeros(6, 3, 10, 8, dtype=torch.uint8)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    DeviceAugment(EVERYTHING, PREPROCESSING, 0)(images, 0, torch.arange(6))
    assert torch.equal(torch.get_rng_state(), before)


def test_bytes_of_images_that_are_not_augmented_or_have_boxes_are_refused(samples):
    with pytest.raises(DataError, match="as_bytes is for training images with labels, and these have no augmentation"):
        Batches(samples, PREPROCESSING, 8, as_bytes=True)
    boxed = [BoxSample(samples[0].path, (32, 32))]
    with pytest.raises(DataError, match="as_bytes is for training images with labels, and these have boxes"):
        Batches(boxed, PREPROCESSING, 1, BoxAugmentation(), as_bytes=True)


def test_broken_images_are_left_out_here_too(samples, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    mixed = (*samples[:7], Sample(tmp_path / "broken.png", 0))
    found = on_device(mixed, EVERYTHING, batch=8, skip_broken=True)
    assert_close(found, on_host(mixed, EVERYTHING, batch=8, skip_broken=True))
    assert np.sort(found[0].indices).tolist() == list(range(7))
