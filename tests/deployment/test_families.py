"""One small member of every family, all the way to a file that ships."""

import pytest
import torch

from tests.models.helpers import answer, photos, randomised
from triscale.deployment.export import export
from triscale.deployment.verify import verify
from triscale.models.assembler import ConvNet
from triscale.spec.families import NETWORKS, network

# The smallest of each family; both numerics where both are published
MEMBERS = {
    "EfficientNet": ("efficientnet_b0", "tf_efficientnet_b1"),
    "EfficientNet-Lite": ("efficientnet_lite1", "tf_efficientnet_lite0"),
    "EfficientNet-EdgeTPU": ("efficientnet_edgetpu_s", "tf_efficientnet_edgetpu_s"),
    "EfficientNetV2": ("efficientnetv2_b0", "tf_efficientnetv2_b0"),
    "MobileNetV1": ("mobilenet_v1",),
    "MobileNetV2": ("mobilenet_v2",),
    "MobileNetV3-Large": ("mobilenet_v3_large", "tf_mobilenetv3_large_075"),
    "MobileNetV3-Large minimal": ("tf_mobilenetv3_large_minimal_100",),
    "MobileNetV3-Small": ("mobilenet_v3_small", "mobilenetv3_small_050"),
    "MobileNetV3-Small minimal": ("tf_mobilenetv3_small_minimal_100",),
    "MnasNet-A1": ("mnasnet_a1",),
    "MnasNet-B1": ("mnasnet_b1", "mnasnet0_5"),
    "ResNet": ("resnet18", "resnet50"),
    "SE-ResNet": ("seresnet18", "seresnet50"),
    "DetNAS": ("detnas_coco_fpn_300m",),
}


def test_no_family_is_left_out():
    assert {published.family.title for published in NETWORKS.values()} == MEMBERS.keys()


@pytest.mark.parametrize("name", [name for names in MEMBERS.values() for name in names])
def test_a_member_of_each_family_exports_and_answers_the_same(name, tmp_path):
    torch.manual_seed(0)
    model = randomised(ConvNet(network(name)))
    export(model, tmp_path / "model.onnx", size=64)
    images = photos(64, 64, count=8)
    largest = answer(model, images).abs().max().item()  # random networks answer in thousands, trained ones in tens
    assert verify(model, tmp_path / "model.onnx", images, tolerance=1e-5 * largest).require().top1_agreement == 1.0
