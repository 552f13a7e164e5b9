"""The names that other libraries give to our networks, with their owner's numerics and way of reading photographs.

timm's names of pretrained weights ("efficientnet_b0.ra_in1k") need no row: the tag behind the dot says what the weights
were trained on, not what the network is.
Source: timm 1.0.31 (its older names too) and torchvision 0.28.0; effdet 0.4.1 calls its backbones by timm's names.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from triscale.spec.network import Numerics
from triscale.spec.owners import AROUND_HALF_BILINEAR, GOOGLE, IMAGENET, TIMM, TORCHVISION_READS, Owner
from triscale.spec.preprocessing import Preprocessing

TAG = re.compile(r"\.\w*in\d+k\w*$")


class Alias(NamedTuple):
    """Another name of a network: whose, and what differs from the network under our name (None: nothing)."""

    network: str
    owner: Owner = "timm"
    numerics: Numerics | None = None
    preprocessing: Preprocessing | None = None


def without_tag(name: str) -> str:
    """A name without timm's tag of pretrained weights: "efficientnet_b0.ra_in1k" -> "efficientnet_b0"."""
    return TAG.sub("", name)


def _torchvisions(network: str) -> Alias:
    reads = TORCHVISION_READS[network]
    return Alias(network, "torchvision", reads.numerics, reads.preprocessing)


ALIASES = {
    **{f"efficientnet_e{size}": Alias(f"efficientnet_edgetpu_{size}") for size in "sml"},
    **{f"tf_efficientnet_e{size}": Alias(f"tf_efficientnet_edgetpu_{size}", "Google") for size in "sml"},
    "mobilenetv1_100": Alias("mobilenet_v1"),
    "mobilenetv2_100": Alias("mobilenet_v2", preprocessing=IMAGENET),
    "mobilenetv3_large_100": Alias("mobilenet_v3_large", "timm", TIMM, IMAGENET),
    "mobilenetv3_small_100": Alias("mobilenet_v3_small", "timm", TIMM, IMAGENET),
    "tf_mobilenetv3_large_100": Alias("mobilenet_v3_large", "Google", GOOGLE, AROUND_HALF_BILINEAR),
    "tf_mobilenetv3_small_100": Alias("mobilenet_v3_small", "Google", GOOGLE, AROUND_HALF_BILINEAR),
    "tf_mobilenetv3_large_075": Alias("mobilenetv3_large_075", "Google", GOOGLE, AROUND_HALF_BILINEAR),
    "tf_mobilenetv3_small_075": Alias("mobilenetv3_small_075", "Google", GOOGLE, AROUND_HALF_BILINEAR),
    "mnasnet_100": Alias("mnasnet_b1"),
    "semnasnet_100": Alias("mnasnet_a1"),
    # torchvision; where a name of its is timm's too, the file's tensors say whose they are
    **{f"efficientnet_v2_{size}": _torchvisions(f"efficientnetv2_{size}") for size in "sml"},
    "mnasnet0_5": _torchvisions("mnasnet_050"),
    "mnasnet0_75": _torchvisions("mnasnet_075"),
    "mnasnet1_0": _torchvisions("mnasnet_b1"),
    # timm's older names
    "efficientnet_b2a": Alias("efficientnet_b2"),
    "efficientnet_b3a": Alias("efficientnet_b3"),
    **{f"tf_efficientnet_b{size}_ap": Alias(f"tf_efficientnet_b{size}", "Google") for size in range(9)},
    **{f"tf_efficientnet_b{size}_ns": Alias(f"tf_efficientnet_b{size}", "Google") for size in range(8)},
    "tf_efficientnet_l2_ns": Alias("tf_efficientnet_l2", "Google"),
    "tf_efficientnet_l2_ns_475": Alias("tf_efficientnet_l2", "Google"),
    **{
        f"tf_efficientnetv2_{size}_{trained}": Alias(f"tf_efficientnetv2_{size}", "Google")
        for size in ("s", "m", "l", "xl")
        for trained in ("in21k", "in21ft1k")
    },
    "mobilenetv3_large_100_miil": Alias("mobilenet_v3_large", "timm", TIMM, IMAGENET),
    "mobilenetv3_large_100_miil_in21k": Alias("mobilenet_v3_large", "timm", TIMM, IMAGENET),
    **{f"tv_resnet{layers}": Alias(f"resnet{layers}") for layers in (34, 50, 101, 152)},
    **{f"{trained}_resnet{layers}": Alias(f"resnet{layers}") for trained in ("ssl", "swsl") for layers in (18, 50)},
    **{f"gluon_resnet{layers}_v1b": Alias(f"resnet{layers}") for layers in (18, 34, 50, 101, 152)},
}
