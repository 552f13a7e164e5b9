from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.models.helpers import SAME, answer, photos, randomised, relative_error, small_model, small_network
from triscale.deployment.fuse import fuse
from triscale.deployment.fused import FusedConv
from triscale.errors import SpecError
from triscale.models.assembler import ConvNet
from triscale.models.layers import Swish
from triscale.spec.block import Block
from triscale.spec.families import network
from triscale.spec.network import Numerics, Stage, Stem, stage

NAMES = (
    "efficientnet_b0",
    "tf_efficientnet_b0",
    "efficientnet_lite0",
    "tf_efficientnet_lite0",
    "efficientnet_edgetpu_s",
    "efficientnetv2_b0",
    "tf_efficientnetv2_b1",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "tf_mobilenetv3_small_075",
    "mnasnet_a1",
    "resnet18",
    "resnet50",
    "seresnet50",
    "detnas_coco_fpn_300m",
)


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    torch.manual_seed(0)
    made = randomised(ConvNet(network(request.param)))
    # V2 without training passes on the last digit of a sum up to a million times larger; in fp64 that is still nothing.
    return made.double() if "efficientnetv2" in request.param else made


def test_a_fused_network_is_the_same_function(model):
    for size in [(64, 64), (65, 98)]:
        images = photos(*size).to(model.head.classifier.weight.dtype)
        assert relative_error(answer(fuse(model, size), images), answer(model, images)) < 1e-5


@pytest.mark.parametrize("kind", ["separable", "fused", "basic", "bottleneck", "shuffle", "xception"])
@pytest.mark.parametrize("numerics", [SAME, Numerics()], ids=["same", "symmetric"])
def test_every_kind_of_block_fuses(kind, numerics):
    strided = Block(kind, 16, 5, 2, 2.0, relative_to="input" if kind in ("fused", "separable") else "output")
    stages = (stage(strided, 2), Stage((replace(strided, channels=32, stride=1),)))
    if kind in ("shuffle", "xception"):
        stages = (stage(strided, 3),)
    model = small_model(stages=stages, stem=Stem(8, pool=True), numerics=numerics)
    for size in [(32, 32), (45, 30)]:
        images = photos(*size, count=2)
        assert relative_error(answer(fuse(model, size), images), answer(model, images)) < 1e-5


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 2.5, -0.7])
def test_a_trained_swish_keeps_its_beta(beta):
    blocks = small_network().stages[1].blocks
    model = small_model(stages=(Stage(tuple(replace(each, activation="swish") for each in blocks)),))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Swish):
                module.beta.fill_(beta)
    images = photos(32, 32, count=2)
    assert relative_error(answer(fuse(model), images), answer(model, images)) < 1e-5


def test_the_model_itself_stays_as_it_was():
    model = small_model().train()
    model.fixed((32, 32))
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    fused = fuse(model)
    with torch.inference_mode():
        fused(photos(32, 32))
    assert model.training
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())
    with pytest.raises(SpecError, match="fixed to images of 32x32"):
        model(photos(33, 32))
    own = {tensor.data_ptr() for tensor in model.parameters()}
    assert not own & {tensor.data_ptr() for tensor in fused.parameters()}


def test_no_batchnorm_and_no_trainable_parameter_is_left():
    fused = fuse(small_model())
    assert not any(isinstance(each, nn.BatchNorm2d) for each in fused.modules())
    assert not any(each.requires_grad for each in fused.parameters())


def test_uneven_padding_is_zeros_before_the_kernel_not_a_copy_of_the_image():
    first = next(each for each in fuse(small_model(), 32).modules() if isinstance(each, FusedConv))
    assert first.pads == (0, 0, 1, 1)  # a 3 x 3 kernel of stride 2 over an even side, as TensorFlow pads it
    assert first.padding == (1, 1)
    assert first.weight.shape[2:] == (4, 4)
    assert first.kernel.shape[2:] == (3, 3)
    assert first.weight[:, :, 0].abs().max() == first.weight[:, :, :, 0].abs().max() == 0


def test_images_of_another_size_are_refused():
    with pytest.raises(SpecError, match="fused for images of 32 x 32 pixels, got 40 x 32"):
        fuse(small_model())(photos(40, 32))


def test_what_has_no_fused_form_is_named():
    model = small_model()
    model.head.dropout = nn.LayerNorm(32)
    with pytest.raises(SpecError, match=r"head\.dropout is a LayerNorm, which has no fused form"):
        fuse(model)
