import math

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from tests.models.helpers import photos, small_model
from triscale.deployment.export import export
from triscale.deployment.verify import Verification, verify
from triscale.errors import SpecError, VerificationError
from triscale.models.files import save


@pytest.fixture
def model():
    return small_model()


def perturb(path, by):
    """Change the classifier's bias in an ONNX file; everything else about it stays right."""
    graph = onnx.load(path)
    bias = next(each for each in graph.graph.initializer if each.name.endswith("classifier.bias"))
    changed = numpy_helper.to_array(bias).copy()
    changed[0] += by
    bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
    onnx.save(graph, path)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_a_sound_export_is_passed_on(model, name, tmp_path):
    export(model, tmp_path / name)
    found = verify(model, tmp_path / name, photos(32, 32, count=20))
    assert found.require() is found
    assert (found.images, found.top1_agreement, found.tolerance) == (20, 1.0, 1e-3)
    assert 0 < found.max_error < 1e-5


def test_our_own_file_is_verified_too(model, tmp_path):
    save(model, tmp_path / "model.safetensors")
    assert verify(model, tmp_path / "model.safetensors", photos(32, 32)).ok


def test_a_broken_export_is_refused_with_exit_code_1(model, tmp_path):
    path = tmp_path / "model.onnx"
    export(model, path)
    perturb(path, 0.01)
    found = verify(model, path, photos(32, 32, count=4))
    assert found.max_error == pytest.approx(0.01, rel=1e-3)
    assert not found.ok
    with pytest.raises(
        VerificationError, match=r"model\.onnx: differs .* largest difference 0\.01 \(allowed 0\.001\)"
    ) as caught:
        found.require()
    assert caught.value.exit_code == 1


def test_an_answer_that_is_no_number_is_refused(model, tmp_path):
    path = tmp_path / "model.onnx"
    export(model, path)
    perturb(path, np.nan)
    found = verify(model, path, photos(32, 32, count=40))
    assert math.isnan(found.max_error)
    assert not found.ok


def test_another_first_class_is_refused_even_within_the_tolerance(tmp_path):
    assert not Verification(tmp_path, "onnxruntime", 64, 1e-6, 63 / 64, 1e-3).ok


def test_a_model_in_training_is_compared_as_it_will_be_used_and_left_in_training(model, tmp_path):
    export(model, tmp_path / "model.onnx")
    model.train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert verify(model, tmp_path / "model.onnx", photos(32, 32, count=2)).ok
    assert model.training
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_no_images_prove_nothing(model, tmp_path):
    with pytest.raises(SpecError, match="got no images"):
        verify(model, tmp_path / "model.onnx", photos(32, 32, count=1)[:0])
