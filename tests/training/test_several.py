"""Several labels an image, from the CSV to the exported file: learnt, resumed exactly, evaluated, answered."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tests.several import make_several
from training.test_resume import StopAt, weights
from training.tiny import tiny_model, train_tiny
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.deployment.export import export
from triscale.deployment.judge import judge, question
from triscale.deployment.predictor import open_predictor
from triscale.errors import DataError, TrainingError
from triscale.models.files import load
from triscale.training.calibration import sigmoid
from triscale.training.evaluate_several import LabelsEvaluation
from triscale.training.mixing import Mixing
from triscale.training.objective import SeveralLabels, Supervised, objective_of
from triscale.training.recipe import Recipe
from triscale.training.run import read_log


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return make_several(tmp_path_factory.mktemp("several"), 3, {"train": 96, "val": 48, "test": 48})


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    return train_tiny(table, folder, epochs=10), folder


def answers(logits):
    """A network that answers everything with these logits."""

    class Always(nn.Module):
        def forward(self, images):
            return torch.tensor(logits).expand(len(images), -1)

    return Always()


def test_the_loss_is_binary_cross_entropy_by_hand():
    """Logits 0 and ln 3 are probabilities 1/2 and 3/4; labels yes and no: (ln 2 + ln 4) / 2."""
    logits, images, targets = [[0.0, float(np.log(3))]], torch.zeros(1, 3, 4, 4), torch.tensor([[1.0, 0.0]])
    loss, _ = SeveralLabels()(answers(logits), images, targets)
    assert float(loss) == pytest.approx((np.log(2) + np.log(4)) / 2)
    smooth, _ = SeveralLabels(0.2)(answers(logits), images, targets)  # 1 becomes 0.9, 0 becomes 0.1
    second = -(0.1 * np.log(0.75) + 0.9 * np.log(0.25))
    assert float(smooth) == pytest.approx((np.log(2) + second) / 2)


def test_the_data_chooses_the_objective(table):
    dataset, ones = read_dataset(table), np.ones(3)
    assert objective_of(Recipe(label_smoothing=0.2), dataset, tiny_model(), ones) == SeveralLabels(0.2)
    assert objective_of(Recipe(), replace(dataset, several=False), tiny_model(), ones) == Supervised(0.1)
    with pytest.raises(TrainingError, match=r"Recipe.balance 'weights' is for one label an image, .* set balance"):
        objective_of(Recipe(balance="weights"), dataset, tiny_model(), ones)


def test_batches_hold_a_number_for_every_class(table):
    dataset = read_dataset(table)
    batches = Batches(dataset.val, tiny_model().preprocessing, 8, target_width=dataset.target_width)
    labels = next(iter(batches.epoch(0))).labels
    assert labels.dtype == torch.float32
    expected = [[n & 1, n >> 1 & 1, n >> 2 & 1] for n in range(8)]  # every combination in turns, none first
    assert labels.tolist() == expected


def test_mixed_labels_are_as_much_of_each_as_is_in_the_image():
    images, labels = torch.rand(4, 3, 8, 8), torch.tensor([[1.0, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]])
    mixed, targets = Mixing(mixup=0.4)(images, labels, 3, seed=0, step=1)
    share = ((mixed[1] - images[1]) / (images[2] - images[1])).mean()  # of the third image in the second
    assert 0 < share <= 0.5
    torch.testing.assert_close(targets[1], share * labels[2])
    with pytest.raises(TrainingError, match="need a class number or 3 labels"):
        Mixing(mixup=0.4)(images, labels[:, :2], 3, seed=0, step=1)


def test_a_tiny_training_learns_them(trained):
    """Seed 0, 10 epochs of 96 images: mAP above 0.95 on 48 test images; chance is 0.5."""
    result, folder = trained
    assert isinstance(result.evaluation, LabelsEvaluation)
    assert result.evaluation.map > 0.95
    metrics = json.loads((folder / "metrics.json").read_text())
    assert "top1" not in metrics
    assert metrics["map"] == result.test.map
    assert metrics["val_map"] == result.val.map
    assert list(metrics["per_class"]) == ["apple", "bridge", "cloud"]
    epochs = [line for line in read_log(folder) if line["event"] == "epoch"]
    best = max(max(line["raw"]["map"], line["ema"]["map"]) for line in epochs)
    assert metrics["val_map"] == pytest.approx(best, abs=1e-6)


def test_stopped_and_called_again_it_ends_the_same(table, tmp_path):
    settings = {"epochs": 3, "mixup": 0.2}
    train_tiny(table, tmp_path / "a", **settings)
    for step in (1, 17):
        with pytest.raises(KeyboardInterrupt):
            train_tiny(table, tmp_path / "b", progress=StopAt(step), **settings)
        torch.manual_seed(99)
    train_tiny(table, tmp_path / "b", **settings)
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_the_model_file_says_that_answers_are_several(trained):
    result, folder = trained
    model = load(folder / "model.safetensors")
    assert model.card.several
    assert model.card.temperature == result.metrics["temperature"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.xml"])
def test_every_file_answers_with_the_labels_that_are_likely(trained, table, tmp_path, name):
    result, folder = trained
    path = folder / name if name == "model.safetensors" else export(result.model, tmp_path / name).path
    predictor = open_predictor(str(path))
    dataset = read_dataset(table)
    files = [each.path for each in dataset.test[:8]]
    expected = sigmoid(result.test.logits[:8])
    np.testing.assert_allclose(predictor.probabilities(files), expected, atol=1e-4)
    for answer, row in zip(predictor.predict(files), expected, strict=True):
        likely = sorted((i for i in range(3) if row[i] >= 0.5), key=lambda i: -row[i])
        assert [each.name for each in answer.labels] == [dataset.classes[i] for i in likely]
    assert [len(each.labels) for each in predictor.predict(files, threshold=0.0)] == [3] * 8
    assert [len(each.labels) for each in predictor.predict(files, top=1, threshold=0.0)] == [1] * 8
    warm = sigmoid(result.test.logits[:8] / predictor.temperature)
    np.testing.assert_allclose(predictor.calibrated().probabilities(files), warm, atol=1e-4)


def test_an_evaluation_of_the_file_gives_the_same_figures(trained, table):
    result, folder = trained
    dataset = read_dataset(table)
    predictor = open_predictor(str(folder))
    found = judge(predictor, question(predictor, dataset, dataset.test))
    assert found.map == pytest.approx(result.test.map)
    assert found.f1_micro == pytest.approx(result.test.f1_micro)


def test_a_model_of_one_label_is_not_asked_for_several(table):
    predictor = open_predictor("efficientnet_lite0")
    dataset = read_dataset(table)
    with pytest.raises(DataError, match="was trained to give one"):
        question(predictor, dataset, dataset.test)
