"""A detector trains with all that classification has: it learns, resumes to the last bit, spreads, and names faults."""

import json
import signal
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from training.detection.tiny import tiny_model, tiny_set, train_tiny
from training.test_resume import StopAt
from training.tiny import tiny_model as tiny_network_model
from triscale.data.augment import Augmentation
from triscale.data.detection.augment import BoxAugmentation
from triscale.data.detection.dataset import BoxLabel
from triscale.detection.detector import DetectorNet
from triscale.detection.files import load
from triscale.errors import TrainingError
from triscale.training.batch_size import train_with_what_fits
from triscale.training.detection.task import BoxTask
from triscale.training.distillation import Distillation
from triscale.training.progress import SilentProgress
from triscale.training.progressive import Progressive
from triscale.training.recipe import Recipe
from triscale.training.run import RunFolder, read_log, read_run

LEARNING = {"epochs": 30, "learning_rate": 0.1, "augmentation": BoxAugmentation(scale=(1.0, 1.0), flip=0.5)}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_set(tmp_path_factory.mktemp("set"))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def epochs(folder):
    return [line for line in read_log(folder) if line["event"] == "epoch"]


def test_it_learns_and_leaves_a_detector_with_its_figures(images, tmp_path):
    dataset = replace(images, test=images.train[:8])
    result = train_tiny(dataset, tmp_path / "run", **LEARNING)
    assert result.val.score >= 0.15 and result.val.figures["map50"] >= 0.4
    first = epochs(tmp_path / "run")[0]
    assert first["raw"]["map50"] < 0.2
    assert set(first["train"]) == {"loss", "class_loss", "box_loss", "positives"}
    assert first["train"]["class_loss"] + first["train"]["box_loss"] == pytest.approx(first["train"]["loss"])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["split"], metrics["images"]) == ("test", 8)
    assert metrics["map50"] == result.test.figures["map50"] and metrics["val_map"] == result.val.score
    assert metrics["threshold"] == result.val.details.threshold  # chosen where the weights were
    assert result.test.details.threshold == result.val.details.threshold
    assert set(metrics["per_class"]) <= {"red", "blue"} and "ece" not in metrics
    evaluation = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert [each["name"] for each in evaluation["classes"]] == ["red", "blue"]
    shipped = load(tmp_path / "run" / "model.safetensors")
    assert isinstance(shipped, DetectorNet) and shipped.card.classes == ("red", "blue")
    assert result.calibration is None


def test_what_is_for_labels_alone_is_said_to_do_nothing(images):
    images = replace(images, train=tuple(each for each in images.train if each.boxes))
    assert BoxTask(images, Recipe(label_smoothing=0.0, augmentation=Augmentation(flip=0.0))).notes(None) == ()
    said = BoxTask(images, Recipe(augmentation=Augmentation(crop_area=(0.5, 1.0)))).notes(None)
    assert [line.split(" is for images with labels")[0] for line in said] == ["label_smoothing 0.1", "augmentation"]
    assert ["detection.loss.smoothing" in said[0], "detection.augmentation" in said[1]] == [True, True]


@pytest.mark.parametrize(("step", "number"), [(2, signal.SIGINT), (3, signal.SIGTERM), (8, signal.SIGINT)])
def test_stopped_and_called_again_it_ends_the_same(images, tmp_path, step, number):
    augmentation = BoxAugmentation(scale=(0.5, 1.5), shift=True, mosaic=0.5, colour_layers=1)
    train_tiny(images, tmp_path / "undisturbed", augmentation=augmentation)
    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", progress=StopAt(step, number), augmentation=augmentation)
    assert read_run(tmp_path / "run").state == "interrupted"
    torch.manual_seed(99)  # nothing may depend on what happened in between
    train_tiny(images, tmp_path / "run", augmentation=augmentation)
    assert weights(tmp_path / "run") == weights(tmp_path / "undisturbed")
    figures = [[(line["train"], line["ema"]) for line in epochs(tmp_path / name)] for name in ("run", "undisturbed")]
    assert figures[0] == figures[1]


def training(folder, run, size=1, more=""):
    """Code that trains on the images of `tiny_set` in some processes."""
    return f"""
from training.pairs import together
together('''
from pathlib import Path
from dataclasses import replace
from training.detection.tiny import *
dataset = replace(tiny_set(Path({str(folder)!r} + str(rank)), val=5), root="tiny")
train_tiny(dataset, {str(run)!r}, augmentation=SETTLED, **dict({more}))
''', {size})
"""


def last_tensors(run):
    return load_file(max((run / "checkpoints").glob("step-*.safetensors")))


def losses(run):
    return [line["loss"] for line in read_log(run) if line["event"] == "step"]


@pytest.mark.parametrize("more", ["batch_size=8", "batch_size=9, accumulate=2, norms='frozen'"])
def test_two_processes_do_what_one_does(tmp_path, forks, more):
    """Their positives differ; the loss is over those of the whole batch all the same."""
    given = f"{more}, optimiser='sgd', learning_rate=0.05, epochs=2"
    assert forks.run(training(tmp_path / "set", tmp_path / "one", 1, given)) == (0, "")
    assert forks.run(training(tmp_path / "set", tmp_path / "two", 2, given)) == (0, "")
    one, two = last_tensors(tmp_path / "one"), last_tensors(tmp_path / "two")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-3)
    apart = {k: float((one[k] - two[k]).abs().max()) for k in one if one[k].is_floating_point()}
    assert max(far for k, far in apart.items() if not k.startswith("optimiser.")) < 1e-4  # weights and statistics
    # Momentum is a sum of some ten gradients, in whose last digits the order of adding shows.
    momenta = [far / max(float(one[k].abs().max()), 1.0) for k, far in apart.items() if k.endswith("momentum_buffer")]
    assert max(momenta) < 1e-3
    first, other = epochs(tmp_path / "one")[-1], epochs(tmp_path / "two")[-1]
    assert other["train"]["positives"] == first["train"]["positives"]
    assert other["raw"]["loss"] == pytest.approx(first["raw"]["loss"], rel=1e-3)
    assert other["raw"]["map50"] == pytest.approx(first["raw"]["map50"], abs=0.02)


