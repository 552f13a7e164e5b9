"""Training from end to end, on a network and images small enough for seconds."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.errors import DataError, RunError, TrainingError
from triscale.models import files
from triscale.training.config import read_config
from triscale.training.loop import train
from triscale.training.progress import SilentProgress
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.run import RunFolder, read_log, read_run


class AtStep(SilentProgress):
    """Does something once so many steps were told, and keeps the lines."""

    def __init__(self, step=0, action=None):
        self.left, self.action, self.lines = step, action, []

    def advance(self, steps=1, detail=""):
        self.left -= 1
        if self.left == 0 and self.action is not None:
            self.action()

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), test=5)


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    progress = AtStep()
    return train_tiny(images, folder, progress=progress), folder, progress


def test_it_learns(trained):
    result, _, _ = trained
    assert result.val.top1 >= 0.9
    assert result.test.top1 >= 0.8
    assert result.epochs == 4
    assert not result.model.training


def test_the_folder_holds_what_was_promised(trained):
    result, folder, _ = trained
    names = {each.name for each in folder.iterdir() if not each.name.startswith(".")}
    assert names >= {"run.json", "config.toml", "log.jsonl", "metrics.json", "model.safetensors", "checkpoints"}
    assert read_run(folder).state == "done"
    assert read_run(folder).shipped == "model.safetensors"
    assert Recipe.from_table(read_config(folder / "config.toml")["recipe"]).epochs == 4
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(result.metrics))
    assert metrics["split"] == "test"
    assert metrics["top1"] == result.test.top1
    assert set(metrics["per_class"]) == {"apple", "bridge", "cloud"}
    assert metrics["params"] == sum(p.numel() for p in result.model.parameters())
    assert metrics["macs"] > 0


def test_the_shipped_file_gives_the_same_answers(trained):
    result, folder, _ = trained
    loaded = files.load(folder / "model.safetensors")
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded(x), result.model.to(memory_format=torch.contiguous_format)(x))
    assert loaded.card.classes == ("apple", "bridge", "cloud")
    assert loaded.card.metrics["top1"] == result.test.top1
    assert loaded.network.numerics.momentum == 0.01  # the recipe's 0.1 was for training only


def test_every_epoch_reports_raw_and_averaged_weights_and_the_wait_for_data(trained):
    result, folder, progress = trained
    epochs = [line for line in read_log(folder) if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4]
    for line in epochs:
        assert {"top1", "top5", "loss"} <= set(line["raw"]) & set(line["ema"])
        assert 0 <= line["data_wait"] <= 1
        assert line["bottleneck"] == ("data" if line["data_wait"] > 0.1 else "computing")
        assert line["images_per_second"] > 0
        assert math.isfinite(line["train"]["loss"])
    best = max(max(line["raw"]["top1"], line["ema"]["top1"]) for line in epochs)
    assert result.val.top1 == best
    assert sum(line["event"] == "step" for line in read_log(folder)) == 36
    assert any(line.startswith("learning rate") for line in progress.lines)
    assert any(line.startswith("epoch 4/4: loss") for line in progress.lines)


def test_curves_for_tensorboard_are_written(trained):
    pytest.importorskip("tensorboard")
    assert list((trained[1] / "tensorboard").glob("events.out.tfevents.*"))


def test_without_tensorboard_it_is_said_once_and_training_goes_on(images, tmp_path, monkeypatch):
    monkeypatch.setattr("triscale.training.metrics.importlib.util.find_spec", lambda name: None)
    progress = AtStep()
    train_tiny(images, tmp_path / "run", epochs=1, progress=progress)
    assert sum("pip install 'triscale[train]'" in line for line in progress.lines) == 1
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_done_run_is_not_trained_again(images, trained, tmp_path):
    _, folder, _ = trained
    before = (folder / "model.safetensors").read_bytes()
    progress = AtStep()
    result = train_tiny(images, folder, progress=progress)
    assert progress.left == 0  # no step was done
    assert result.val.top1 == trained[0].val.top1
    assert (folder / "model.safetensors").read_bytes() == before


def test_the_same_seed_gives_the_same_weights_and_another_others(images, trained, tmp_path):
    again = train_tiny(images, tmp_path / "again")
    other = train_tiny(images, tmp_path / "other", seed=1)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (trained[1] / "model.safetensors").read_bytes()
    assert any(not torch.equal(a, b) for a, b in zip(again.model.parameters(), other.model.parameters(), strict=True))


def test_other_settings_in_the_same_folder_are_refused(images, trained):
    with pytest.raises(RunError, match=r"recipe.seed was 0, is now 1"):
        train_tiny(images, trained[1], seed=1)


def test_poisoned_weights_stop_at_once_and_say_where(images, tmp_path):
    model = tiny_model()
    progress = AtStep(12, lambda: model.stages[1][0].expand.conv.weight.data.fill_(torch.nan))
    with pytest.raises(TrainingError) as caught:
        train_tiny(images, tmp_path / "run", model=model, progress=progress, checkpoint_steps=5)
    said = str(caught.value)
    assert "step 13 (epoch 2, batch 4): not finite, first in the weights of layer stages.1.0.expand.conv" in said
    assert "learning rate 0.0" in said
    assert ".png" in said
    assert "the last good state is the checkpoint of step 10" in said
    assert "\n" not in said
    assert read_run(tmp_path / "run").state == "failed"
    assert read_run(tmp_path / "run").error == said
    assert len(next(line for line in read_log(tmp_path / "run") if line["event"] == "not_finite")["files"]) == 8


def test_an_empty_validation_split_is_its_own_error(images, tmp_path):
    dataset = read_dataset(images / "train", val_share=0)
    with pytest.raises(TrainingError, match="has no validation images, so nothing could choose the best weights"):
        train(tiny_model(), dataset, Recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_of_other_classes_is_refused(images, tmp_path):
    with pytest.raises(TrainingError, match=r"tiny has 7 classes, the data has 3; make the model with num_classes=3"):
        train(tiny_model(classes=7), read_dataset(images), Recipe(), tmp_path / "run")


def test_a_validation_split_smaller_than_a_batch_works(tmp_path):
    images = tiny_images(tmp_path / "images", train=6, val=1)
    result = train_tiny(images, tmp_path / "run", batch_size=16, epochs=1)
    assert result.val.count == 3
    assert result.test is None
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["split"] == "val"


def test_a_batch_larger_than_the_set_is_the_set_and_said(images, tmp_path):
    progress = AtStep()
    result = train_tiny(images, tmp_path / "run", progress=progress, batch_size=100_000, epochs=2)
    assert (result.plan.batch_size, result.plan.steps_per_epoch) == (72, 1)
    assert "batch 72 instead of 100000: there are only 72 training images" in progress.lines


def test_a_label_outside_the_classes_stops_before_training(images, tmp_path):
    dataset = read_dataset(images)
    wrong = replace(dataset.val[0], label=3)
    for balance in ("none", "weights"):
        with pytest.raises(DataError, match=rf"{wrong.path.name}: has label 3, but there are 3 classes \(0 to 2\)"):
            train(tiny_model(), replace(dataset, val=(wrong,)), Recipe(balance=balance), tmp_path / balance)
        assert not (tmp_path / balance / "checkpoints").exists()


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_a_rare_class_is_balanced(tmp_path, balance):
    """24, 24 and 3 images count as 23.726 and 2.997: weights 0.04215 and 0.33367, times 51 / 3.0241 for a mean of 1."""
    images = tiny_images(tmp_path / "images")
    for path in sorted((images / "train" / "cloud").iterdir())[3:]:
        path.unlink()
    progress = AtStep()
    result = train_tiny(images, tmp_path / "run", progress=progress, balance=balance)
    said = "an image of 'apple' counts 0.711 times, the least, one of 'cloud' 5.63 times, the most"
    assert said in progress.lines
    assert result.val.per_class["cloud"] > 0.6


def test_mixed_images_learn_too(images, tmp_path):
    result = train_tiny(images, tmp_path / "run", mixup=0.2, cutmix=0.2)
    assert result.val.top1 > 0.8


def test_what_a_run_writes_reads_back_to_the_same_recipe(images, tmp_path):
    """All nested tables and every kind of value, also 0, False and what is None."""
    recipe = Recipe(
        epochs=1, batch_size=72, ema_decay=0.0, norm_momentum=0.0, mixup=0.1, seed=2**62, freeze=("stem",),
        augmentation=Augmentation(randaugment_layers=1), progressive=Progressive(smallest=16, randaugment=(1, 2.5)),
    )  # fmt: skip
    train(tiny_model(), read_dataset(images), recipe, tmp_path / "run")
    assert Recipe.from_table(read_config(tmp_path / "run" / "config.toml")["recipe"]) == recipe


def test_patience_ends_a_training_that_does_not_get_better(images, tmp_path):
    result = train_tiny(images, tmp_path / "run", learning_rate=1e-9, ema_decay=0.0, epochs=20, patience=2)
    assert result.epochs < 20
    assert result.epochs == result.best_epoch + 2
    assert result.source == "raw"


def test_best_average_and_stopping_never_see_the_test_split(images, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("triscale.training.labels.evaluate_all", recording(seen, "triscale.training.labels"))
    dataset = read_dataset(images)
    train_tiny(images, tmp_path / "run", epochs=2)
    assert seen == [len(dataset.val)] * 3 + [len(dataset.test)] * bool(dataset.test)  # two epochs, then what ships


def recording(seen, module):
    import importlib

    original = importlib.import_module(module).evaluate_all

    def evaluate_all(models, batches, *others):
        found = original(models, batches, *others)
        seen.append(found[0].count)
        return found

    return evaluate_all


def test_validation_images_that_give_no_finite_loss_never_become_the_best(images, tmp_path):
    model = tiny_model()

    def poison():  # statistics are only read in evaluation
        model.stem[0].norm.running_var.fill_(-1.0)

    progress = AtStep(36, poison)
    result = train_tiny(images, tmp_path / "run", model=model, progress=progress, ema_decay=0.0)
    assert result.best_epoch < 4
    assert np.isfinite(result.val.loss)


def test_a_held_folder_is_left_to_its_owner_to_finish(images, tmp_path):
    with RunFolder.open(tmp_path / "run", "fit", {}) as run:
        train(tiny_model(), read_dataset(images), Recipe(epochs=1, batch_size=32), run)
        assert run.record.state == "running"
        assert run.record.shipped == "model.safetensors"


@pytest.mark.parametrize("settings", [{"optimiser": "sgd"}, {"optimiser": "rmsprop_tf"}, {"precision": "bf16"}])
def test_other_optimisers_and_precisions_learn_too(images, tmp_path, settings):
    rates = {"sgd": 0.5, "rmsprop_tf": 0.05}
    rate = rates.get(settings.get("optimiser", ""), 0.05)
    result = train_tiny(images, tmp_path / "run", learning_rate=rate, channels_last=False, **settings)
    assert result.val.top1 > 0.6
