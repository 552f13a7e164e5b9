"""Parts that are computed again in the backward pass: the same to the last bit, in less memory."""

import copy

import pytest
import torch
from torch import nn

from training.tiny import tiny_model
from triscale.errors import ModuleError
from triscale.models.create import create_model
from triscale.models.recompute import recomputing, segments
from triscale.spec.families import network
from triscale.training.ema import AveragedModel


class Residual(nn.Module):
    """A block of somebody else's: dropout, BatchNorm, a residual."""

    def __init__(self, inplace=False):
        super().__init__()
        self.first = nn.ReLU(inplace)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)

    def forward(self, x):
        return x + self.drop(self.norm(self.conv(self.first(x))))


class Listed(nn.Module):
    """Keeps its blocks in a list that it calls itself, and a stem in an nn.Sequential of plain layers."""

    def __init__(self, inplace=False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.blocks = nn.ModuleList(Residual(inplace) for _ in range(3))
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.last(x.mean((2, 3)))


def one_step(model, seed=7):
    """Gradients, statistics and the loss of a step whose random numbers come from a seed."""
    torch.manual_seed(seed)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    loss = nn.functional.cross_entropy(model(images), torch.arange(8) % 3)
    loss.backward()
    after = torch.rand(3)  # the random numbers that follow are not touched either
    gradients = {name: p.grad for name, p in model.named_parameters()}
    return {"loss": loss.detach(), "after": after, **gradients, **dict(model.named_buffers())}


def networks():
    yield "tiny", tiny_model().train()
    frozen = tiny_model().train()
    frozen.stages[1].eval()
    yield "tiny, a stage with frozen statistics", frozen
    torch.manual_seed(0)
    yield "list", Listed().train()


@pytest.mark.parametrize("by", ["block", "stage"])
@pytest.mark.parametrize(("name", "model"), list(networks()), ids=lambda each: each if isinstance(each, str) else "")
def test_gradients_statistics_and_random_numbers_are_the_same_to_the_last_bit(name, model, by):
    plain, again = copy.deepcopy(model), copy.deepcopy(model)
    expected = one_step(plain)
    with recomputing(again, by) as parts:
        found = one_step(again)
    assert parts >= 3
    assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
    counted = [value.item() for key, value in again.named_buffers() if key.endswith("num_batches_tracked")]
    assert set(counted) <= {0, 1}  # noted once, not twice; 0 where frozen
    assert 1 in counted


def kept_bytes(model, images):
    """Bytes that autograd keeps for the backward pass beside the parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images)
    return sum(size for size, _ in kept.values())


def test_only_the_inputs_of_blocks_are_kept():
    model = create_model("efficientnet_b0", num_classes=3).train()
    images = torch.randn(2, 3, 64, 64)
    whole = kept_bytes(model, images)
    with recomputing(model, "stage"):
        stages = kept_bytes(model, images)
    with recomputing(model, "block"):
        blocks = kept_bytes(model, images)
    inputs = 4 * 2 * (3 * 64**2 + 32 * 32**2 + 16 * 32**2 + 24 * 2 * 16**2 + 40 * 2 * 8**2)  # the largest, by hand
    assert inputs < blocks < 1.5 * inputs < 0.12 * whole
    assert stages < blocks


def test_a_copy_computes_with_its_own_weights():
    model = tiny_model().train()
    images = torch.randn(2, 3, 32, 32)
    with recomputing(model, "block"):
        average = AveragedModel(model)
        expected = average.model(images)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        assert torch.equal(average.model(images), expected)
        copied = copy.deepcopy(model).train()
        copied(images).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    assert all(p.grad is not None for p in copied.parameters())


def test_behind_the_block_the_model_is_as_before():
    model = tiny_model()
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with recomputing(model, "block"):
        assert "forward" in vars(model.stages[0][0])
        assert set(model.state_dict()) == set(tiny_model().state_dict())
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


def test_which_parts_are_computed_again():
    b0 = create_model(network("efficientnet_b0"))
    assert len(segments(b0, "block")) == 1 + 16
    assert list(segments(b0, "stage")) == ["stem", *(f"stages.{n}" for n in range(7))]
    assert list(segments(Listed(), "block")) == ["blocks.0", "blocks.1", "blocks.2"]
    assert list(segments(Listed(), "stage")) == ["blocks.0", "blocks.1", "blocks.2"]  # a list has no call of its own
    staged = nn.Sequential(*(nn.Sequential(Residual(), Residual()) for _ in range(2)), nn.Flatten())
    assert list(segments(staged, "block")) == ["0.0", "0.1", "1.0", "1.1"]
    assert list(segments(staged, "stage")) == ["0", "1"]
    assert segments(b0, "none") == {}


def test_a_block_that_writes_into_its_input_is_refused_with_its_name():
    model = Listed(inplace=True).train()
    with (
        recomputing(model, "block"),
        pytest.raises(ModuleError, match=r"blocks\.0: Residual writes into its own input"),
    ):
        model(torch.randn(2, 3, 16, 16))


def test_a_module_without_blocks_is_refused():
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    with pytest.raises(ModuleError, match="no blocks were found"), recomputing(plain, "block"):
        pass


def test_inference_does_not_notice():
    model = tiny_model().eval()
    images = torch.randn(2, 3, 32, 32)
    expected = model(images)
    with recomputing(model, "block"), torch.inference_mode():
        assert torch.equal(model(images), expected)
