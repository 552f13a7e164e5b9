"""What the tests of detectors share: small ones, random tensors everywhere, and effdet's with the same."""

import warnings

import torch

from tests import peers
from tests.models.helpers import SAME, randomised, small_network, with_weights
from triscale.detection.detector import DetectorNet
from triscale.spec.block import Block, Squeeze
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.network import stage
from triscale.spec.pyramids import bifpn


def small_detector(**changes):
    """A detector of some thousand weights on P3 to P7, that builds and runs in milliseconds."""
    stages = (
        stage(Block("mbconv", 8, 3, 2, squeeze=Squeeze(0.25)), 1),
        stage(Block("mbconv", 16, 3, 2, 4, squeeze=Squeeze(0.25)), 2),
        stage(Block("mbconv", 24, 5, 2, 4, squeeze=Squeeze(0.25)), 1),
        stage(Block("mbconv", 32, 3, 2, 4), 1),
    )
    fields = {
        "name": "small",
        "backbone": small_network(stages=stages, head=None, resolution=(96, 96)),
        "pyramid": bifpn(16, 2),
        "heads": Heads(2),
        "anchors": Anchors(octaves=(0.0, 0.5)),
        "classes": 5,
        "numerics": SAME,
    }
    return Detector(**{**fields, **changes})


def shaken(model, seed=0):
    """Random BatchNorms, biases and fusion weights, so that every tensor leaves its mark on the output."""
    randomised(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".weights"):
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 1.7 - 0.2)  # some below zero
            elif name.endswith(".bias") and ".norm" not in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def small_model(seed=0, **changes):
    torch.manual_seed(seed)
    return shaken(DetectorNet(small_detector(**changes)))


def effdet_model(name, size, weights, **changes):
    """effdet's detector of that name for images of `size` (H, W), holding `weights`."""
    peers.effdet()
    from effdet.config import get_efficientdet_config
    from effdet.efficientdet import EfficientDet

    config = get_efficientdet_config(name)
    for key, value in {"image_size": size, **changes}.items():
        config[key] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return with_weights(lambda: EfficientDet(config, pretrained_backbone=False), weights)


def by_level(answers, numbers):
    """effdet's answers of each level, (B, anchors x numbers, H, W), as ours are: (B, anchors, numbers)."""
    return [each.permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, numbers)) for each in answers]


def boxes_in_our_order(offsets):
    """(y, x, height, width) as (x, y, width, height)."""
    return offsets[..., [1, 0, 3, 2]]
