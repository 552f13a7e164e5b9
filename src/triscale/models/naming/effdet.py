"""effdet's names of its detectors' backbones: timm's behind a prefix, without what stands behind the feature maps.

Source: keys of effdet 0.4.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from triscale.models.naming import timm
from triscale.models.naming.walk import Pairs
from triscale.spec.network import Network, Numerics
from triscale.spec.owners import GOOGLE, TIMM

PREFIX = "backbone."
DETECTOR = ("fpn.", "class_net.", "box_net.", "anchors.")  # what its detectors have beside the backbone


def names(network: Network) -> Pairs:
    """(our layer, effdet's) for every layer of stem and stages; of MobileNetV3's head, the convolution too."""
    linear = network.head is not None and network.head.linear is not None
    for ours, theirs in timm.names(network):
        if not ours.startswith("head.") or (linear and ours.startswith("head.conv.")):
            yield ours, f"{PREFIX}{theirs}"


def numerics(keys: Iterable[str]) -> Numerics | None:
    """How a detector computes, told by its keys; None for a backbone alone.

    Google's detectors keep a bias before each BatchNorm of the pyramid; those that effdet trained itself have none.
    """
    pyramid = [key for key in keys if key.startswith("fpn.")]
    if not pyramid:
        return None
    return GOOGLE if any(key.endswith("conv.bias") for key in pyramid) else TIMM
