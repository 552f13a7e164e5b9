"""Rare classes: weights against the paper's formula, and an order that is fair and the same again."""

import collections
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.data.balance import balanced, class_counts, class_weights
from triscale.data.dataset import Sample
from triscale.data.loader import Batches
from triscale.errors import DataError
from triscale.spec.preprocessing import Preprocessing


def labels_of(*counts):
    return [label for label, count in enumerate(counts) for _ in range(count)]


def order_of(labels, weights, seed, epoch):
    dice = np.random.default_rng([seed, epoch])
    return balanced(dice.permutation(len(labels)), (0,), np.array(labels), weights, dice)


def test_weights_are_inverse_to_the_effective_number_of_images():
    """Cui et al. 2019, eq. 2: (1 - b^n) / (1 - b); for b = 0.999, 10 images are 9.955 and 10,000 are 999.95."""
    weights = class_weights(np.array([10, 10_000]))
    assert weights[0] / weights[1] == pytest.approx(999.95 / 9.955, rel=1e-4)
    assert (weights * [10, 10_000]).sum() / 10_010 == pytest.approx(1.0)


def test_classes_of_equal_size_weigh_1_and_empty_ones_nothing():
    assert class_weights(np.array([7, 7, 0, 7])).tolist() == pytest.approx([1, 1, 0, 1])


@given(st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(any), st.integers(0, 2**40), st.integers(0, 500))
def test_an_order_is_fair_complete_and_the_same_again(counts, seed, epoch):
    labels = labels_of(*counts)
    weights = class_weights(np.array(counts))
    order = order_of(labels, weights, seed, epoch)
    assert np.array_equal(order, order_of(labels, weights, seed, epoch))
    assert len(order) == len(labels)
    wanted = weights * counts * len(labels) / (weights * counts).sum()
    drawn = np.bincount(np.array(labels)[order], minlength=len(counts))
    assert np.abs(drawn - wanted).max() < 1 + 1e-6  # rounded up or down
    for label in range(len(counts)):
        times = [np.count_nonzero(order == index) for index, own in enumerate(labels) if own == label]
        assert not times or max(times) - min(times) <= 1  # none twice before all came


def test_epochs_differ_and_a_class_gets_its_share_on_average():
    labels, weights = labels_of(90, 10), class_weights(np.array([90, 10]))
    orders = [order_of(labels, weights, 0, epoch) for epoch in range(50)]
    assert not np.array_equal(orders[0], orders[1])
    share = np.mean([np.count_nonzero(order >= 90) for order in orders])
    assert share == pytest.approx(100 * weights[1] * 10 / 100, abs=0.3)
    assert 47 < share < 53  # about half, although one image in ten is of this class


def test_batches_take_that_order_and_then_know_every_image_by_its_index():
    samples = [Sample(Path(f"{index}.png"), label) for index, label in enumerate(labels_of(30, 2))]
    weights = class_weights(class_counts(samples, ("a", "b")))
    batches = Batches(samples, Preprocessing(), 8, shuffle=True, seed=5, class_weights=weights)
    seen = collections.Counter(samples[index].label for index in batches.order(3))
    assert 14 <= seen[1] <= 18
    assert np.array_equal(batches.order(3), batches.order(3))
    assert not np.array_equal(batches.order(3), batches.order(4))


def test_parts_that_are_read_by_themselves_keep_their_images():
    labels = np.array(labels_of(12, 4))
    shuffled = np.random.default_rng(1).permutation(16)
    found = balanced(shuffled, (0, 10), labels, class_weights(np.array([12, 4])), np.random.default_rng(0))
    assert len(found) == 16
    assert set(found[:10]) <= set(shuffled[:10])
    assert set(found[10:]) <= set(shuffled[10:])


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_outside_the_classes_is_named(label):
    samples = [Sample(Path("a.png"), 0), Sample(Path("b.png"), label)]
    with pytest.raises(DataError, match=rf"b.png: has label {label}, but there are 3 classes \(0 to 2\)"):
        class_counts(samples, ("x", "y", "z"))
