"""The programs that a report offers do what they say."""

from dataclasses import replace

import numpy as np
import pytest

from tests.images import make_image
from triscale.data.transforms import load
from triscale.report.usage import commands, reading, with_triscale, without_triscale
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(48, 64), mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
GREY = Preprocessing(size=(28, 28), mean=(0.13,), std=(0.3,), fit="squash", interpolation="bilinear")


@pytest.mark.parametrize(
    "preprocessing",
    [
        PREPROCESSING,
        replace(PREPROCESSING, fit="squash", interpolation="bilinear"),
        replace(PREPROCESSING, fit="letterbox"),
        replace(PREPROCESSING, fit="letterbox", fill=0.5, interpolation="nearest"),
        GREY,
        replace(GREY, fit="letterbox"),
    ],
)
def test_the_program_without_triscale_prepares_images_as_triscale_does(tmp_path, preprocessing):
    path = tmp_path / "photo.png"
    make_image(3, size=(90, 130)).save(path)
    program = {}
    exec(reading(preprocessing), program)
    np.testing.assert_allclose(program["read"](path)[0], load(path, preprocessing).numpy(), atol=2e-6)


def test_programs_are_programs():
    compile(without_triscale("runs/it's/model.onnx", PREPROCESSING), "page", "exec")
    compile(with_triscale('runs/"x"/'), "page", "exec")


def test_commands_quote_what_a_shell_would_split():
    assert (
        commands("runs/my photos", "my photos; rm x").splitlines()[-1]
        == "triscale eval 'runs/my photos' 'my photos; rm x'"
    )
