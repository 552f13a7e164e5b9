"""Evaluation against counts that can be made by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from triscale.errors import TrainingError
from triscale.training.evaluate import evaluate, evaluate_all

CLASSES = ("ant", "bee", "cat")


class Table(nn.Module):
    """Answers image i with row images[i, 0, 0, 0] of a table."""

    def __init__(self, rows):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, images):
        return self.rows[images[:, 0, 0, 0].long()]


def batches(labels, size):
    images = torch.arange(len(labels)).float().reshape(-1, 1, 1, 1)
    for start in range(0, len(labels), size):
        rows = slice(start, start + size)
        yield images[rows], torch.tensor(labels)[rows], torch.arange(len(labels))[rows] + 100


def test_counts_rates_and_order():
    model = Table([[5.0, 0.0, 0.0], [3.0, 2.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.1]]).train()
    found = evaluate(model, batches([0, 1, 1, 0], size=3), CLASSES)
    assert found.top1 == 0.5
    assert found.top5 == 1.0  # of three classes
    assert found.per_class == {"ant": 0.5, "bee": 0.5}  # no cat was shown
    assert found.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    assert found.count == 4
    assert found.indices.tolist() == [100, 101, 102, 103]
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-6)
    assert found.ranked().tolist() == [1, 3, 0, 2]  # own class: 0.27, 0.32, 0.987, 0.987
    assert found.loss == pytest.approx(-np.log(found.probabilities[range(4), [0, 1, 1, 0]]).mean(), rel=1e-5)
    assert model.training


def test_top5_of_many_classes_is_over_five():
    model = Table([[float(c) for c in range(10)]] * 2)
    found = evaluate(model, batches([5, 4], size=2), [str(c) for c in range(10)])
    assert (found.top1, found.top5) == (0.0, 0.5)


def test_several_models_read_each_image_once():
    read = []

    def counted():
        for batch in batches([0, 1, 2], size=1):
            read.append(1)
            yield batch

    good, bad = Table(torch.eye(3).tolist()), Table((1 - torch.eye(3)).tolist())
    assert [each.top1 for each in evaluate_all([good, bad], counted(), CLASSES)] == [1.0, 0.0]
    assert len(read) == 3


def test_an_empty_split_is_its_own_error():
    with pytest.raises(TrainingError, match="no image to evaluate on; the split is empty"):
        evaluate(Table([[1.0, 2.0, 3.0]]), iter(()), CLASSES)


def test_labels_outside_the_classes_are_refused():
    for wrong in (3, -1):
        with pytest.raises(TrainingError, match="and there are 3 classes: a label is a position among them"):
            evaluate(Table([[1.0, 2.0, 3.0]] * 2), batches([0, wrong], size=2), CLASSES)


def test_precision_and_f1_of_each_class():
    """Answers ant, ant, bee, cat to ant, bee, bee, ant: of two answers "ant" one is right, of two ants one is found."""
    model = Table([[5.0, 0.0, 0.0], [3.0, 2.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.1]])
    found = evaluate(model, batches([0, 1, 1, 0], size=4), CLASSES)
    figures = [(each.name, each.images, each.precision, each.recall, each.f1) for each in found.classes]
    assert figures == [
        ("ant", 2, 0.5, 0.5, 0.5),
        ("bee", 2, 1.0, 0.5, pytest.approx(2 / 3)),
        ("cat", 0, 0.0, None, 0.0),
    ]
    assert found.metrics()["f1_macro"] == pytest.approx((0.5 + 2 / 3) / 2)  # no image shows a cat
    assert found.occurring() == [0, 1, 2]
    assert found.score == found.top1


def test_other_classes_are_refused():
    with pytest.raises(TrainingError, match=r"gives \(2,\) outputs an image, the data has 3 classes"):
        evaluate(Table([[1.0, 2.0]]), batches([0], size=1), CLASSES)
