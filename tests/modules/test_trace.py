import torch
from torch import nn

from tests.modules.nets import conv_norm, image
from triscale import scale_module
from triscale.modules.trace import trace


class Regions(nn.Module):
    """Parts without gradients and under autocast, as fine-tuning code has them."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = conv_norm(3, 16), conv_norm(16, 16), nn.Linear(16, 4)

    def forward(self, x):
        with torch.no_grad():
            x = self.first(x)
        with torch.autocast("cpu", enabled=False):
            x = self.second(x.float())
        return self.head(x.mean((2, 3)))


def test_operations_have_the_path_of_their_module():
    calls = [(node.op, node.path) for node in trace(Regions(), image()).calls if node.shape and node.op != "to"]
    assert calls == [
        ("conv2d", "first.0"), ("batch_norm", "first.1"), ("relu", "first.2"),
        ("conv2d", "second.0"), ("batch_norm", "second.1"), ("relu", "second.2"),
        ("mean", "the module itself"), ("linear", "head"),
    ]  # fmt: skip


def test_regions_without_gradients_or_under_autocast_are_scaled_like_the_rest():
    made = scale_module(Regions(), image(), width=1.5)
    assert made.second[0].weight.shape == (24, 24, 3, 3)


def test_a_module_called_twice_has_two_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.convolution(self.convolution(x))

    first, second = trace(Twice(), image()).calls
    assert first.path == second.path == "convolution"
    assert first.calls != second.calls
