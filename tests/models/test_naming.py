import pytest

from tests.models.helpers import small_network
from triscale.errors import WeightsError
from triscale.models.assembler import ConvNet
from triscale.models.naming import NAMINGS, knows, layer_names
from triscale.spec.block import Block
from triscale.spec.families import list_networks, network
from triscale.spec.network import stage

# https://github.com/huggingface/pytorch-image-models and the other three, as their state dicts read
B0 = {
    "stem.0.conv": ("conv_stem", "_conv_stem", "features.0.0"),
    "stages.0.0.depthwise.conv": ("blocks.0.0.conv_dw", "_blocks.0._depthwise_conv", "features.1.0.block.0.0"),
    "stages.0.0.project.norm": ("blocks.0.0.bn2", "_blocks.0._bn2", "features.1.0.block.2.1"),
    "stages.1.1.expand.conv": ("blocks.1.1.conv_pw", "_blocks.2._expand_conv", "features.2.1.block.0.0"),
    "stages.1.1.depthwise.norm": ("blocks.1.1.bn2", "_blocks.2._bn1", "features.2.1.block.1.1"),
    "stages.1.1.squeeze.reduce": ("blocks.1.1.se.conv_reduce", "_blocks.2._se_reduce", "features.2.1.block.2.fc1"),
    "stages.6.0.project.conv": ("blocks.6.0.conv_pwl", "_blocks.15._project_conv", "features.7.0.block.3.0"),
    "head.conv.norm": ("bn2", "_bn1", "features.8.1"),
    "head.classifier": ("classifier", "_fc", "classifier.1"),
}


@pytest.mark.parametrize("ours", B0)
def test_a_layer_of_b0_has_the_name_that_each_library_gives_it(ours):
    namings = ("timm", "efficientnet_pytorch", "torchvision")
    assert tuple(layer_names(network("efficientnet_b0"), naming)[ours] for naming in namings) == B0[ours]


# network, our layer, timm's name, torchvision's; as the state dicts of timm 1.0.31 and torchvision 0.28.0 read
OTHERS = [
    ("efficientnetv2_s", "stages.0.1.expand.conv", "blocks.0.1.conv", "features.1.1.block.0.0"),
    ("efficientnetv2_s", "stages.1.0.project.norm", "blocks.1.0.bn2", "features.2.0.block.1.1"),
    ("efficientnetv2_s", "stages.3.5.squeeze.expand", "blocks.3.5.se.conv_expand", "features.4.5.block.2.fc2"),
    ("efficientnetv2_s", "head.conv.conv", "conv_head", "features.7.0"),
    ("mobilenet_v2", "stages.0.0.project.norm", "blocks.0.0.bn2", "features.1.conv.2"),
    ("mobilenet_v2", "stages.1.1.depthwise.conv", "blocks.1.1.conv_dw", "features.3.conv.1.0"),
    ("mobilenet_v2", "stages.1.1.project.conv", "blocks.1.1.conv_pwl", "features.3.conv.2"),
    ("mobilenet_v2", "head.conv.norm", "bn2", "features.18.1"),
    ("mobilenet_v3_large", "stages.0.0.depthwise.norm", "blocks.0.0.bn1", "features.1.block.0.1"),
    ("mobilenet_v3_large", "stages.2.0.squeeze.reduce", "blocks.2.0.se.conv_reduce", "features.4.block.2.fc1"),
    ("mobilenet_v3_large", "head.conv.conv", "blocks.6.0.conv", "features.16.0"),
    ("mobilenet_v3_large", "head.linear", "conv_head", "classifier.0"),
    ("mobilenet_v3_large", "head.classifier", "classifier", "classifier.3"),
    ("mnasnet_b1", "stages.0.0.project.conv", "blocks.0.0.conv_pw", "layers.6"),
    ("mnasnet_b1", "stages.1.2.depthwise.norm", "blocks.1.2.bn2", "layers.8.2.layers.4"),
    ("mnasnet_b1", "head.conv.conv", "conv_head", "layers.14"),
    ("resnet18", "stages.1.0.first.conv", "layer2.0.conv1", "layer2.0.conv1"),
    ("resnet18", "stages.1.0.sum.shortcut.norm", "layer2.0.downsample.1", "layer2.0.downsample.1"),
    ("resnet50", "stages.0.2.restore.norm", "layer1.2.bn3", "layer1.2.bn3"),
    ("resnet50", "head.classifier", "fc", "fc"),
]


@pytest.mark.parametrize(("name", "ours", "timm", "torchvision"), OTHERS)
def test_so_it_is_in_the_other_families(name, ours, timm, torchvision):
    net = network(name)
    assert (layer_names(net, "timm")[ours], layer_names(net, "torchvision")[ours]) == (timm, torchvision)


def test_what_torchvision_does_not_have_timm_names():
    assert layer_names(network("seresnet50"), "timm")["stages.3.1.sum.squeeze.expand"] == "layer4.1.se.fc2"
    assert layer_names(network("mobilenet_v1"), "timm")["stages.4.1.pointwise.norm"] == "blocks.4.1.bn2"
    assert layer_names(network("efficientnet_edgetpu_s"), "timm")["stages.0.0.expand.conv"] == "blocks.0.0.conv_exp"


def test_effdet_has_timms_names_behind_a_prefix_and_no_head():
    names = layer_names(network("efficientnet_b0"), "effdet")
    assert names["stages.0.0.depthwise.conv"] == "backbone.blocks.0.0.conv_dw"
    assert not any(ours.startswith("head.") for ours in names)
    assert layer_names(network("mobilenet_v3_large"), "effdet")["head.conv.conv"] == "backbone.blocks.6.0.conv"


@pytest.mark.parametrize("naming", ["timm", "torchvision", "efficientnet_pytorch", "effdet"])
@pytest.mark.parametrize("name", list_networks())
def test_a_naming_that_knows_a_network_names_every_layer_once(naming, name):
    net = network(name)
    if not knows(naming, net):
        return
    model = ConvNet(net, device="meta")
    layers = {key.rpartition(".")[0] for key in model.state_dict()}
    names = layer_names(net, naming)
    assert names.keys() == {layer for layer in layers if naming != "effdet" or layer in names}
    assert len(set(names.values())) == len(names)


def test_the_families_that_each_library_has():
    has = {naming: [name for name in list_networks() if knows(naming, network(name))] for naming in NAMINGS}
    assert has["triscale"] == list_networks()
    assert has["timm"] == has["effdet"] == [name for name in list_networks() if not name.startswith("detnas")]
    assert {name for name in has["efficientnet_pytorch"] if "tf_" not in name} >= {
        "efficientnet_b7",
        "efficientnet_lite4",
    }
    assert {"mnasnet1_3", "wide_resnet101_2", "efficientnetv2_l", "mobilenetv2_140"} <= set(has["torchvision"])
    assert not {"seresnet50", "mobilenet_v1", "mnasnet_a1", "efficientnet_edgetpu_s"} & set(has["torchvision"])


def test_a_network_that_a_library_does_not_have_has_no_names_there():
    odd = small_network(stages=(stage(Block("bottleneck", 8, 3)),))
    assert [knows(naming, odd) for naming in ("triscale", "timm", "efficientnet_pytorch")] == [True, False, False]
    with pytest.raises(WeightsError, match="timm has no names for bottleneck blocks; use naming 'triscale'"):
        layer_names(odd, "timm")


def test_heads_that_only_timm_has_are_refused_elsewhere():
    with pytest.raises(WeightsError, match="efficientnet_pytorch has no names for this network's stem or head"):
        layer_names(network("mobilenet_v3_large"), "efficientnet_pytorch")
