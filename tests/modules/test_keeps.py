"""What a scaled module keeps of the one that it was made of."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.modules.nets import VGG, Grouped, conv_norm, image
from triscale import module_cost, scale_module, scaling_report


class Shared(nn.Module):
    """A block that is called twice, and two linear layers that share their weight."""

    def __init__(self):
        super().__init__()
        self.stem, self.block = conv_norm(3, 16, stride=4), conv_norm(16, 16)
        self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(16, 16, bias=False), nn.Linear(16, 10)
        self.second.weight = self.first.weight

    def forward(self, x):
        x = self.block(self.block(self.stem(x))).mean((2, 3))
        return self.head(self.second(functional.relu(self.first(x))))


def test_a_module_called_twice_works_and_is_counted_twice():
    module = Shared()
    made = scale_module(module, image(), width=1.5)  # 16 channels become 24
    assert made.block[0].weight.shape == (24, 24, 3, 3)
    # 8x8 pixels: the stem once, the block twice, and three linear layers
    assert module_cost(made, image()).macs == 64 * 24 * (27 + 2 * 9 * 24) + 2 * 24 * 24 + 24 * 10
    # the shared weight once; a BatchNorm has two numbers for each channel
    convolutions = 24 * 27 + 24 * 24 * 9
    assert module_cost(made, image()).params == convolutions + 4 * 24 + 24 * 24 + 24 + 24 * 10 + 10
    assert scaling_report(made).after == module_cost(made, image())


def test_tied_weights_stay_tied():
    made = scale_module(Shared(), image(), width=2.0)
    assert made.first.weight is made.second.weight
    assert made.first.weight.shape == (32, 32)


def test_flags_frozen_parameters_types_layouts_and_hooks_are_kept():
    module = Grouped().to(memory_format=torch.channels_last)
    module.stages[0].eval()
    module.stem[0].weight.requires_grad_(False)
    seen = []
    module.head.register_forward_hook(lambda _module, _inputs, output: seen.append(output.shape))
    made = scale_module(module, image(), depth=1.5, width=1.25)
    assert [each.training for each in (made, made.stem, made.stages[0], made.stages[0][2], made.stages[1])] == [
        True, True, False, False, True
    ]  # fmt: skip
    assert [name for name, p in made.named_parameters() if not p.requires_grad] == ["stem.0.weight"]
    convolutions = [each.weight for each in made.modules() if isinstance(each, nn.Conv2d) and each.kernel_size[0] > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions)
    seen.clear()
    made(image(batch=2))
    assert seen == [(2, 10)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_type_of_numbers_is_kept(dtype):
    made = scale_module(VGG().to(dtype), image().to(dtype), depth=1.5, width=1.25)
    assert {parameter.dtype for parameter in made.parameters()} == {dtype}


def test_what_was_one_number_everywhere_is_that_number_again():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
            self.scale = nn.Parameter(torch.full((16, 1, 1), 1e-6))
            nn.init.zeros_(self.norm.weight)

        def forward(self, x):
            return x + self.scale * self.norm(self.convolution(x))

    module = nn.Sequential(conv_norm(3, 16), nn.Sequential(Residual(), Residual()), conv_norm(16, 8))
    made = scale_module(module, image(), depth=1.5, width=1.5)
    assert len(made[1]) == 3
    for block in made[1]:
        assert torch.equal(block.norm.weight, torch.zeros(24))
        assert torch.equal(block.scale, torch.full((24, 1, 1), 1e-6))
        assert torch.equal(block.norm.running_var, torch.ones(24))
        assert block.convolution.weight.std() > 0.01


def test_new_weights_are_spread_as_the_modules_own_initialisation_spread_them():
    torch.manual_seed(0)
    module = VGG()
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    made = scale_module(module, image(), depth=1.5, width=1.5)
    for layer in made.features:
        if isinstance(layer, nn.Conv2d) and layer.in_channels > 3:
            rule = (
                2 / (9 * layer.out_channels)
            ) ** 0.5  # He et al. 2015, https://arxiv.org/abs/1502.01852, section 2.2
            assert layer.weight.std().item() == pytest.approx(rule, rel=0.1)
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_a_trained_module_keeps_its_running_statistics_where_nothing_changed():
    module = Grouped()
    with torch.no_grad():
        for _ in range(3):
            module(image(batch=4, seed=1))
    made = scale_module(module, image(), depth=1.4)
    assert torch.equal(made.stages[1][0].reduce[1].running_var, module.stages[1][0].reduce[1].running_var)
    assert torch.equal(made.stages[1][3].reduce[1].running_var, torch.ones(48))  # a new block


def test_multipliers_of_one_give_an_equal_copy():
    module = VGG().eval()
    made = scale_module(module, image())
    assert made is not module
    assert not made.training
    assert torch.equal(made(image()), module(image()))
    assert scaling_report(made).new == ()


def test_the_callers_random_state_moves_only_by_what_is_initialised():
    torch.manual_seed(0)
    first = copy.deepcopy(scale_module(VGG(), image(), depth=1.0))
    state = torch.get_rng_state()
    torch.manual_seed(0)
    second = VGG()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.features[0].weight, second.features[0].weight)


def test_the_report_is_for_people_too_and_belongs_to_what_was_made():
    assert scaling_report(VGG()) is None
    lines = str(scaling_report(scale_module(VGG(), image(), depth=1.5, width=1.25))).splitlines()
    assert lines[0].startswith("depth x1.5, width x1.25: 0.1346 -> ")
    assert "16 -> 24, 32 -> 40, 64 -> 80, 96 -> 120" in lines[1]
    assert "stage features.0..3: 2 -> 3" in lines
    assert lines[-1].endswith("tensors are freshly initialised; train the module before it is used")


def test_a_group_norm_of_each_channel_alone_stays_one():
    norms = nn.Sequential(nn.Conv2d(3, 16, 1), nn.GroupNorm(16, 16), nn.Conv2d(16, 16, 1), nn.GroupNorm(1, 16))
    made = scale_module(nn.Sequential(norms, nn.Conv2d(16, 4, 1)), image(), width=1.5)
    assert (made[0][1].num_groups, made[0][1].num_channels) == (24, 24)
    assert (made[0][3].num_groups, made[0][3].num_channels) == (1, 24)


def test_a_layer_whose_weight_is_read_without_calling_it_says_its_new_numbers():
    class Autoencoder(nn.Module):
        """Decodes with the weight of its encoder."""

        def __init__(self):
            super().__init__()
            self.stem, self.inner = nn.Linear(8, 16), nn.Linear(16, 32, bias=False)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            hidden = functional.relu(functional.linear(self.stem(x), self.inner.weight))
            return self.head(functional.linear(hidden, self.inner.weight.t()))

    made = scale_module(Autoencoder(), torch.randn(1, 8), width=1.5)
    assert (made.inner.in_features, made.inner.out_features) == (24, 48)
    assert made.inner.weight.shape == (48, 24)


def test_a_factor_that_was_read_off_a_tensor_is_no_width():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 4, 1)

        def forward(self, x):
            x = self.stem(x).movedim(1, -1)
            return self.head((x * x.mean().item()).movedim(-1, 1))

    assert scale_module(Scaled(), image(), width=1.5).stem.out_channels == 24


def test_channels_that_meet_a_tensor_outside_of_the_state_are_kept_and_named():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.second, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 16, 1), nn.Conv2d(16, 4, 1)
            self.mask = torch.arange(16.0).reshape(16, 1, 1)

        def forward(self, x):
            return self.head(self.second(self.stem(x) * self.mask))

    made = scale_module(Masked(), image(), width=1.5)
    assert (made.stem.out_channels, made.second.out_channels) == (16, 24)
    assert scaling_report(made).notes == (
        "stem.weight and 1 others keep their channels: they meet a tensor that is neither parameter nor buffer",
    )
