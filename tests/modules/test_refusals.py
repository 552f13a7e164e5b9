"""What cannot be scaled is refused in one line that names the place, before anything is returned."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests import peers
from tests.modules.nets import VGG, conv_norm, image
from triscale import scale_module
from triscale.errors import BudgetError, ModuleError


class Net(nn.Module):
    """A stem, something odd, and a classifier."""

    def __init__(self, odd):
        super().__init__()
        self.stem, self.odd, self.head = conv_norm(3, 16, stride=4), odd, nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.odd(self.stem(x)).mean((2, 3)))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.convolution, self.function = nn.Conv2d(16, 16, 3, padding=1), function

    def forward(self, x):
        return self.function(self.convolution(x))


def refusal(module, example=None, **scaling):
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises((ModuleError, BudgetError)) as caught:
        scale_module(module, image() if example is None else example, **(scaling or {"width": 1.5}))
    assert module.training
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def test_control_flow_on_values_is_named():
    message = refusal(Net(Function(lambda x: x if x.mean() > 0 else -x)))
    assert message.startswith("odd: ")
    assert "control flow depends on the values" in message


def test_a_reshape_for_one_image_is_found_by_the_second():
    message = refusal(Net(Function(lambda x: x.reshape(1, 16, 8, 8))))
    assert message.startswith("odd: runs on one image but not on two")


def test_a_reshape_that_mixes_images_is_found_by_the_shape_of_the_answer():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.head = conv_norm(3, 16, stride=4), nn.Linear(16, 10)

        def forward(self, x):
            return self.head(self.stem(x).mean((2, 3))).reshape(1, -1)

    assert "a reshape in it has a fixed number of images" in refusal(Mixing())


def test_an_integer_that_names_a_width_is_named_with_its_operation():
    assert refusal(Net(Function(lambda x: functional.pad(x[:, :12], (0, 0, 0, 0, 0, 4))))).startswith("odd: slice")
    assert refusal(Net(Function(lambda x: x + x.new_zeros(1, 16, 1, 1)))).startswith("odd: new_zeros")
    assert refusal(Net(Function(lambda x: torch.cat(torch.split(x, [4, 12], 1), 1)))).startswith("odd: split")


def test_a_reshape_that_splits_channels_is_named():
    def attend(x):
        heads = x.reshape(x.shape[0], 4, x.shape[1] // 4, -1)
        return (heads.softmax(1) * heads).reshape(x.shape)

    message = refusal(Net(Function(attend)))
    assert message.startswith("odd: reshape splits 16 channels into 4 x 4")


def test_a_parameter_off_the_traced_path_is_named():
    module = Net(nn.Identity())
    module.auxiliary = nn.Linear(16, 4)
    message = refusal(module)
    assert message.startswith("auxiliary.weight: the traced path never uses this parameter (and 1 others)")


def test_an_operation_without_a_rule_is_named():
    assert "odd: the operation fft_fft has no rule" in refusal(Net(Function(lambda x: torch.fft.fft(x, dim=1).real)))
    assert "takes one channel by its number" in refusal(Net(Function(lambda x: x * x[:, 3].unsqueeze(1))))


def test_a_buffer_that_differs_from_channel_to_channel_is_named():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.linspace(0.5, 1.5, 16).reshape(1, 16, 1, 1))

        def forward(self, x):
            return x * self.scale

    assert refusal(Net(Scaled())).startswith("odd.scale: is a buffer whose values differ from channel to channel")


def test_a_module_that_does_not_run_is_named():
    assert "odd: does not run on the example" in refusal(Net(Function(lambda x: x @ torch.zeros(3, 3))))
    assert "stem.0: does not run on the example" in refusal(Net(nn.Identity()), image(channels=4, size=32))


def test_what_is_no_module_or_no_tensor_is_refused():
    with pytest.raises(ModuleError, match=r"needs an nn\.Module, got str"):
        scale_module("resnet18", image())
    with pytest.raises(ModuleError, match=r"example_input must be a tensor with a batch dimension.* got list"):
        scale_module(VGG(), [1, 2, 3])
    with warnings.catch_warnings(), pytest.raises(ModuleError, match="is TorchScript"):
        warnings.simplefilter("ignore", DeprecationWarning)
        scale_module(torch.jit.trace(nn.Conv2d(3, 4, 1), image()), image())
    with pytest.raises(ModuleError, match="has lazy layers"):
        scale_module(nn.LazyConv2d(4, 1), image())
    lambdas = nn.Conv2d(3, 4, 1)
    lambdas.generator = (number for number in range(3))
    with pytest.raises(ModuleError, match="cannot be copied"):
        scale_module(lambdas, image())


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "2", None])
def test_an_impossible_multiplier_is_refused(value):
    assert "width must be a finite number above 0" in refusal(VGG(), width=value)
    assert "depth must be a finite number above 0" in refusal(VGG(), depth=value)


def test_what_no_machine_holds_is_refused_before_it_is_made():
    assert "this machine has" in refusal(VGG(), width=10_000.0)
    assert "this machine has" in refusal(VGG(), depth=1e9)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ghostnet_050", {}, "slice takes a number from the code that names a width"),
        ("res2net50_26w_4s", {"layers": (1, 1, 1, 1)}, "layer1.0: split takes a number from the code that names"),
        ("vit_tiny_patch16_224", {"img_size": 32, "depth": 2}, "blocks.0.attn: reshape splits 576 channels"),
    ],
    ids=["ghostnet", "res2net", "vit"],
)
def test_networks_with_widths_in_their_code_are_refused_in_one_line(name, options, said):
    assert said in refusal(peers.timm().create_model(name, num_classes=10, **options), width=1.5)


def test_shufflenet_is_refused_where_its_chunks_meet_odd_widths():
    module = peers.torchvision().models.shufflenet_v2_x0_5(weights=None)
    assert ": chunk cuts channels where no group of them ends" in refusal(module, image(size=64))


@pytest.mark.parametrize("function", [lambda x: x * x[x > 0].mean(), lambda x: x * x.nonzero().shape[0]])
def test_tensors_whose_size_depends_on_values_are_named(function):
    message = refusal(Net(Function(function)))
    assert message.startswith("odd: ")
    assert "makes a tensor whose size depends on the values of another" in message


def test_nothing_else_is_printed_beside_a_refusal(capfd):
    refusal(Net(Function(lambda x: x if x.mean() > 0 else -x)))
    assert capfd.readouterr() == ("", "")


def test_a_number_of_groups_in_the_code_is_told_as_one_that_does_not_scale():
    message = refusal(Net(Function(lambda x: functional.group_norm(x, 16))))
    assert message.startswith("odd: fails at the new width or depth")
    assert "input of shape [1, 24, 8, 8] and num_groups=16" in message


def test_a_budget_that_is_no_text_and_an_example_that_is_not_dense_are_refused():
    assert refusal(VGG(), to=3) == 'a budget is a text such as "macs<=2G, params<=8M", got 3.'
    assert "must be a dense tensor, got torch.sparse_coo" in refusal(VGG(), image().to_sparse())
