import pytest

from tests.models.helpers import small_network
from triscale.errors import WeightsError
from triscale.models.naming import knows, layer_names
from triscale.spec.block import Block
from triscale.spec.families import network
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


def test_a_network_that_a_library_does_not_have_has_no_names_there():
    odd = small_network(stages=(stage(Block("bottleneck", 8, 3)),))
    assert [knows(naming, odd) for naming in ("triscale", "timm", "efficientnet_pytorch")] == [True, False, False]
    with pytest.raises(WeightsError, match="timm has no names for bottleneck blocks; use naming 'triscale'"):
        layer_names(odd, "timm")


def test_heads_that_only_timm_has_are_refused_elsewhere():
    with pytest.raises(WeightsError, match="efficientnet_pytorch has no names for this network's stem or head"):
        layer_names(network("mobilenet_v3_large"), "efficientnet_pytorch")
