"""Networks and detectors with random weights, for what does not depend on the weights: latency and size."""

from __future__ import annotations

from typing import overload

import torch
from torch import nn

from triscale.detection.detector import DetectorNet
from triscale.models.assembler import ConvNet, initialise
from triscale.spec.detector import Detector
from triscale.spec.network import Network


@overload
def untrained(network: Network) -> ConvNet: ...
@overload
def untrained(network: Network | Detector) -> ConvNet | DetectorNet: ...
def untrained(network: Network | Detector) -> ConvNet | DetectorNet:
    """A module of which no two tensors are equal: equal ones would be stored once, and trained ones never are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if isinstance(network, Detector):
            model: ConvNet | DetectorNet = DetectorNet(network, device="cpu")
        else:
            model = ConvNet(network, device="cpu")
        _unequal(model)
    return model.eval()


def randomise(module: nn.Module) -> None:
    """Fresh weights for a part of a network, as `untrained` gives a whole one; the random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for each in module.modules():
            initialise(each)
        _unequal(module)


def _unequal(module: nn.Module) -> None:
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.ndim == 1:
                tensor.add_(torch.rand_like(tensor), alpha=0.1)
