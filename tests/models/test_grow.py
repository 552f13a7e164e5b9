"""Grown networks answer as those they were grown from, and their repeated channels part ways in training."""

import copy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.models.helpers import answer, photos, randomised, relative_error, small_model, small_network
from tests.spec.strategies import networks
from triscale.data.demo import photographs
from triscale.data.transforms import load as load_image
from triscale.errors import SpecError, WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.blocks import MBConv
from triscale.models.create import create_model
from triscale.models.files import load, save
from triscale.models.grow import Replicas, grow
from triscale.models.layers import DropConnect, Swish
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.families import network
from triscale.spec.growth import require_growable
from triscale.spec.network import Stage, stage
from triscale.spec.scaling import scale

TOLERANCE = 1e-4  # of the largest logit
LITE0 = network("efficientnet_lite0")


def settled(model, images):
    """Random BatchNorm weights, and statistics a random step away from those of `images`.

    Statistics that have nothing to do with the values let them grow from block to block; then the answers of
    EfficientNetV2-S change by more than half when its input moves by one rounding error of float32, grown or not.
    """
    randomised(model).train()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    answer(model, images)
    for norm in norms:
        norm.momentum = model.network.numerics.momentum
        norm.running_mean += 0.05 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= 0.9 + 0.2 * torch.rand_like(norm.running_var)
    return model.eval()


