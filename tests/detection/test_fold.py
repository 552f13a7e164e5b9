import pytest
import torch
from torch import nn

from tests.detection.helpers import shaken, small_model
from tests.models.helpers import answer, photos, relative_error
from triscale.detection.create import create_detector
from triscale.detection.fold import fold
from triscale.spec.pyramids import PYRAMIDS


@pytest.mark.parametrize("kind", PYRAMIDS)
@pytest.mark.parametrize("biased", [True, False])
def test_a_folded_detector_answers_the_same_without_batchnorms(kind, biased):
    model = small_model(pyramid=PYRAMIDS[kind](16, 2), redundant_bias=biased)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.train()
    made = fold(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    assert model.training and not made.training
    images = photos(96, 128)
    for found, expected in zip(answer(made, images), answer(model.eval(), images), strict=True):
        assert relative_error(found, expected) < 1e-5
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_fixed_size_is_kept_and_the_released_d0_folds():
    model = shaken(create_detector("efficientdet_d0"))
    model.fixed(128)
    made, images = fold(model), photos(128, 128)
    for found, expected in zip(answer(made, images), answer(model, images), strict=True):
        assert relative_error(found, expected) < 1e-5