def test_killed_it_ends_the_same(tmp_path, forks):
    code = training(tmp_path / "set", tmp_path / "run", 1, "epochs=8, checkpoint_steps=2")
    assert forks.run(training(tmp_path / "set", tmp_path / "undisturbed", 1, "epochs=8, checkpoint_steps=2")) == (0, "")
    process = forks.begin(code)
    patience = time.monotonic() + 60
    while len(losses(tmp_path / "run") if (tmp_path / "run").exists() else ()) < 7 and time.monotonic() < patience:
        time.sleep(0.002)
    forks.kill(process)
    assert forks.end() == (-9, "")
    assert forks.run(code) == (0, "")
    assert weights(tmp_path / "run") == weights(tmp_path / "undisturbed")


def test_images_without_objects_and_whole_batches_of_them_train(tmp_path):
    dataset = tiny_set(tmp_path / "set", train=16, empty=1)  # none has an object
    some = tiny_set(tmp_path / "some", train=1, val=4, empty=2)
    result = train_tiny(
        replace(dataset, train=dataset.train[:15] + some.train, val=some.val), tmp_path / "run", epochs=2
    )
    assert torch.isfinite(torch.tensor([result.val.loss, *losses(tmp_path / "run")])).all()
    trained = epochs(tmp_path / "run")[0]["train"]
    assert 0 < trained["positives"] < 3  # an average over 16 images, of which one has an object


def test_a_value_that_is_not_finite_is_named_with_its_images(images, tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.box_head.final.weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(
        TrainingError, match=r"step 1 \(epoch 1, batch 1\): not finite, first in the weights of layer box_"
    ):
        train_tiny(images, tmp_path / "run", model)
    assert len(read_log(tmp_path / "run")[-1]["files"]) == 8


def test_what_is_for_labels_is_refused(images, tmp_path):
    with pytest.raises(
        TrainingError, match=r"Recipe.mixup 0.2 is for images with labels, and .* has boxes; leave it out"
    ):
        train_tiny(images, tmp_path / "run", mixup=0.2)
    with pytest.raises(TrainingError, match=r"Recipe.progressive.mixup \(0, 0.2\) is for images with labels"):
        train_tiny(images, tmp_path / "run", progressive=Progressive(stages=2, smallest=32, mixup=(0, 0.2)))
    with pytest.raises(TrainingError, match=r"Recipe.distillation is for images with labels, and"):
        train_tiny(images, tmp_path / "run", distillation=Distillation("teacher"))
    with pytest.raises(TrainingError, match="tiny tells 3 classes, the data has 2; make the model with num_classes=2"):
        train_tiny(images, tmp_path / "run", tiny_model(classes=3))
    with pytest.raises(TrainingError, match="tiny is no detector, and the data has boxes"):
        train_tiny(images, tmp_path / "run", tiny_network_model(classes=2))
    unknown = replace(images, val=(replace(images.val[0], boxes=(BoxLabel(1, 1, 9, 9, 2),)), *images.val[1:]))
    with pytest.raises(TrainingError, match=r"val000\.png: a box has class 2, and there are 2; a label is a position"):
        train_tiny(unknown, tmp_path / "run")
    empty = replace(images, val=tuple(replace(each, boxes=()) for each in images.val))
    with pytest.raises(TrainingError, match="none of its 8 val images has an object, so nothing could be judged"):
        train_tiny(empty, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_part_may_be_frozen_and_the_head_may_begin_alone(images, tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_tiny(images, tmp_path / "run", model, freeze=("backbone",), head_epochs=1, layer_decay=0.8, ema_decay=0.0)
    after = model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("backbone."))
    assert any(not torch.equal(after[name], before[name]) for name in before if name.startswith("pyramid."))


def test_pyramid_and_heads_may_train_alone_first(images, tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_tiny(images, tmp_path / "run", model, epochs=1, head_epochs=1, ema_decay=0.0)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in changed} == {"pyramid", "class_head", "box_head"}
    assert any("running_mean" in name for name in changed)


def test_statistics_may_be_computed_anew(images, tmp_path):
    result = train_tiny(images, tmp_path / "run", epochs=2, norms="recalibrate", norm_images=16)
    assert result.val.loss > 0


@pytest.mark.slow
def test_as_many_images_at_once_as_fit_are_found(images, tmp_path):
    said = []

    class Listening(SilentProgress):
        def say(self, line):
            said.append(line)

    with RunFolder.open(tmp_path / "run", "train", {}) as run:
        recipe = Recipe(epochs=1, batch_size=8)
        result = train_with_what_fits(tiny_model(), images, recipe, run, Listening())
    assert result.val.count == 8
    assert any(line.startswith("batch: 8 images at once need ") for line in said)
