"""Progressive learning: sizes and strengths of the stages, and a training that grows."""

import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import triscale.training.epochs as epochs
import triscale.training.labels as labelled
from training.tiny import tiny_images, train_tiny
from triscale.data.augment import Augmentation
from triscale.errors import TrainingError
from triscale.training.progress import SilentProgress
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.stage import stage_at


@pytest.mark.parametrize(
    ("growing", "full", "sizes"),
    [
        (Progressive(), (300, 300), [171, 214, 257, 300]),  # V2-S as released
        (Progressive(first="at"), (300, 300), [128, 185, 242, 300]),  # and as algorithm 1 has it
        (Progressive(stages=2, smallest=16), (32, 32), [24, 32]),
        (Progressive(stages=1), (300, 300), [300]),
        (Progressive(stages=3), (128, 128), [128, 128, 128]),  # nothing smaller than the smallest
        (Progressive(stages=2), (64, 64), [64, 64]),
    ],
)
def test_images_grow_to_the_full_size(growing, full, sizes):
    assert [growing.size(stage, full) for stage in range(growing.stages)] == [(side, side) for side in sizes]


def test_the_shorter_side_counts_and_the_aspect_stays():
    assert Progressive(stages=2, smallest=100).size(0, (200, 400)) == (150, 300)


def test_350_epochs_are_stages_of_87_or_88():
    found = [Progressive().stage(epoch, 350) for epoch in range(350)]
    assert [found.count(stage) for stage in range(4)] == [88, 87, 88, 87]  # table 6: 4 stages, about 87 epochs each


@given(
    st.integers(1, 12), st.integers(1, 60), st.sampled_from(["above", "at"]), st.integers(1, 400), st.integers(1, 400)
)
def test_stages_never_shrink_and_always_end_with_the_last(stages, count, first, smallest, full):
    growing = Progressive(stages=stages, smallest=smallest, first=first)
    found = [growing.stage(epoch, count) for epoch in range(count)]
    assert found == sorted(found)
    assert found[-1] == stages - 1
    assert len(set(found)) == min(stages, count)
    sides = [growing.size(stage, (full, full))[0] for stage in range(stages)]
    assert sides == sorted(sides)
    assert (sides[-1], min(sides) >= min(smallest, full)) == (full, True)


def test_every_strength_is_linear_from_the_first_stage_to_the_last():
    recipe = Recipe(
        progressive=Progressive(randaugment=(5, 20), mixup=(0, 0.3), dropout=(0.1, 0.4)),
        augmentation=Augmentation(randaugment_layers=2, randaugment_magnitude=9),
        cutmix=0.7,
    )
    stages = [stage_at(recipe, epoch, 4, (384, 384)) for epoch in range(4)]
    assert [stage.augmentation.randaugment_magnitude for stage in stages] == pytest.approx([5, 10, 15, 20])
    assert [stage.mixing.mixup for stage in stages] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [stage.dropout for stage in stages] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [stage.mixing.cutmix for stage in stages] == [0.7] * 4  # left as the recipe has it
    assert str(stages[1]) == (
        "stage 2 of 4: images of 256x256 pixels, RandAugment 10, mixup 0.1, CutMix 0.7, dropout 0.2"
    )


def test_without_it_there_is_one_stage():
    recipe = Recipe(mixup=0.2, dropout=0.3)
    assert {stage_at(recipe, epoch, 9, (64, 64)) for epoch in range(9)} == {stage_at(recipe, 0, 1, (64, 64))}


@pytest.mark.parametrize(
    ("field", "value"),
    [("stages", 0), ("smallest", 0), ("first", "below"), ("randaugment", (5, 31)), ("mixup", (-0.1, 0)),
     ("dropout", (0, 1.0)), ("cutmix", (float("nan"), 1))],
)  # fmt: skip
def test_impossible_stages_are_refused(field, value):
    with pytest.raises(TrainingError, match=f"Progressive.{field} must be "):
        Progressive(**{field: value})


class Listening(SilentProgress):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_a_training_grows_and_is_judged_at_the_full_size(tmp_path, monkeypatch):
    trained_at, judged_at, loaders, dropouts = [], [], [], []
    step, evaluate = epochs.Stepper.__call__, labelled.evaluate_all

    def stepping(self, number, images, labels, files):
        trained_at.append(tuple(images.shape[-2:]))
        dropouts.append(self.model.network.head.dropout)
        return step(self, number, images, labels, files)

    def evaluating(models, batches, *arguments):
        def seen():
            for batch in batches:
                judged_at.append(tuple(batch.images.shape[-2:]))
                yield batch

        return evaluate(models, seen(), *arguments)

    class Watched(labelled.Batches):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            if self.augmentation is not None:
                loaders.append(weakref.ref(self))

    monkeypatch.setattr(epochs.Stepper, "__call__", stepping)
    monkeypatch.setattr(labelled, "evaluate_all", evaluating)
    monkeypatch.setattr(labelled, "Batches", Watched)
    listening, folder = Listening(), tmp_path / "run"
    result = train_tiny(
        tiny_images(tmp_path / "images"), folder, progress=listening,
        progressive=Progressive(stages=2, smallest=16, dropout=(0.0, 0.2)),
    )  # fmt: skip
    assert trained_at == [(24, 24)] * 18 + [(32, 32)] * 18  # 4 epochs of 9 steps
    assert dropouts == [0.0] * 18 + [0.2] * 18
    assert set(judged_at) == {(32, 32)}
    assert result.model.preprocessing.size == (32, 32)
    assert [line for line in listening.lines if line.startswith("epoch") and "stage" in line] == [
        "epoch 1: stage 1 of 2: images of 24x24 pixels, dropout 0",
        "epoch 3: stage 2 of 2: images of 32x32 pixels, dropout 0.2",
    ]
    gc.collect()
    assert [loader() is None for loader in loaders] == [True, True]  # nothing keeps the images of a stage
