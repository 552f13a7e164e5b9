"""Weights that go to another library's naming and come back are the same bits, under the library's own names."""

import pytest
import torch

from tests import peers
from tests.models.helpers import randomised
from triscale.errors import WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.create import create_model
from triscale.models.naming import NAMINGS
from triscale.models.weights import export_state_dict, load_weights
from triscale.spec.families import network

# One member of each family, by timm's name
TIMM = [
    "efficientnet_b0", "tf_efficientnet_b1", "efficientnet_lite0", "efficientnet_es", "tf_efficientnetv2_b0",
    "efficientnetv2_s", "mobilenetv1_100", "mobilenetv2_100", "mobilenetv2_110d", "mobilenetv3_large_100",
    "tf_mobilenetv3_small_minimal_100", "semnasnet_100", "mnasnet_100", "resnet18", "resnet50", "wide_resnet50_2",
    "seresnet50",
]  # fmt: skip
TORCHVISION = ["efficientnet_b0", "efficientnet_v2_s", "mobilenet_v2", "mobilenet_v3_small", "mnasnet1_0", "resnet18"]


def same(found, expected):
    """Whether two state dicts hold the same bits under the same names, in the same order."""
    return list(found) == list(expected) and all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", TIMM)
def test_timms_weights_come_back_bit_for_bit(name):
    torch.manual_seed(0)
    theirs = randomised(peers.timm().create_model(name)).state_dict()
    ours = create_model(name)
    report = load_weights(ours, theirs)
    assert (report.naming, report.adapted, report.new, report.ignored) == ("timm", (), (), ())
    assert len(report.loaded) == len(theirs)
    assert same(export_state_dict(ours, "timm"), theirs)


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_weights_come_back_bit_for_bit(name):
    torch.manual_seed(0)
    theirs = getattr(peers.torchvision().models, name)
    peer = randomised(theirs())
    ours = create_model(name)
    load_weights(ours, peer.state_dict())
    back = export_state_dict(ours, "torchvision")
    assert same(back, peer.state_dict())
    theirs().load_state_dict(back)  # MnasNet refuses what does not say its version


@pytest.mark.parametrize("naming", NAMINGS)
def test_ours_come_back_bit_for_bit_from_every_naming(naming):
    model, other = randomised(create_model("efficientnet_b0")), create_model("efficientnet_b0")
    report = load_weights(other, export_state_dict(model, naming))
    assert report.naming == naming
    back = other.state_dict()
    new = {key for key in model.state_dict() if key.startswith("head.")} if naming == "effdet" else set()
    assert set(report.new) == new
    assert all(torch.equal(tensor, back[key]) for key, tensor in model.state_dict().items() if key not in new)


def test_a_backbone_under_effdets_names_is_loaded_by_effdet_itself():
    torch.manual_seed(0)
    ours = randomised(create_model("tf_efficientnet_b0"))
    detector = peers.effdet().create_model("tf_efficientdet_d0", pretrained=False, pretrained_backbone=False)
    exported = export_state_dict(ours, "effdet")
    missing, unexpected = detector.load_state_dict(exported, strict=False)
    assert unexpected == []
    assert [key for key in missing if key.startswith("backbone.")] == []
    assert same({key: detector.state_dict()[key] for key in exported}, exported)


@pytest.mark.parametrize(
    ("name", "naming"),
    [
        ("detnas_coco_fpn_300m", "timm"),
        ("mobilenet_v1", "torchvision"),
        ("efficientnet_lite0", "torchvision"),
        ("seresnet50", "torchvision"),
        ("mnasnet_a1", "torchvision"),
        ("efficientnetv2_s", "efficientnet_pytorch"),
    ],
)
def test_a_network_that_a_library_does_not_have_is_not_exported_to_it(name, naming):
    with pytest.raises(WeightsError, match=f"{naming} has no names for .* use (naming )?'triscale'"):
        export_state_dict(ConvNet(network(name), device="meta"), naming)