def quiet(model):
    """A copy in training mode with dropout and drop connect off, whose answers depend on nothing but its weights."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(module, DropConnect):
            module.rate = 0.0
    return model


def difference(large, small, images):
    """Largest difference between two models, relative to the largest logit: (evaluation mode, training mode)."""
    evaluated = relative_error(answer(large, images), answer(small, images))
    return evaluated, relative_error(answer(quiet(large), images), answer(quiet(small), images))


@pytest.fixture(scope="module")
def lite0():
    return create_model("efficientnet_lite0", "pretrained")


def real_photographs(preprocessing, pixels=None):
    """(9, 3, H, W): scikit-image's seven colour photographs and scikit-learn's two."""
    sklearn = Path(find_spec("sklearn").submodule_search_locations[0]) / "datasets" / "images"
    files = [*photographs().values(), sklearn / "china.jpg", sklearn / "flower.jpg"]
    size = None if pixels is None else (pixels, pixels)
    return torch.stack([load_image(file, preprocessing, size) for file in files])


@pytest.mark.parametrize("target", [scale(LITE0, depth=1.4, width=1.2), network("efficientnet_lite1"),
                                    network("efficientnet_lite2")], ids=lambda net: net.name)  # fmt: skip
def test_lite0_with_its_real_weights_grows_without_forgetting(lite0, target):
    torch.manual_seed(0)
    large = grow(lite0, target)
    assert large.network == replace(target, numerics=lite0.network.numerics)
    evaluated, trained = difference(large, lite0, real_photographs(lite0.preprocessing))
    assert evaluated <= TOLERANCE
    assert trained <= TOLERANCE


@pytest.mark.parametrize(
    ("source", "depth", "width"),
    [
        ("tf_efficientnet_b0", 1.4, 1.2), ("efficientnetv2_s", 1.2, 1.1),
        ("efficientnet_edgetpu_s", 1.0, 1.2), ("mobilenet_v1", 1.0, 1.7), ("mobilenet_v2", 1.4, 1.4),
        ("mobilenet_v3_large", 1.0, 1.3), ("mnasnet_a1", 1.0, 1.2), ("resnet18", 1.5, 1.3), ("resnet50", 1.4, 1.2),
    ],
)  # fmt: skip
def test_every_family_grows_without_forgetting(source, depth, width):
    torch.manual_seed(0)
    images = photos(97, 71, count=8)
    small = settled(ConvNet(network(source)), images)
    target = scale(small.network, depth, width)
    large = grow(small, target)
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    evaluated, trained = difference(large, small, images)
    assert evaluated <= TOLERANCE
    assert trained <= TOLERANCE


@pytest.mark.parametrize("source", ["efficientnet_b0", "efficientnetv2_s"])
def test_wholly_random_statistics_are_kept_too(source):
    """In float64, and as well as rounding allows: the answers move as much when the input moves by its last bit."""
    torch.manual_seed(0)
    small = randomised(ConvNet(network(source))).double()
    images = photos(97, 71, count=4).double()
    expected = answer(small, images)
    rounding = relative_error(answer(small, images * (1 + 2**-52)), expected)
    found = answer(grow(small, scale(small.network, depth=1.2, width=1.1)), images)
    assert relative_error(found, expected) <= max(100 * rounding, 1e-12)
    assert relative_error(found, expected) <= 1e-6


def larger(net, more, deeper):
    """`net` with every width made larger by one rule, so that equal ones stay equal, and `deeper` stages repeated."""

    def block(each, stride):
        squeeze = each.squeeze
        if squeeze is not None and squeeze.channels is not None:
            squeeze = replace(squeeze, channels=more(squeeze.channels))
        hidden = None if each.hidden is None else more(each.hidden)
        return replace(each, channels=more(each.channels), hidden=hidden, squeeze=squeeze, stride=stride)

    stages = []
    for index, each in enumerate(net.stages):
        blocks = [block(b, b.stride) for b in each.blocks]
        added = [block(each.blocks[-1], 1)] * (2 if index in deeper else 0)
        stages.append(Stage((*blocks, *added), each.deepen))
    head = net.head and replace(
        net.head,
        channels=net.head.channels and more(net.head.channels),
        linear=net.head.linear and more(net.head.linear),
    )
    return replace(net, name="larger", stem=replace(net.stem, channels=more(net.stem.channels)), stages=tuple(stages),
                   head=head)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(source=networks, seed=st.integers(0, 2**31), factor=st.floats(1.0, 3.0), extra=st.integers(0, 5),
       deeper=st.sets(st.integers(0, 4)))  # fmt: skip
def test_whatever_can_be_grown_keeps_its_answers(source, seed, factor, extra, deeper):
    """In float64, so that nothing but rounding in the sixteenth digit is forgiven."""
    target = larger(source, lambda channels: int(factor * channels) + extra, deeper)
    try:
        require_growable(source, target)
    except SpecError as error:
        # Width alone is never refused; a stage whose last block cannot be added to is.
        assert "blocks instead of" in str(error)
        target = larger(source, lambda channels: int(factor * channels) + extra, ())
    torch.manual_seed(seed)
    small = randomised(ConvNet(source), seed).double()
    images = photos(33, 18, count=2, channels=source.in_channels).double()
    expected = answer(small, images)
    found = answer(grow(small, target), images)
    if source.head is None:  # a feature map, of which the first channels keep their place
        found = found[:, : expected.shape[1]]
    assert found.dtype == torch.float64
    assert (found - expected).abs().max() <= 1e-9 * max(expected.abs().max().item(), 1.0)


def test_numbers_of_replicas_differ_by_one_at_most_and_the_first_channels_keep_their_place():
    torch.manual_seed(0)
    drawn = Replicas.draw(4, 11)
    assert drawn.source[:4].tolist() == [0, 1, 2, 3]
    assert sorted(drawn.source.bincount().tolist()) == [2, 3, 3, 3]


def test_shares_are_unequal_and_sum_to_one_in_every_row():
    torch.manual_seed(0)
    drawn = Replicas.draw(3, 8)
    shares = drawn.shares(5)
    assert (shares.dtype, shares.shape) == (torch.float64, (5, 8))
    for channel in range(3):
        of_channel = shares[:, drawn.source == channel]
        torch.testing.assert_close(of_channel.sum(1), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-15)
        # Of two or three replicas none gets less than 0.5 / (0.5 + 2 x 1.5).
        assert of_channel.min() >= 1 / 7
    assert len(shares.flatten().unique()) == shares.numel()


def test_a_channel_that_stays_alone_keeps_its_weight_to_the_last_bit():
    model = small_model()
    grown = grow(model, model.network).state_dict()
    assert all(torch.equal(grown[key], tensor) for key, tensor in model.state_dict().items())


def layers_with_weights(model):
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}


def equal_rows(weight):
    """(rows,), bool: which output channels of a weight have the same numbers as another one."""
    _, group, count = weight.detach().flatten(1).unique(dim=0, return_inverse=True, return_counts=True)
    return count[group] > 1


def steps(model, optimiser, images, labels, count=20):
    """Train. Returns: layer -> (rows,), in how many steps each output channel received a gradient."""
    model.train()
    layers = layers_with_weights(model)
    moved = {name: torch.zeros(len(layer.weight)) for name, layer in layers.items()}
    for _ in range(count):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        for name, layer in layers.items():
            moved[name] += layer.weight.grad.flatten(1).any(1)
        optimiser.step()
    model.eval()
    return moved


@pytest.mark.parametrize("optimiser", [lambda p: torch.optim.SGD(p, 0.05), lambda p: torch.optim.AdamW(p, 1e-3)],
                         ids=["sgd", "adamw"])  # fmt: skip
def test_after_twenty_steps_no_two_replicas_are_equal(optimiser):
    small = small_model()
    torch.manual_seed(0)
    large = grow(small, scale(small.network, depth=1.5, width=2.0))
    layers = layers_with_weights(large)
    copied = [layer for layer in layers.values() if getattr(layer, "groups", 1) > 1]
    assert all(equal_rows(layer.weight).any() for layer in copied)  # filters are copied: training has to part them
    images, labels = photos(32, 32, count=10), torch.arange(10) % 5
    steps(large, optimiser(large.parameters()), images, labels)
    assert [name for name, layer in layers.items() if equal_rows(layer.weight).any()] == []


def test_after_twenty_steps_no_two_replicas_of_the_real_lite0_are_equal(lite0):
    torch.manual_seed(0)
    large = grow(lite0, scale(LITE0, depth=1.4, width=1.2))
    layers = layers_with_weights(large)
    copied = sum(int(equal_rows(layer.weight).sum()) for layer in layers.values())
    images = real_photographs(lite0.preprocessing, 64)
    moved = steps(large, torch.optim.AdamW(large.parameters(), 1e-3), images, torch.arange(len(images)))
    # What images moved twice has parted: AdamW's first step is a sign, which replicas share. A filter whose ReLU6 let
    # none of nine small images through received no gradient at all.
    still = {name: equal_rows(layer.weight) for name, layer in layers.items()}
    assert [name for name, rows in still.items() if (moved[name][rows] > 1).any()] == []
    assert sum(int(rows.sum()) for rows in still.values()) < copied / 20
    # Also those differ as channels: in what they read and in what is read of them.
    for block in (module for module in large.modules() if isinstance(module, MBConv)):
        into, out = block.expand or block.depthwise, block.project.conv.weight.flatten(1).T
        channels = torch.cat([into.conv.weight.flatten(1), block.depthwise.conv.weight.flatten(1), out], dim=1)
        assert not equal_rows(channels).any()


def test_dead_channels_are_not_repeated():
    small = small_model(stages=(stage(Block("mbconv", 8, 3, 1, 2, activation="relu"), 1),))
    expand, depthwise = small.stages[0][0].expand.norm, small.stages[0][0].depthwise.norm
    with torch.no_grad():
        expand.bias[:4] = -10.0  # the ReLU never lets them through
        depthwise.running_var[4:8] = 0.0  # their filters have decayed to nothing
    large = grow(small, scale(small.network, width=2))
    repeated = large.stages[0][0].depthwise.norm.running_mean[16:]
    assert sorted(repeated.tolist()) == sorted(depthwise.running_mean[8:].tolist() * 2)


def test_added_blocks_learn_although_they_begin_with_adding_nothing():
    small = small_model()
    torch.manual_seed(0)
    large = grow(small, scale(small.network, depth=1.5))
    added = large.stages[1][2].project
    assert torch.equal(added.norm.weight, torch.zeros(16))
    assert torch.equal(added.conv.weight, small.stages[1][1].project.conv.weight)  # a copy of the last block
    before = added.conv.weight.clone()
    steps(large, torch.optim.SGD(large.parameters(), 0.05), photos(32, 32, count=10), torch.arange(10) % 5, count=2)
    assert (added.norm.weight != 0).all()
    assert not torch.equal(added.conv.weight, before)


def test_a_block_added_behind_one_that_changes_the_shape_is_fresh():
    small = small_model(stages=(stage(Block("mbconv", 16, 3, 2, 4)),))
    torch.manual_seed(0)
    large = grow(small, scale(small.network, depth=2))
    assert large.stages[0][1].expand.conv.weight.shape == (64, 16, 1, 1)
    assert large.stages[0][1].expand.conv.weight.std() > 0.1
    assert relative_error(answer(large, photos(32, 32)), answer(small, photos(32, 32))) <= TOLERANCE


def test_slopes_of_swish_are_taken_over():
    small = small_model(stages=(stage(Block("mbconv", 8, activation="swish"), 2),))
    for number, module in enumerate(m for m in small.modules() if isinstance(m, Swish)):
        nn.init.constant_(module.beta, 0.5 + number)
    large = grow(small, scale(small.network, width=2))
    assert [m.beta.item() for m in large.modules() if isinstance(m, Swish)] == [0.5, 1.5]


def test_the_model_it_starts_from_stays_as_it_was():
    small = small_model().train()
    before = {key: tensor.clone() for key, tensor in small.state_dict().items()}
    large = grow(small, scale(small.network, width=2))
    assert small.training and not large.training
    assert all(torch.equal(before[key], tensor) for key, tensor in small.state_dict().items())
    assert all(p.requires_grad for p in large.parameters())


def test_the_default_device_does_not_matter():
    small = small_model()
    torch.manual_seed(0)
    expected = grow(small, scale(small.network, width=2)).state_dict()
    torch.manual_seed(0)
    with torch.device("meta"):
        found = grow(small, scale(small.network, width=2)).state_dict()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())


def test_the_same_random_state_grows_the_same_weights():
    small = small_model()
    target = scale(small.network, depth=2, width=1.7)
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.flatten() for p in grow(small, target).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_numerics_are_those_of_the_weights_and_the_rest_is_the_targets(lite0):
    target = replace(network("efficientnet_lite2"), drop_connect=0.1)
    large = grow(lite0, target)
    assert target.numerics != lite0.network.numerics == large.network.numerics
    assert (large.network.resolution, large.network.drop_connect) == ((260, 260), 0.1)
    assert large.network.head.dropout == 0.3
    assert large.preprocessing == replace(lite0.preprocessing, size=(260, 260))


def test_the_card_says_what_it_was_grown_from():
    small = small_model()
    small.card = ModelCard(("a", "b"), "trained by triscale", "MIT", "12ab", {"top1": 0.9}, "on my photographs")
    target = replace(scale(small.network, width=2), name="wide")
    assert grow(small, target).card == replace(small.card, notes="on my photographs; grown from small to wide")
    elsewhere = grow(small, replace(target, resolution=(64, 64))).card
    assert (elsewhere.metrics, elsewhere.classes) == ({}, ("a", "b"))  # measured at 32 pixels


def test_a_grown_model_is_saved_and_loaded_like_any_other(tmp_path):
    small = small_model()
    large = grow(small, scale(small.network, depth=2, width=2))
    save(large, tmp_path / "large.safetensors")
    again = load(tmp_path / "large.safetensors")
    assert again.network == large.network
    assert torch.equal(answer(again, photos(32, 32)), answer(large, photos(32, 32)))


def test_what_prevents_growth_is_one_line(lite0):
    with pytest.raises(SpecError, match="efficientnet_b0 cannot be grown from efficientnet_lite0: the stem has "
                                        "activation silu instead of relu6; every stage must be") as caught:  # fmt: skip
        grow(lite0, network("efficientnet_b0"))
    assert "\n" not in str(caught.value)


def test_a_name_is_no_network():
    with pytest.raises(SpecError, match=r"grow needs the Network to grow to, .* got 'efficientnet_b1'"):
        grow(small_model(), "efficientnet_b1")
    with pytest.raises(SpecError, match=r"such as network\(\"efficientnet_b1\"\), got ConvNet\.$"):
        grow(ConvNet(small_network()), ConvNet(small_network()))


def test_a_module_without_a_network_or_without_weights_is_refused():
    with pytest.raises(WeightsError, match=r"grow starts from a model of triscale .*, got Linear"):
        grow(nn.Linear(2, 2), small_network())
    with pytest.raises(WeightsError, match="small is on the meta device and has no weights"):
        grow(ConvNet(small_network(), device="meta"), small_network())
