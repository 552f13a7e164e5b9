"""A teacher sees what it would have read itself."""

import numpy as np
import pytest
import torch
from PIL import Image

from images import make_folder
from triscale.data.transforms import preprocess
from triscale.errors import TrainingError, WeightsError
from triscale.spec.preprocessing import Preprocessing
from triscale.training.teacher import Translation, open_teacher

OWN = Preprocessing(size=(32, 32), crop=1.0)


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    folder = make_folder(tmp_path_factory.mktemp("one"), classes=1, splits={"train": 1})
    with Image.open(next(folder.rglob("*.png"))) as image:
        return image.convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)


def both(photograph, own, other):
    """What the teacher gets from the student's tensor, and what it would have read from the student's image."""
    seen = preprocess(photograph, own)
    values = seen.permute(1, 2, 0).numpy() * np.array(own.std) + np.array(own.mean)
    shown = Image.fromarray((values.squeeze() * 255).round().astype(np.uint8))
    return Translation(own, other)(seen[None])[0], preprocess(shown, other)


def test_where_both_read_alike_it_is_the_same_tensor():
    images = torch.randn(2, 3, 32, 32)
    assert Translation(OWN, Preprocessing(size=(32, 32), crop=0.5, interpolation="bilinear"))(images) is images


def test_another_normalisation_is_exchanged(photograph):
    other = Preprocessing(size=(32, 32), crop=1.0, mean=(0.5,) * 3, std=(0.5,) * 3)
    found, expected = both(photograph, OWN, other)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("interpolation", "side"),
    [("bilinear", 24), ("bilinear", 48), ("bicubic", 24), ("bicubic", 48), ("nearest", 16), ("nearest", 64)],
)
def test_another_size_is_as_pillow_would_make_it(photograph, interpolation, side):
    other = Preprocessing(size=(side, side), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, interpolation=interpolation)
    found, expected = both(photograph, OWN, other)
    torch.testing.assert_close(found, expected, atol=2.1 / 255, rtol=0)  # Pillow rounds twice
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_grey_becomes_colour_and_colour_grey(photograph):
    grey = Preprocessing(size=(32, 32), crop=1.0, mean=(0.5,), std=(0.25,))
    found, expected = both(photograph, OWN, grey)
    torch.testing.assert_close(found, expected, atol=2.1 / 255 / 0.25, rtol=0)
    found, expected = both(photograph, grey, OWN)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_other_channels_are_refused():
    five = Preprocessing(size=(32, 32), mean=(0.5,) * 5, std=(0.5,) * 5)
    with pytest.raises(TrainingError, match="the teacher reads 5 channels, the student 3"):
        Translation(OWN, five)(torch.zeros(1, 3, 32, 32))


def test_a_name_means_its_pretrained_weights():
    teacher = open_teacher("efficientnet_lite0")
    assert len(teacher.card.classes) == 1000
    assert not teacher.training
    with pytest.raises(WeightsError, match="efficientnet_b5 has no pretrained weights"):
        open_teacher("efficientnet_b5")
