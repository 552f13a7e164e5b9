"""Equal outputs with other libraries for every network that they have, made here by their own name for it."""

from dataclasses import replace

import pytest
import torch

from tests import peers
from tests.models.helpers import answer, photos, randomised, relative_error, with_weights
from triscale.models.create import create_model
from triscale.models.weights import export_state_dict, load_weights
from triscale.spec.families import network

SIZE = (65, 97)  # odd, so that SAME and symmetric padding differ by where a window stands, not by how many there are

EFFICIENTNETS = [f"{owner}efficientnet_b{size}" for owner in ("", "tf_") for size in range(9)]
LITE = [f"{owner}efficientnet_lite{size}" for owner in ("", "tf_") for size in range(5)]
EDGETPU = [f"{owner}efficientnet_e{size}" for owner in ("", "tf_") for size in "sml"]
V2 = [f"{owner}efficientnetv2_{size}" for owner in ("", "tf_") for size in ("s", "m", "l", "xl")]
V2_B = [f"tf_efficientnetv2_b{size}" for size in range(4)]
MOBILENET_V1 = ["mobilenetv1_100", "mobilenetv1_125"]
MOBILENET_V2 = [f"mobilenetv2_{width}" for width in ("035", "050", "075", "100", "110d", "120d", "140")]
MOBILENET_V3 = [f"{owner}mobilenetv3_{size}" for owner in ("", "tf_") for size in ("large_075", "large_100")]
MOBILENET_V3 += [f"{owner}mobilenetv3_{size}" for owner in ("", "tf_") for size in ("small_075", "small_100")]
MOBILENET_V3 += ["mobilenetv3_small_050", "tf_mobilenetv3_large_minimal_100", "tf_mobilenetv3_small_minimal_100"]
MNASNET = [f"{kind}_{width}" for kind in ("mnasnet", "semnasnet") for width in ("050", "075", "100", "140")]
RESNET = [f"resnet{layers}" for layers in (18, 34, 50, 101, 152)] + ["wide_resnet50_2", "wide_resnet101_2"]
SE_RESNET = [f"seresnet{layers}" for layers in (18, 34, 50)]
TAGGED = ["efficientnet_b0.ra_in1k", "tf_efficientnet_b0.ns_jft_in1k", "mobilenetv3_large_100.miil_in21k_ft_in1k"]
NAMES = [*EFFICIENTNETS, *LITE, *EDGETPU, *V2, *V2_B, *MOBILENET_V1, *MOBILENET_V2, *MOBILENET_V3, *MNASNET, *RESNET]
NAMES += [*SE_RESNET, *TAGGED]
# Seconds each, or more of the same
LARGEST = ["efficientnet_l2", "tf_efficientnet_l2", "tf_efficientnetv2_xl", "resnet200", "seresnet101", "seresnet152"]
NAMES.remove("tf_efficientnetv2_xl")

TORCHVISION = [f"efficientnet_b{size}" for size in range(8)] + [f"efficientnet_v2_{size}" for size in "sml"]
TORCHVISION += ["mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]
TORCHVISION += ["mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"]
TORCHVISION += ["resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2"]
TORCHVISIONS_LARGEST = ["resnet152", "wide_resnet101_2"]  # the same as timm's


def first_norm(model):
    return next(each for each in model.modules() if isinstance(each, torch.nn.BatchNorm2d))


def headless(name):
    """The network of that name as a backbone."""
    return replace(network(name), head=None)


def differ(ours, peer, precise=False):
    """The relative difference of two answers; `precise`: as both functions are, without fp32's rounding."""
    images = photos(*SIZE)
    if precise:
        ours, peer, images = ours.double(), peer.double(), images.double()
    return relative_error(answer(ours, images), answer(peer, images))


@pytest.mark.parametrize("name", [*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGEST)])
def test_a_network_made_by_timms_name_answers_as_timms(name):
    torch.manual_seed(0)
    ours = randomised(create_model(name))
    peer = with_weights(lambda: peers.timm().create_model(name), export_state_dict(ours))
    assert first_norm(ours).eps == first_norm(peer).eps
    # V2 without training passes a change of its input on a million times larger, and with it the last digit of a sum:
    # padding a copy of the image or the kernel makes that difference. In fp64 it is invisible.
    assert differ(ours, peer, precise=name.startswith("tf_efficientnetv2")) < 1e-5


