"""Training on a GPU. Without one every test here skips; `make test-gpu` runs them."""

import dataclasses

import pytest
import torch

from training.tiny import tiny_images, tiny_model, train_tiny
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.device_augment import DeviceAugment
from triscale.models.recompute import recomputing
from triscale.spec.preprocessing import Preprocessing
from triscale.training.batch_size import choose_batch
from triscale.training.compiled import Compiled
from triscale.training.evaluate import place
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.progress import SilentProgress
from triscale.training.recipe import Recipe
from triscale.training.run import read_log
from triscale.training.scaling import LossScale
from triscale.training.step import Stepper

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
]

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(10) % 3


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"))


def losses(steps=6, compiled=False, device="cuda", **settings):
    """The losses of some steps on the same ten images, without anything random."""
    recipe = Recipe(
        **{"optimiser": "sgd", "batch_size": 10, "epochs": 5, "dropout": 0.0, "drop_connect": 0.0} | settings
    )
    model = tiny_model().to(device, memory_format=torch.channels_last).train()
    model.regularise(recipe.dropout, recipe.drop_connect)
    plan = plan_of(recipe, 20)
    optimiser = make_optimiser(model, recipe.optimiser, plan.learning_rate, recipe.momentum, 0.0)
    network = Compiled(model, lambda line: None) if compiled else None
    scale = LossScale() if recipe.precision == "fp16" else None
    step = Stepper(model, Supervised(), optimiser, recipe, plan, 3, network, scale)
    with recomputing(model, recipe.checkpoint_activations):
        return [step(number, place(IMAGES, model), LABELS, ["a"] * 10).loss for number in range(steps)]


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({}, 1e-2),
        ({"accumulate": 1, "checkpoint_activations": "block"}, 1e-2),
        ({"precision": "bf16"}, 0.1),
        ({"precision": "fp16"}, 0.05),
    ],
    ids=["fp32", "recomputed", "bf16", "fp16"],
)
def test_a_gpu_takes_the_steps_of_a_cpu(settings, tolerance):
    assert losses(**settings) == pytest.approx(losses(device="cpu"), rel=tolerance)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_steps_are_those_that_are_not(precision):
    found = losses(compiled=True, precision=precision)
    assert found == pytest.approx(losses(precision=precision), rel=0.1 if precision == "bf16" else 1e-2)


def test_recomputing_takes_less_memory():
    def peak(by):
        model = tiny_model().cuda().train()
        some = torch.randn(64, 3, 128, 128, device="cuda")
        with recomputing(model, by):
            model(some).sum().backward()  # the libraries take their working memory
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            model(some).sum().backward()
            return torch.cuda.max_memory_allocated() - before

    assert peak("block") < 0.8 * peak("none")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_training_learns_and_resumes(images, tmp_path, precision):
    class StopAt(SilentProgress):
        left = 14

        def advance(self, steps=1, detail=""):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_tiny(images, tmp_path / "run", tiny_model().cuda(), StopAt(), precision=precision, checkpoint_steps=4)
    result = train_tiny(images, tmp_path / "run", tiny_model().cuda(), precision=precision, checkpoint_steps=4)
    assert result.val.top1 >= 0.9
    assert [line["step"] for line in read_log(tmp_path / "run") if line["event"] == "resumed"] == [12]
    assert next(p for p in result.model.parameters()).is_cuda


def test_batch_auto_chooses_what_fits_the_gpu(images):
    recipe = Recipe(batch_size=8, epochs=1)
    choice = choose_batch(tiny_model().cuda(), read_dataset(images), recipe, lambda line: None)
    assert dataclasses.replace(choice.recipe, accumulate=1) == recipe
    assert choice.need <= 0.92 * choice.room


VARIED = Augmentation(
    crop_area=(0.6, 1.0), flip_vertical=0.3, autoaugment=True, randaugment_layers=2, randaugment_magnitude=9, erase=0.3
)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_gpu_augments_as_a_cpu_does(layout):
    dice = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (80, 3, 6, 7), generator=dice).float()
    images = torch.nn.functional.interpolate(coarse, (48, 56), mode="bilinear").to(torch.uint8)
    images = images.contiguous(memory_format=layout)
    finish = DeviceAugment(VARIED, Preprocessing(size=(48, 56)), 1)
    on_cpu = finish(images, 2, torch.arange(80))
    on_gpu = finish(images.cuda(), 2, torch.arange(80))
    assert on_gpu.is_cuda
    assert on_gpu.is_contiguous(memory_format=layout)
    apart = (on_gpu.cpu() - on_cpu).abs()
    assert (apart > 1e-4).double().mean() < 0.01  # a level of 256, which a later table may make more of
    assert apart.mean() < 1e-3


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_training_that_augments_on_the_gpu_learns(images, tmp_path, deterministic):
    settings = {"augmentation": VARIED, "augment_on": "device", "deterministic": deterministic, "epochs": 12}
    result = train_tiny(images, tmp_path / "one", tiny_model().cuda(), **settings)
    assert result.val.top1 >= 0.8
    if deterministic:
        train_tiny(images, tmp_path / "two", tiny_model().cuda(), **settings)
        one, two = ((tmp_path / each / "model.safetensors").read_bytes() for each in ("one", "two"))
        assert one == two
