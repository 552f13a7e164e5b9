"""Which blocks are found to repeat, and what is put in where."""

import torch
from torch import nn
from torch.nn import functional

from tests.modules.nets import conv_norm, image
from triscale import scale_module, scaling_report
from triscale.modules.surgery import put_after, take_out


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = conv_norm(channels, channels), conv_norm(channels, channels)

    def forward(self, x):
        return x + self.second(self.first(x))


class Wrapped(nn.Module):
    """A stem, a container of blocks, a classifier."""

    def __init__(self, body):
        super().__init__()
        self.stem, self.body, self.head = conv_norm(3, 16, stride=4), body, nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def stages(module, depth=1.5):
    made = scale_module(module, image(), depth=depth)
    found = scaling_report(made).stages
    return made, [(stage.where, stage.before, stage.after) for stage in found]


class Named(nn.Module):
    """Goes through its children, whatever they are called (as timm's RegNet does)."""

    def __init__(self):
        super().__init__()
        for number in (1, 2, 3):
            self.add_module(f"b{number}", Block(16))

    def forward(self, x):
        for block in self.children():
            x = block(x)
        return x


def test_a_class_that_goes_through_its_children_is_a_stage():
    made, found = stages(Wrapped(Named()))
    assert found == [("body.b1..b3", 3, 5)]
    assert [name for name, _ in made.body.named_children()] == ["b1", "b2", "b3", "b4", "b5"]


def test_a_class_that_names_its_children_is_none():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = Block(16), Block(16)

        def forward(self, x):
            return self.two(self.one(x))

    made, found = stages(Wrapped(Fixed()), depth=2.0)
    # No block can stand behind `two`; what repeats is inside of it, in nothing that goes through its children either.
    assert found == []
    assert "depth changes nothing" in str(scaling_report(made))


def test_a_list_that_is_indexed_is_not_deepened_and_says_so_and_others_still_are():
    class Indexed(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(16), Block(16)])
            self.after = nn.Sequential(Block(16), Block(16))

        def forward(self, x):
            first, second = self.blocks
            return self.after(second(first(x)))

    made, found = stages(Wrapped(Indexed()))
    assert found == [("body.blocks.0..1", 2, 2), ("body.after.0..1", 2, 3)]
    assert [stage.fixed_because for stage in scaling_report(made).stages] == [
        "the code calls its blocks by number or by name, not all that there are",
        "",
    ]


def test_blocks_of_several_layers_in_one_flat_sequence_are_found():
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())]
    made, found = stages(Wrapped(nn.Sequential(*layers, nn.MaxPool2d(2))))
    assert found == [("body.0..8", 3, 5)]
    assert [type(layer).__name__ for layer in made.body] == ["Conv2d", "BatchNorm2d", "ReLU"] * 5 + ["MaxPool2d"]


def test_the_outer_of_blocks_in_blocks_repeats():
    body = nn.Sequential(*[nn.Sequential(conv_norm(16, 16), conv_norm(16, 16)) for _ in range(3)])
    made, found = stages(Wrapped(body))
    assert found == [("body.0..2", 3, 5)]
    assert [len(block) for block in made.body] == [2] * 5


def test_a_block_that_shares_a_weight_is_not_repeated():
    module = Wrapped(nn.Sequential(Block(16), Block(16)))
    module.body[1].first[0].weight = module.body[0].first[0].weight
    report = scaling_report(scale_module(module, image(), depth=2.0))
    assert report.stages[0].fixed_because == "its last block shares body.1.first.0.weight with the rest of the module"


def test_new_blocks_run_between_those_before_and_those_behind():
    made, _ = stages(Wrapped(nn.Sequential(Block(16), Block(16), conv_norm(16, 16, 1), nn.Dropout(0.1))))
    order = []
    for name, layer in made.body.named_children():
        layer.register_forward_hook(lambda *_, name=name: order.append(name))
    made(image(batch=2))
    assert order == ["0", "1", "2", "3", "4"]
    assert [type(layer).__name__ for layer in made.body] == ["Block", "Block", "Block", "Sequential", "Dropout"]


def test_children_are_put_in_and_taken_out_in_order():
    row = nn.Sequential(nn.ReLU(), nn.Tanh())
    assert put_after(row, "0", [nn.Sigmoid()]) == ["1"]
    assert [(name, type(layer)) for name, layer in row.named_children()] == [
        ("0", nn.ReLU), ("1", nn.Sigmoid), ("2", nn.Tanh)
    ]  # fmt: skip
    take_out(row, ["0"])
    assert torch.equal(row(torch.ones(1)), torch.tanh(functional.sigmoid(torch.ones(1))))
    named = nn.ModuleDict({"b7": nn.ReLU(), "b8": nn.ReLU(), "last": nn.Tanh()})
    assert put_after(named, "b7", [nn.Sigmoid()]) == ["b9"]
    assert put_after(named, "last", [nn.Sigmoid()]) == ["last_2"]
    assert list(named) == ["b7", "b9", "b8", "last", "last_2"]
