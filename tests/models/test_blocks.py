import json
from pathlib import Path

import pytest
import torch

from tests import peers
from tests.models.helpers import answer, photos, randomised, relative_error, with_weights
from triscale.models.assembler import ConvNet
from triscale.models.blocks import build_block
from triscale.models.weights import export_state_dict
from triscale.spec.block import Block, Squeeze
from triscale.spec.families import network
from triscale.spec.network import Head, Network, Numerics, Stem, stage
from triscale.spec.operations import block_operations

NUMERICS = Numerics()
GOLDEN = Path(__file__).parents[1] / "golden"

BLOCKS = {
    "mbconv": Block("mbconv", 8, 3, 2, 6, squeeze=Squeeze()),
    "mbconv, no expansion": Block("mbconv", 8, 5, 1),
    "mbconv, hidden": Block("mbconv", 12, 3, 1, hidden=20, squeeze=Squeeze(0.25, "hidden", 8, gate="hardsigmoid")),
    "mbconv, swish": Block("mbconv", 8, 3, 1, 6, squeeze=Squeeze(), activation="swish"),
    "fused": Block("fused", 8, 3, 2, 4, squeeze=Squeeze()),
    "fused, single": Block("fused", 8, 3, 1),
    "fused, single, swish": Block("fused", 8, 3, 1, activation="swish"),
    "separable": Block("separable", 12, 3, 2, activation="relu6", squeeze=Squeeze()),
    "bottleneck": Block("bottleneck", 16, 3, 2, 0.25, relative_to="output", activation="relu", squeeze=Squeeze()),
    "bottleneck, no skip": Block("bottleneck", 8, 3, 1, 0.25, activation="swish", skip=False),
    "basic": Block("basic", 8, 3, 1, activation="swish"),
    "basic, projected": Block("basic", 12, 3, 1, activation="relu"),
    "shuffle": Block("shuffle", 8, 5, 1, 0.5, relative_to="output", activation="relu"),
    "shuffle, strided": Block("shuffle", 24, 7, 2, 0.5, relative_to="output", activation="relu"),
    "xception": Block("xception", 8, 3, 1, 0.5, relative_to="output", activation="swish"),
    "xception, strided": Block("xception", 24, 3, 2, 0.5, relative_to="output", activation="relu"),
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_block_has_the_parameters_and_the_shape_that_arithmetic_says(block):
    module = build_block(block, 8, NUMERICS)
    assert sum(p.numel() for p in module.parameters()) == sum(o.params for o in block_operations(block, 8))
    assert module(photos(9, 12, 2, 8)).shape == (2, block.channels, -(-9 // block.stride), -(-12 // block.stride))


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("training", [True, False])
def test_a_block_leaves_its_input_alone_and_passes_gradients(block, training):
    torch.manual_seed(0)
    module = build_block(block, 8, NUMERICS, 0.2).train(training)
    x = photos(8, 8, 2, 8).requires_grad_()
    module(x).square().sum().backward()
    assert torch.equal(x, photos(8, 8, 2, 8))
    assert all(p.grad is not None for p in module.parameters())
    assert x.grad is not None
    with torch.inference_mode():
        x = photos(8, 8, 2, 8)
        module(x)
        assert torch.equal(x, photos(8, 8, 2, 8))


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_working_in_place_without_gradients_changes_no_value(block):
    module = randomised(build_block(block, 8, NUMERICS))
    x = photos(8, 8, 2, 8)
    with torch.no_grad():
        in_place = module(x)
    torch.testing.assert_close(in_place, module(x).detach(), rtol=0, atol=0)


def same_tensors(ours, peer):
    """Give `peer` our tensors by their order, where a library has the same layers in the same order."""
    assert [t.shape for t in ours.state_dict().values()] == [t.shape for t in peer.state_dict().values()]
    peer.load_state_dict(dict(zip(peer.state_dict(), ours.state_dict().values(), strict=True)))
    return peer.eval()


def resnet(block, repeats, expand):
    stages = [
        stage(
            Block(block, channels, 3, 1 if i == 0 else 2, expand, relative_to="output", activation="relu"), repeats[i]
        )
        for i, channels in enumerate([round(64 * 2**i / expand) for i in range(4)])
    ]
    return Network(
        "resnet", Stem(64, 7, 2, "relu", pool=True), tuple(stages), Head(None, "relu", dropout=0), drop_connect=0
    )


@pytest.mark.parametrize(
    ("name", "spec"),
    [("resnet18", resnet("basic", (2, 2, 2, 2), 1.0)), ("resnet50", resnet("bottleneck", (3, 4, 6, 3), 0.25))],
)
def test_residual_blocks_are_torchvisions(name, spec):
    ours = randomised(ConvNet(spec))
    peer = same_tensors(ours, getattr(peers.torchvision().models, name)())
    golden = json.loads((GOLDEN / "classification.json").read_text())["baselines"][name]
    assert sum(p.numel() for p in ours.parameters()) == golden["params"]
    images = photos(65, 96, 2)
    assert relative_error(answer(ours, images), answer(peer, images)) < 1e-5


def test_separable_blocks_are_timms_mobilenet_v1():
    rows = [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]  # channels, repeats, stride
    stages = tuple(stage(Block("separable", c, 3, s, activation="relu6"), r) for c, r, s in rows)
    ours = randomised(ConvNet(Network("mobilenet_v1", Stem(32, activation="relu6"), stages, Head(None, "relu6"))))
    peer = with_weights(lambda: peers.timm().create_model("mobilenetv1_100"), export_state_dict(ours))
    assert sum(p.numel() for p in ours.parameters()) == 4_231_976
    images = photos(65, 96)
    assert relative_error(answer(ours, images), answer(peer, images)) < 1e-5


def test_fused_blocks_are_timms_efficientnet_v2():
    squeeze = Squeeze()
    stages = (
        stage(Block("fused", 16, 3, 1, 1), 1),
        stage(Block("fused", 32, 3, 2, 4), 2),
        stage(Block("fused", 48, 3, 2, 4), 2),
        stage(Block("mbconv", 96, 3, 2, 4, squeeze=squeeze), 3),
        stage(Block("mbconv", 112, 3, 1, 6, squeeze=squeeze), 5),
        stage(Block("mbconv", 192, 3, 2, 6, squeeze=squeeze), 8),
    )
    ours = randomised(ConvNet(Network("v2", Stem(32), stages, Head(1280), numerics=Numerics("same", 1e-3, 0.1))))
    peer = with_weights(lambda: peers.timm().create_model("tf_efficientnetv2_b0"), export_state_dict(ours))
    images = photos(65, 96)
    assert relative_error(answer(ours, images), answer(peer, images)) < 1e-5


def test_hidden_channels_gates_and_pooled_linear_are_timms_mobilenet_v3():
    spec = network("mobilenet_v3_large")
    ours = randomised(ConvNet(spec))
    ours.set_numerics(Numerics("same", 1e-3, 0.1))
    peer = with_weights(lambda: peers.timm().create_model("tf_mobilenetv3_large_100"), export_state_dict(ours))
    images = photos(65, 96)
    assert relative_error(answer(ours, images), answer(peer, images)) < 1e-5


def channel_shuffle(x):
    return x.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2)


@pytest.mark.parametrize(("in_channels", "stride"), [(8, 2), (16, 1)])
def test_the_shuffle_unit_is_shufflenet_v2s(in_channels, stride):
    torch.manual_seed(0)
    block = Block("shuffle", 16, 3, stride, hidden=8, activation="relu")
    ours = randomised(build_block(block, in_channels, NUMERICS))
    residual = peers.torchvision().models.shufflenetv2.InvertedResidual
    peer = same_tensors(ours, residual(in_channels, 16, stride))
    x = photos(8, 8, 2, in_channels)
    # ShuffleNetV2 shuffles behind its unit, DetNAS before the next one that lets half of the channels pass.
    read = channel_shuffle(x) if stride == 1 else x
    torch.testing.assert_close(channel_shuffle(answer(ours, read)), answer(peer, x))


def test_a_found_network_of_detnas_has_its_published_count():
    golden = json.loads((GOLDEN / "detnas.json").read_text())["networks"]["COCO-FPN-300M"]
    built = ConvNet(network("detnas_coco_fpn_300m"), device="meta")
    backbone = sum(p.numel() for part in (built.stem, built.stages) for p in part.parameters())
    assert backbone == golden["backbone"]["params"] == 1_849_680
    assert sum(p.numel() for p in built.parameters()) == golden["with_classifier"]["params"]
