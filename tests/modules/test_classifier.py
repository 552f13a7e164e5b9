"""Another number of classes for a module that does not ask for one."""

import pytest
import torch
from torch import nn

from tests.modules.user_code import images
from triscale.errors import SpecError
from triscale.modules.classifier import last_layer, with_outputs


class Features(nn.Module):
    """A convolution and an average; `last` makes 10 outputs of 4 channels."""

    def __init__(self, last, after=None):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), last
        self.after = after or nn.Identity()

    def forward(self, x):
        return self.after(self.last(self.conv(x).mean((2, 3), keepdim=isinstance(self.last, nn.Conv2d)))).flatten(1)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (nn.Linear(4, 10), nn.Linear),
        (nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 10, bias=False)), nn.Linear),
        (nn.Conv2d(4, 10, 1), nn.Conv2d),
    ],
)
def test_the_layer_that_makes_the_output_is_replaced(last, kind):
    module = Features(last)
    made, path = with_outputs(module, images(), 3, "my.py:net")
    assert path == ("last.2" if isinstance(last, nn.Sequential) else "last")
    assert made(images()).shape == (2, 3)
    fresh = made.get_submodule(path)
    assert type(fresh) is kind
    assert (fresh.bias is None) == isinstance(last, nn.Sequential)
    assert made.training


def test_the_layer_that_makes_the_output_is_found_by_its_path():
    module = Features(nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 10)))
    assert last_layer(module, images(), "my.py:net") == "last.2"
    assert last_layer(Features(nn.Conv2d(4, 10, 1)), images(), "my.py:net") == "last"
    with pytest.raises(SpecError, match=r"my.py:net: gives 4 outputs, but none of its linear layers has so many"):
        last_layer(Features(nn.Identity()), images(), "my.py:net")


def test_what_has_the_classes_already_is_left_alone():
    module = Features(nn.Linear(4, 10))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    assert with_outputs(module, images(), 10, "my.py:net") == (module, "")
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


class Cosine(nn.Linear):
    """A linear layer that does something of its own."""


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(10, 10)

    def forward(self, x):
        return self.fc(self.fc(x))


@pytest.mark.parametrize(
    ("last", "after"),
    [
        (Cosine(4, 10), None),
        (nn.Sequential(nn.Linear(4, 10), Twice()), None),
        (nn.Linear(4, 10), nn.BatchNorm1d(10)),
        (nn.Linear(4, 20), nn.GLU()),
    ],
)
def test_where_no_layer_can_be_replaced_the_module_is_left_and_the_factory_must_take_it(last, after):
    module = Features(last, after)
    before = [(path, id(each)) for path, each in module.named_modules()]
    with pytest.raises(SpecError, match=r"my.py:net: gives 10 outputs instead of 3.*give the factory a num_classes"):
        with_outputs(module, images(), 3, "my.py:net")
    assert [(path, id(each)) for path, each in module.named_modules()] == before
