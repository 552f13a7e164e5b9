"""Mixup and CutMix: what is mixed, how much, and the same again from (seed, step)."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from triscale.errors import TrainingError
from triscale.training.mixing import Mixing, cutmix, mixup
from triscale.training.objective import Supervised


def batch(count=6, classes=4, size=(16, 12)):
    """Images of one number each, the image's own, and labels 0, 1, 2, 3, 0, 1."""
    images = torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, *size).clone()
    return images, torch.arange(count) % classes


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.5, cutmix=0.5)])
def test_the_same_seed_and_step_mix_the_same(mixing):
    images, labels = batch()
    torch.manual_seed(1)
    first = mixing(images, labels, 4, seed=3, step=7)
    torch.manual_seed(2)  # nothing may depend on what was drawn before
    again = mixing(images, labels, 4, seed=3, step=7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    for other in ({"seed": 4, "step": 7}, {"seed": 3, "step": 8}):
        assert not torch.equal(mixing(images, labels, 4, **other)[1], first[1])


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.5, cutmix=0.5)])
@given(st.integers(1, 9), st.integers(0, 2**62), st.integers(0, 10**6))
def test_targets_say_how_much_of_each_class_is_in_the_image(mixing, count, seed, step):
    images, labels = batch(count, classes=count)
    mixed, targets = mixing(images, labels, count, seed, step)
    assert mixed.shape == images.shape
    assert targets.sum(1).numpy() == pytest.approx(1.0)
    # Pixels of image i are the number i, so the mean of an image is that of the numbers, weighed by their shares.
    assert mixed.mean(dim=(1, 2, 3)).numpy() == pytest.approx((targets @ torch.arange(float(count))).numpy(), abs=1e-4)


def test_mixup_keeps_the_larger_share_of_an_image_itself():
    images, labels = batch()
    targets = torch.nn.functional.one_hot(labels, 6).float()
    _, mixed = mixup(images, targets, 1.0, np.random.default_rng(0))
    assert (mixed.gather(1, labels[:, None]) >= 0.5).all()


def test_cutmix_replaces_one_rectangle_of_the_images_aspect():
    images, _ = batch(200, classes=200, size=(40, 20))
    mixed, targets = cutmix(images, torch.eye(200), 1.0, np.random.default_rng(0))
    shares = []
    for number, image in enumerate(mixed[:, 0]):
        foreign = image != number
        rows, columns = foreign.any(1).nonzero().flatten(), foreign.any(0).nonzero().flatten()
        if len(rows):
            assert foreign.sum() == len(rows) * len(columns)  # a rectangle, without holes
            assert len(rows) == rows[-1] - rows[0] + 1
        assert set(image.unique().tolist()) <= {number, (number + 1) % 200}
        assert targets[number, (number + 1) % 200] == pytest.approx(float(foreign.float().mean()), abs=1e-6)
        shares.append(float(foreign.float().mean()))
    assert 0.2 < np.mean(shares) < 0.5  # half on average, less what lies outside


def test_with_both_the_first_half_is_added_up_and_the_second_gets_rectangles():
    images, labels = batch(8, classes=8)
    mixed, _ = Mixing(mixup=1.0, cutmix=1.0)(images, labels, 8, seed=0, step=0)
    assert all(len(image.unique()) == 1 for image in mixed[:4])
    assert all(set(image.unique().tolist()) <= set(range(8)) for image in mixed[4:])
    assert mixed[:4].max() <= 3  # mixed among themselves
    assert mixed[4:].min() >= 4


def test_the_shares_of_mixup_are_those_of_a_beta_distribution():
    images, labels = batch(20_000, classes=2, size=(1, 1))
    drawn = mixup(images, torch.eye(2)[labels], 0.2, np.random.default_rng(0))[1].gather(1, labels[:, None]).flatten()
    # Beta(0.2, 0.2) has variance 1 / (4 (2 * 0.2 + 1)); folding at a half keeps the distance from it.
    assert float(((drawn - 0.5) ** 2).mean()) == pytest.approx(1 / (4 * 1.4), rel=0.02)


def test_nothing_is_mixed_without_alpha():
    images, labels = batch()
    same = Mixing()(images, labels, 4, seed=0, step=0)
    assert same[0] is images
    assert same[1] is labels


@pytest.mark.parametrize("mixing", [Mixing(mixup=0.4), Mixing(cutmix=1.0), Mixing(mixup=0.5, cutmix=0.5)])
def test_the_memory_layout_stays(mixing):
    images, labels = batch()
    images = images.to(memory_format=torch.channels_last)
    assert mixing(images, labels, 4, seed=0, step=0)[0].is_contiguous(memory_format=torch.channels_last)


def test_targets_of_another_number_of_classes_are_refused():
    with pytest.raises(TrainingError, match=r"a class number or 4 labels an image, got targets of shape \(6, 3\)"):
        Mixing(mixup=0.2)(batch()[0], torch.zeros(6, 3), 4, seed=0, step=0)


def test_the_loss_of_a_mixed_image_is_the_mixed_loss():
    """Cross-entropy is linear in the target: mixup's definition (https://arxiv.org/abs/1710.09412, section 2)."""
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

    def loss(targets):
        return Supervised()(lambda _: logits, torch.zeros(5), targets)[0]

    one, other = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([2, 2, 1, 1, 0])
    eye = torch.eye(3)
    assert float(loss(0.3 * eye[one] + 0.7 * eye[other])) == pytest.approx(
        float(0.3 * loss(one) + 0.7 * loss(other)), rel=1e-6
    )
