"""What the tests of models share: random statistics that make numerics visible, and how far two answers are apart."""

import os
import traceback

import torch
from torch import nn

from triscale.models.assembler import ConvNet
from triscale.spec.block import Block, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stem, stage

SAME = Numerics("same", 1e-3, 0.01)


def randomised(model, seed=0):
    """Random BatchNorm weights and statistics, so that eps, padding and every tensor leave their mark on the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
                module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
                module.running_mean.copy_(torch.randn(module.bias.shape, generator=generator) * 0.1)
                module.running_var.copy_(torch.rand(module.bias.shape, generator=generator) + 0.5)
    return model.eval()


def with_weights(build, weights):
    """The peer that `build()` makes, holding `weights`; made without paying for its own initialisation."""
    with torch.device("meta"):
        peer = build()
    peer.load_state_dict(weights, assign=True)
    return peer.eval()


def photos(height, width, count=1, channels=3, seed=1):
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def answer(model, images):
    return model(images)


def relative_error(found, expected):
    return ((found - expected).abs().max() / expected.abs().max()).item()


def small_network(**changes):
    """A network of three stages that builds and runs in milliseconds."""
    fields = {
        "name": "small",
        "stem": Stem(8),
        "stages": (
            stage(Block("mbconv", 8, 3, 1, squeeze=Squeeze(0.25)), 1),
            stage(Block("mbconv", 16, 3, 2, 4, squeeze=Squeeze(0.25)), 2),
            stage(Block("mbconv", 24, 5, 2, 4, squeeze=Squeeze(0.25)), 2),
        ),
        "head": Head(32),
        "resolution": (32, 32),
        "classes": 5,
        "numerics": SAME,
    }
    return Network(**{**fields, **changes})


def small_model(seed=0, **changes):
    torch.manual_seed(seed)
    return randomised(ConvNet(small_network(**changes)))


def in_child(work):
    """Run `work` in a forked process, which may give up rights; True when it ended without an exception."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
