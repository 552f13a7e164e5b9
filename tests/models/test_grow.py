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
from triscale.models.create import create_model
from triscale.models.files import load, save
from triscale.models.grow import Replicas, grow
from triscale.models.layers import DropConnect, Swish
from triscale.spec.block import Block, Squeeze
from triscale.spec.card import ModelCard
from triscale.spec.families import network
from triscale.spec.growth import require_growable
from triscale.spec.network import Head, Network, Stage, Stem, stage
from triscale.spec.rounding import Rounding
from triscale.spec.scaling import scale

TOLERANCE = 1e-4  # of the largest logit
LITE0 = network("efficientnet_lite0")


def resnet(kind, lengths, expand, hidden_to):
    """ResNet-18 ("basic") or ResNet-50 ("bottleneck"): He et al. 2015, https://arxiv.org/abs/1512.03385, table 1."""
    stages = tuple(
        stage(Block(kind, expand * c, 3, 1 if c == 64 else 2, hidden_to, relative_to="output", activation="relu"), n)
        for c, n in zip((64, 128, 256, 512), lengths, strict=True)
    )
    return Network(f"resnet of {kind}", Stem(64, 7, 2, "relu", pool=True), stages, Head(None, dropout=0.0),
                   drop_connect=0.0, rounding=Rounding())  # fmt: skip


def efficientnetv2_s():
    """Tan & Le 2021 as released: google/automl effnetv2_configs.py."""
    squeeze = Squeeze(0.25)
    stages = (
        stage(Block("fused", 24, 3, 1), 2),
        stage(Block("fused", 48, 3, 2, 4), 4),
        stage(Block("fused", 64, 3, 2, 4), 4),
        stage(Block("mbconv", 128, 3, 2, 4, squeeze=squeeze), 6),
        stage(Block("mbconv", 160, 3, 1, 6, squeeze=squeeze), 9),
        stage(Block("mbconv", 256, 3, 2, 6, squeeze=squeeze), 15),
    )
    return Network("efficientnetv2_s", Stem(24), stages, Head(1280), rounding=Rounding(floor=0.0))


def mobilenet_v1():
    """Howard et al. 2017, https://arxiv.org/abs/1704.04861, table 1."""
    rows = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 2, 6), (1024, 2, 2))
    stages = tuple(stage(Block("separable", c, 3, s, activation="relu"), n) for c, s, n in rows)
    return Network("mobilenet_v1", Stem(32, activation="relu"), stages, Head(None))


def mobilenet_v2():
    """Sandler et al. 2018, https://arxiv.org/abs/1801.04381, table 2."""
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    stages = tuple(stage(Block("mbconv", c, 3, s, t, activation="relu6"), n) for t, c, n, s in rows)
    return Network("mobilenet_v2", Stem(32, activation="relu6"), stages, Head(1280, "relu6", scaling="grow"))


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
        (network("efficientnet_b0"), 1.4, 1.2), (network("efficientnet_b0"), 2.0, 1.0), (efficientnetv2_s(), 1.2, 1.1),
        (network("mobilenet_v3_large"), 1.0, 1.3), (mobilenet_v1(), 1.0, 1.7), (mobilenet_v2(), 1.4, 1.4),
        (resnet("basic", (2, 2, 2, 2), 1, 1.0), 1.5, 1.3), (resnet("bottleneck", (3, 4, 6, 3), 4, 0.25), 1.4, 1.2),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)  # fmt: skip
def test_every_family_grows_without_forgetting(source, depth, width):
    """Random weights and BatchNorm statistics, so that every tensor leaves its mark on the answer."""
    torch.manual_seed(0)
    small = randomised(ConvNet(source))
    target = scale(source, depth, width)
    large = grow(small, target)
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    evaluated, trained = difference(large, small, photos(97, 71, count=4))
    assert evaluated <= TOLERANCE
    assert trained <= TOLERANCE


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


def equal_rows(model):
    """Names of tensors in which two output channels hold the same numbers."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        and len(module.weight.flatten(1).unique(dim=0)) < len(module.weight)
    ]


def steps(model, optimiser, images, labels, count=20):
    model.train()
    for _ in range(count):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
    return model.eval()


@pytest.mark.parametrize("optimiser", [lambda p: torch.optim.SGD(p, 0.05), lambda p: torch.optim.AdamW(p, 1e-3)],
                         ids=["sgd", "adamw"])  # fmt: skip
def test_after_twenty_steps_no_two_replicas_are_equal(optimiser):
    small = small_model()
    torch.manual_seed(0)
    large = grow(small, scale(small.network, depth=1.5, width=2.0))
    depthwise = [name for name, module in large.named_modules() if getattr(module, "groups", 1) > 1]
    assert set(depthwise) <= set(equal_rows(large))  # filters are copied: training has to part them
    images, labels = photos(32, 32, count=10), torch.arange(10) % 5
    assert equal_rows(steps(large, optimiser(large.parameters()), images, labels)) == []


def test_after_twenty_steps_no_two_replicas_of_the_real_lite0_are_equal(lite0):
    torch.manual_seed(0)
    large = grow(lite0, scale(LITE0, depth=1.4, width=1.2))
    before = set(equal_rows(large))
    assert len(before) > 20
    images = real_photographs(lite0.preprocessing, 64)
    steps(large, torch.optim.AdamW(large.parameters(), 1e-3), images, torch.arange(len(images)))
    # Where a published channel is dead (no image moves it), so are its replicas, and nothing can part them.
    assert equal_rows(large) == []


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


def test_a_module_without_a_network_or_without_weights_is_refused():
    with pytest.raises(WeightsError, match="grow starts from a model of triscale .*, got Linear"):
        grow(nn.Linear(2, 2), small_network())
    with pytest.raises(WeightsError, match="small is on the meta device and has no weights"):
        grow(ConvNet(small_network(), device="meta"), small_network())