@pytest.mark.parametrize(
    "name", [*TORCHVISION, *(pytest.param(n, marks=pytest.mark.slow) for n in TORCHVISIONS_LARGEST)]
)
def test_a_network_made_by_torchvisions_name_answers_as_torchvisions(name):
    torch.manual_seed(0)
    build = getattr(peers.torchvision().models, name)
    peer = with_weights(build, export_state_dict(randomised(create_model(name)), "torchvision"))
    ours = create_model(name)
    report = load_weights(ours, peer.state_dict())
    assert (report.adapted, report.new, report.ignored) == ((), (), ())
    numerics, theirs = ours.network.numerics, first_norm(peer)
    assert (numerics.padding, numerics.eps, numerics.momentum) == ("symmetric", theirs.eps, theirs.momentum)
    assert differ(ours, peer) < 1e-5


# effdet's detector -> its backbone, by the name that effdet gives it
EFFDET = {
    "efficientdet_d0": "efficientnet_b0",
    "tf_efficientdet_d0": "tf_efficientnet_b0",
    "tf_efficientdet_d1": "tf_efficientnet_b1",
    "tf_efficientdet_lite0": "tf_efficientnet_lite0",
    "efficientdet_es": "efficientnet_es",
    "mobiledetv2_110d": "mobilenetv2_110d",
    "mobiledetv3_large": "mobilenetv3_large_100",
    "resdet50": "resnet50",
}


@pytest.fixture(scope="module", params=EFFDET)
def detector(request):
    """(a detector of effdet's with random weights and statistics, the name of its backbone)."""
    torch.manual_seed(0)
    made = peers.effdet().create_model(request.param, pretrained=False, pretrained_backbone=False)
    assert made.config.backbone_name == EFFDET[request.param]
    return randomised(made), EFFDET[request.param]


def test_a_backbone_of_effdets_gives_the_same_feature_maps(detector):
    theirs, name = detector
    ours = create_model(headless(name))
    report = load_weights(ours, theirs.state_dict())
    assert (report.naming, report.adapted, report.new) == ("effdet", (), ())
    assert {key.partition(".")[0] for key in report.ignored} >= {"fpn", "class_net", "box_net"}
    assert ours.network.numerics.eps == first_norm(theirs.backbone).eps
    assert report.numerics.padding == ("same" if name.startswith("tf_") else "symmetric")
    images = photos(*SIZE)
    with torch.no_grad():
        mine, expected = ours.features(images), theirs.backbone(images)
    for stride, wanted in zip(theirs.backbone.feature_info.reduction(), expected, strict=True):
        if mine[stride].shape == wanted.shape:  # of MobileNetV3 effdet takes the last map behind the head's convolution
            assert relative_error(mine[stride], wanted) < 1e-5
    assert sum(mine[s].shape == w.shape for s, w in zip((8, 16, 32), expected, strict=True)) >= 2


def test_a_classifier_takes_a_backbone_and_keeps_its_head(detector):
    theirs, name = detector
    ours = create_model(name)
    head = {key: tensor.clone() for key, tensor in ours.head.state_dict().items()}
    report = load_weights(ours, theirs.backbone.state_dict())  # the backbone alone, without effdet's prefix
    assert report.naming == "timm"
    assert set(report.new) >= {"head.classifier.weight", "head.classifier.bias"}
    assert all(key.startswith("head.") for key in report.new)
    assert torch.equal(ours.head.classifier.weight, head["classifier.weight"])
    assert torch.equal(ours.stem[0].conv.weight, next(theirs.backbone.parameters()))
