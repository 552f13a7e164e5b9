"""What a teacher sees of a student's batch, which classes it knows, and when it is another one."""

import numpy as np
import pytest
import torch
from PIL import Image

from images import make_photo
from training.tiny import tiny_model
from triscale.data.transforms import preprocess
from triscale.errors import TrainingError
from triscale.spec.preprocessing import Preprocessing
from triscale.training.teacher import Teacher, fingerprint

IMAGENET = Preprocessing(size=(32, 32), fit="squash")
HALVES = Preprocessing(size=(32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), fit="squash")


def teacher(preprocessing, classes=()):
    return Teacher(torch.nn.Identity(), preprocessing, classes, "")


def batch(preprocessing, photo=None):
    return preprocess(photo or make_photo(64, 64), preprocessing)[None]


def test_of_equal_preprocessing_the_batch_is_passed_on_untouched():
    images = batch(IMAGENET)
    assert teacher(IMAGENET).view(images, IMAGENET) is images


def test_mean_and_deviation_are_undone_and_done_as_the_teacher_does_them():
    seen = teacher(HALVES).view(batch(IMAGENET), IMAGENET)
    torch.testing.assert_close(seen, batch(HALVES), atol=2e-6, rtol=0)


@pytest.mark.parametrize(("interpolation", "gray_levels"), [("bilinear", 1.0), ("bicubic", 1.5)])
def test_a_teacher_of_smaller_images_sees_what_its_own_resize_would_give(interpolation, gray_levels):
    small = Preprocessing(size=(16, 16), fit="squash", interpolation=interpolation)
    whole = Preprocessing(size=(64, 64), fit="squash")
    seen = teacher(small).view(batch(whole), whole)
    expected = batch(small)  # Pillow's resize of the same pixels, which rounds to bytes
    off = (seen - expected).abs() * torch.tensor(small.std).reshape(-1, 1, 1) * 255
    assert seen.shape == (1, 3, 16, 16)
    assert off.max() <= gray_levels


def test_enlarged_images_stay_within_what_bytes_can_hold():
    sharp = Image.fromarray(np.kron(np.eye(4, dtype=np.uint8) * 255, np.ones((8, 8), np.uint8))).convert("RGB")
    large = Preprocessing(size=(64, 64), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bicubic")
    seen = teacher(large).view(batch(IMAGENET, sharp), IMAGENET)
    assert (seen.min().item(), seen.max().item()) == (0.0, 1.0)


def test_grey_becomes_rgb_and_rgb_becomes_grey_as_pillow_makes_it():
    grey = Preprocessing(size=(32, 32), mean=(0.5,), std=(0.25,), fit="squash")
    assert teacher(IMAGENET).view(batch(grey), grey).shape == (1, 3, 32, 32)
    same_size = make_photo(32, 32)
    seen = teacher(grey).view(batch(IMAGENET, same_size), IMAGENET)
    torch.testing.assert_close(seen, batch(grey, same_size), atol=0.6 / 255 / 0.25, rtol=0)


def test_outputs_are_found_by_the_names_of_the_classes():
    assert teacher(IMAGENET, ("dog", "cat", "fish")).columns(("cat", "dog"), "big") == [1, 0]


@pytest.mark.parametrize(
    ("classes", "said"),
    [(("dog", "fish"), "teacher big: does not know 1 of 2 classes, 'cat' first; it knows dog, fish"), ((), "does not")],
)
def test_a_teacher_of_other_classes_is_refused_with_a_way_out(classes, said):
    with pytest.raises(TrainingError, match=said) as refused:
        teacher(IMAGENET, classes).columns(("cat", "dog"), "big")
    assert "take its features only" in str(refused.value)


def test_a_teacher_is_another_one_when_a_weight_or_its_preprocessing_is():
    model = tiny_model()
    before = fingerprint(model)
    assert fingerprint(tiny_model()) == before
    model.preprocessing = HALVES
    changed = fingerprint(model)
    with torch.no_grad():
        model.head.classifier.bias[0] += 1e-3
    assert len({before, changed, fingerprint(model)}) == 3
