"""What a step makes smaller: labels, mixed targets, and classes that weigh more."""

import numpy as np
import pytest
import torch
from torch import nn

from training.tiny import tiny_images, tiny_model
from triscale.data.dataset import read_dataset
from triscale.models.files import save
from triscale.spec.card import ModelCard
from triscale.training.answer import hits
from triscale.training.distillation import Distillation, Distilled
from triscale.training.objective import Supervised, objective_of
from triscale.training.recipe import Recipe

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])
LABELS = torch.tensor([0, 1, 1])


def loss(objective, targets):
    return float(objective(lambda _: LOGITS, torch.zeros(3), targets)[0])


def own_losses(smoothing=0.0):
    return nn.functional.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing, reduction="none")


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_weights_it_is_the_mean_cross_entropy(smoothing):
    assert loss(Supervised(smoothing), LABELS) == pytest.approx(float(own_losses(smoothing).mean()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_an_image_counts_as_its_class_weighs(smoothing):
    weights = torch.tensor([3.0, 0.5, 1.0])
    expected = (own_losses(smoothing) * torch.tensor([3.0, 0.5, 0.5])).mean()
    assert loss(Supervised(smoothing, weights), LABELS) == pytest.approx(float(expected))


def test_equal_weights_change_nothing_for_labels_and_mixed_targets():
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    for targets in (LABELS, mixed):
        assert loss(Supervised(0.1, torch.ones(3)), targets) == pytest.approx(loss(Supervised(0.1), targets))


def test_a_mixed_image_weighs_as_its_classes_do():
    weights = torch.tensor([4.0, 0.0, 1.0])
    sure = nn.functional.one_hot(LABELS, 3).float()
    assert loss(Supervised(0.0, weights), sure) == pytest.approx(loss(Supervised(0.0, weights), LABELS))
    half = torch.tensor([[0.5, 0.5, 0.0]]).expand(3, 3)
    alike = nn.functional.cross_entropy(LOGITS, half)
    assert loss(Supervised(0.0, weights), half) == pytest.approx(2.0 * float(alike))  # (4 + 0) / 2


def test_a_mixed_image_is_right_by_the_share_of_the_class_that_was_answered():
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.9, 0.1, 0.0]])
    assert float(hits(LOGITS, mixed)) == pytest.approx(1.7)
    assert float(hits(LOGITS, LABELS)) == 2


def test_a_recipe_with_a_teacher_learns_from_it_beside_the_labels(tmp_path):
    dataset = read_dataset(tiny_images(tmp_path / "images", train=2, val=1))
    weights = np.array([1.0, 2.0, 0.5])
    weighing = Recipe(label_smoothing=0.2, balance="weights")
    alone = objective_of(weighing, dataset, tiny_model(), weights)
    assert isinstance(alone, Supervised)
    assert alone.label_smoothing == 0.2
    assert alone.class_weights.tolist() == [1.0, 2.0, 0.5]
    assert objective_of(Recipe(), dataset, tiny_model(), weights) == Supervised(0.1)
    teacher = tiny_model()
    teacher.card = ModelCard(classes=dataset.classes)
    save(teacher, tmp_path / "teacher.safetensors")
    settings = Distillation(str(tmp_path / "teacher.safetensors"), weight=0.3)
    taught = objective_of(Recipe(label_smoothing=0.2, distillation=settings), dataset, tiny_model(), weights)
    assert isinstance(taught, Distilled)
    assert (taught.labels, taught.settings) == (Supervised(0.2), settings)
