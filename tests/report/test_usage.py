"""The programs that a report offers do what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import triscale as ts
from tests.images import make_image
from tests.models.helpers import small_model
from triscale.data.transforms import load
from triscale.deployment.export import export
from triscale.report.usage import commands, reading, with_triscale, without_triscale
from triscale.spec.card import ModelCard
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


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run's folder, as far as programs need it, and a photograph beside which they are started."""
    monkeypatch.chdir(tmp_path)
    model = small_model()
    model.card = ModelCard(classes=("ant", "bee", "cat", "dog", "eel"))
    ts.save(model, "it's a run/model.safetensors")
    make_image(2, size=(70, 90)).save("photo.jpg")
    return model, load("photo.jpg", model.preprocessing)


def test_the_program_with_triscale_names_what_is_on_the_photograph(run, capsys):
    model, image = run
    exec(with_triscale("it's a run/"), {})
    with torch.inference_mode():
        scores = model(image[None]).softmax(1)[0]
    name, share = capsys.readouterr().out.split()
    assert name == model.card.classes[scores.argmax()]
    assert float(share) == pytest.approx(float(scores.max()), rel=1e-5)


def test_the_program_without_triscale_names_the_same(run, capsys):
    model, image = run
    export(model, "it's a run/model.onnx")
    exec(without_triscale("it's a run/model.onnx", model.preprocessing), {})
    with torch.inference_mode():
        best = model(image[None]).argmax()
    assert capsys.readouterr().out.strip() == model.card.classes[best]


def test_programs_of_several_labels_name_all_that_are_likely(run, capsys):
    model, image = run
    with torch.inference_mode():
        likely = [name for name, logit in zip(model.card.classes, model(image[None])[0], strict=True) if logit >= 0]
    assert 0 < len(likely) < 5  # of these weights, which come from a seed
    exec(with_triscale("it's a run/", several=True), {})
    assert capsys.readouterr().out.strip() == str(likely)
    export(model, "it's a run/model.onnx")
    exec(without_triscale("it's a run/model.onnx", model.preprocessing, several=True), {})
    assert capsys.readouterr().out.strip() == str(likely)


def test_commands_quote_what_a_shell_would_split():
    assert (
        commands("runs/my photos", "my photos; rm x").splitlines()[-1]
        == "triscale eval 'runs/my photos' 'my photos; rm x'"
    )
