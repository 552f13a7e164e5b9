import pytest
import torch
from torch import nn

from tests.modules.nets import KINDS, Dense, Grouped, image, resnet
from triscale import module_cost, scale_module, scaling_report


def snapshot(module):
    """Everything that scaling might touch: values, flags, gradients and classes."""
    tensors = {key: (id(value), value.clone()) for key, value in module.state_dict(keep_vars=True).items()}
    return tensors, [(name, each.training, type(each)) for name, each in module.named_modules()]


def assert_untouched(module, before):
    tensors, modules = before
    now = module.state_dict(keep_vars=True)
    assert list(now) == list(tensors)
    assert all(id(now[key]) == known and torch.equal(now[key], value) for key, (known, value) in tensors.items())
    assert all(value.grad is None for value in module.parameters())
    assert [(name, each.training, type(each)) for name, each in module.named_modules()] == modules


def rule(channels, width, step):
    """round(width x channels) to the step, at least one step."""
    return max(step, int(width * channels / step + 0.5) * step)


def steps(channels):
    """8 where the channels divide by 8, else their largest power of two."""
    return next(step for step in (8, 4, 2, 1) if channels % step == 0)


# Children of the containers of blocks at depth 1.5: ceil(1.5 x length), where the length is not said otherwise in nets.
LENGTHS = {
    "resnet": {"layer1": 3, "layer2": 3, "layer3": 3, "layer4": 3},  # two blocks each
    "efficientnet": {"blocks.0": 1, "blocks.1": 3, "blocks.2": 3, "blocks.3": 5, "blocks.5": 6, "blocks.6": 1},
    "convnext": {"stages.0.blocks": 3, "stages.2.blocks": 9, "stages.3.blocks": 3},  # 2, 6, 2
    "mobilenetv3": {"blocks.0": 1, "blocks.1": 3, "blocks.2": 5, "blocks.3": 3, "blocks.4": 5},  # 1, 2, 3, 2, 3
    "regnet": {"s1": 1, "s2": 1, "s3": 6, "s4": 11},  # 1, 1, 4, 7
    "grouped": {"stages.0": 3, "stages.1": 5, "stages.2": 3},  # 2, 3, 2
    "vgg": {"features": 3 * 2 + 3 * 2 + 5 * 2 + 3},  # 2, 2, 3 convolutions with a ReLU each, and three pools
    "dense": {"blocks.0": 4, "blocks.1": 3},  # blocks that grow by concatenation never stand behind themselves
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_wider_and_deeper_by_the_rule_and_runs_both_ways(kind):
    module, example = KINDS[kind](), image()
    before = snapshot(module)
    made = scale_module(module, example, depth=1.5, width=1.3, recognise=False)
    assert_untouched(module, before)
    assert type(made) is type(module)
    assert made.training
    assert {path: len(list(made.get_submodule(path).children())) for path in LENGTHS[kind]} == LENGTHS[kind]
    assert_widths(module, made, 1.3)
    answer = made(image(batch=3, size=48))
    answer.sum().backward()
    assert answer.shape == (3, 10)
    assert [name for name, parameter in made.named_parameters() if parameter.grad is None] == []
    report = scaling_report(made)
    assert (report.before, report.after) == (module_cost(module, example), module_cost(made, example))
    assert report.after.macs > 1.3 * report.before.macs


def assert_widths(module, made, width):
    """Every convolution that both have is as wide as the rule says."""
    old = {name: each for name, each in module.named_modules() if isinstance(each, nn.Conv2d)}
    new = {name: each for name, each in made.named_modules() if isinstance(each, nn.Conv2d)}
    moving = "features."  # the numbers of a flat nn.Sequential, behind a block that was put in
    shared = {name for name in old.keys() & new.keys() if not name.startswith(moving)} or {"features.0", "features.2"}
    group_widths = {conv.in_channels // conv.groups for conv in old.values() if 1 < conv.groups < conv.in_channels}
    for name in shared:
        channels, own = old[name].out_channels, old[name].in_channels // old[name].groups
        if 1 < old[name].groups < old[name].in_channels:
            assert new[name].in_channels // new[name].groups == own
            assert new[name].out_channels == rule(channels, width, own)
        elif old[name].groups > 1:
            assert new[name].groups == new[name].in_channels == new[name].out_channels
        else:
            allowed = {steps(channels)} | {each for each in group_widths if channels % each == 0}
            assert new[name].out_channels in {rule(channels, width, step) for step in allowed}


def test_stages_that_cannot_be_deepened_say_why():
    stages = scaling_report(scale_module(KINDS["efficientnet"](), image(), depth=1.5, recognise=False)).stages
    assert [(stage.where, stage.before, stage.after) for stage in stages if stage.fixed_because] == [
        ("blocks.0.0", 1, 1),
        ("blocks.6.0", 1, 1),
    ]
    assert stages[0].fixed_because == "its only block changes the shape: there is none to repeat"
    dense = scaling_report(scale_module(Dense(), image(), depth=1.5))
    assert [(stage.where, stage.before, stage.after) for stage in dense.stages] == [
        ("blocks.0.0..1", 2, 2),
        ("blocks.1.0..2", 3, 3),
    ]
    assert dense.stages[0].fixed_because == "each of its blocks changes the shape: there is none to repeat"


def test_less_depth_drops_the_last_blocks_and_keeps_the_weights_of_the_others():
    module = resnet()
    made = scale_module(module, image(), depth=0.5, recognise=False)
    assert [len(made.get_submodule(f"layer{number}")) for number in (1, 2, 3, 4)] == [1, 1, 1, 1]
    assert torch.equal(made.layer4[0].conv1.weight, module.layer4[0].conv1.weight)
    assert scaling_report(made).new == ()


def test_only_what_changed_is_new():
    module = Grouped()
    made = scale_module(module, image(), depth=1.4)  # 2, 3, 2 blocks become 3, 5, 3
    new = scaling_report(made).new
    assert {".".join(name.split(".")[:3]) for name in new} == {"stages.0.2", "stages.1.3", "stages.1.4", "stages.2.2"}
    old = module.state_dict()
    assert all(torch.equal(value, old[name]) for name, value in made.state_dict().items() if name not in new)
