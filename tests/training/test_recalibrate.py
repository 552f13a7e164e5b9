"""BatchNorm statistics computed anew, against the mean and variance of what a layer reads."""

import pytest
import torch

from training.forks import Forks
from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.data.dataset import read_dataset
from triscale.data.transforms import load as load_image
from triscale.models.files import load
from triscale.training.plan import plan_of, recalibrating_batches
from triscale.training.prepare import norms_of
from triscale.training.recalibrate import recalibrate
from triscale.training.recipe import Recipe
from triscale.training.run import read_log


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def samples(images):
    return read_dataset(images).train


def statistics(model):
    return [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms_of(model)]


def test_the_first_norm_gets_the_mean_of_what_it_reads_over_all_images(samples):
    model, recipe = tiny_model(), Recipe(batch_size=72)
    assert recalibrate([model], samples, recipe) == 72
    seen = torch.stack([load_image(each.path, model.preprocessing) for each in samples])
    with torch.no_grad():
        read = model.stem[0].conv(seen)
    norm = norms_of(model)[0]
    torch.testing.assert_close(norm.running_mean, read.mean((0, 2, 3)), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(norm.running_var, read.var((0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_all_batches_count_alike(samples):
    """Three batches of 24 have the mean of 72, where a running average would forget the first."""
    one, three = tiny_model(), tiny_model()
    recalibrate([one], samples, Recipe(batch_size=72))
    assert recalibrate([three], samples, Recipe(batch_size=24)) == 72
    torch.testing.assert_close(norms_of(one)[0].running_mean, norms_of(three)[0].running_mean, atol=1e-5, rtol=1e-4)


def test_what_the_statistics_were_does_not_matter_and_nothing_else_changes(samples):
    model, other = tiny_model(), tiny_model()
    for norm in norms_of(other):
        norm.running_mean.fill_(7)
        norm.running_var.fill_(9)
        norm.num_batches_tracked.fill_(100)
    before = [p.clone() for p in model.parameters()]
    other.train()
    recalibrate([model, other], samples, Recipe(batch_size=16))
    assert all(
        torch.equal(a, b)
        for one, two in zip(statistics(model), statistics(other), strict=True)
        for a, b in zip(one, two, strict=True)
    )
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert {norm.momentum for norm in norms_of(model)} == {model.network.numerics.momentum}
    assert other.training
    assert all(each.training for each in other.modules())


def test_frozen_parts_keep_their_statistics(samples):
    model = tiny_model()
    before = statistics(model)
    recalibrate([model], samples, Recipe(freeze=("stem", "stages.1")))
    frozen = {id(norm) for part in (model.stem, model.stages[1]) for norm in norms_of(part)}
    for norm, (mean, variance) in zip(norms_of(model), before, strict=True):
        kept = torch.equal(norm.running_mean, mean) and torch.equal(norm.running_var, variance)
        assert kept == (id(norm) in frozen)
    assert len(frozen) == 4


@pytest.mark.parametrize(
    ("batch", "wanted", "images", "batches"),
    [(64, 2048, 5000, 32), (64, 2048, 100, 1), (64, 10, 5000, 1), (8, 8, 4, 1)],
)
def test_it_looks_at_whole_batches_and_at_least_one(batch, wanted, images, batches):
    assert recalibrating_batches(Recipe(batch_size=batch, norm_images=wanted), images) == batches


def test_how_many_images_is_said():
    plan = plan_of(Recipe(norms="recalibrate", batch_size=64), 5000)
    assert "BatchNorm statistics of what is evaluated and saved: anew over 2,048 training images" in plan.notes


def test_what_is_saved_has_the_statistics_of_its_own_weights(images, samples, tmp_path):
    train_tiny(images, tmp_path / "run", norms="recalibrate", epochs=2)
    saved = load(tmp_path / "run" / "model.safetensors").to(memory_format=torch.channels_last)  # as it trained
    expected = statistics(saved)
    recalibrate([saved], samples, Recipe(batch_size=8))
    for (mean, variance), norm in zip(expected, norms_of(saved), strict=True):
        assert torch.equal(mean, norm.running_mean)
        assert torch.equal(variance, norm.running_var)


def test_without_it_the_statistics_are_other_ones(images, samples, tmp_path):
    train_tiny(images, tmp_path / "run", epochs=2)
    saved = load(tmp_path / "run" / "model.safetensors")
    mean = norms_of(saved)[0].running_mean.clone()
    recalibrate([saved], samples, Recipe(batch_size=8))
    assert not torch.equal(mean, norms_of(saved)[0].running_mean)


def test_killed_while_recalibrating_it_ends_the_same(images, tmp_path):
    code = """
import os, signal
import triscale.training.recalibrate as module
run, calls = module._run, []
def dying(models, batches, after):
    images = run(models, batches, after)
    calls.append(1)
    if len(calls) == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    return images
module._run = dying
train_tiny({images!r}, {folder!r}, norms="recalibrate", checkpoint_steps=4)
"""
    with Forks() as forks:
        given = {"images": str(images), "folder": str(tmp_path / "killed")}
        assert forks.run(code.format(at=2, **given))[0] == -9
        assert forks.run(code.format(at=0, **given)) == (0, "")
    train_tiny(images, tmp_path / "undisturbed", norms="recalibrate", checkpoint_steps=4)
    one, two = (tmp_path / name / "model.safetensors" for name in ("killed", "undisturbed"))
    assert one.read_bytes() == two.read_bytes()
    assert [line["step"] for line in read_log(tmp_path / "killed") if line["event"] == "resumed"] == [16]
