"""EfficientDet: D0 to D7x and the Lite ones, as Google released them, and the same detectors by effdet's names.

A name fixes the numerics: `efficientdet_d0` is Google's (SAME padding, eps 1e-3, biases before BatchNorm), and so is
effdet's `tf_efficientdet_d0`; effdet's own D0 to D5, which it calls as Google's are called here, are
`effdet_efficientdet_d0` and so on.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from triscale.errors import SpecError
from triscale.spec.detector import DETECTOR_NUMERICS, Anchors, Detector, Heads
from triscale.spec.families import network
from triscale.spec.network import Network, Numerics, Size, as_size
from triscale.spec.owners import AROUND_127, AROUND_HALF, IMAGENET, Owner
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.pyramid import Fusion, Pyramid
from triscale.spec.pyramids import bifpn
from triscale.spec.suppression import Suppression

PAPER = "https://arxiv.org/abs/1911.09070"
LITE_PAGE = "https://github.com/google/automl/blob/master/efficientdet/README.md"


class Member(NamedTuple):
    """One released detector: its backbone, its sizes, and what differs from the others."""

    backbone: str
    resolution: int
    channels: int
    pyramid_repeats: int
    head_repeats: int
    anchor_scale: float = 4.0
    fusion: Fusion = "fast"
    levels: tuple[int, int] = (3, 7)
    drop_connect: float = 0.2


# google/automl hparams_config.py; Tan, Pang & Le 2020, table 1. What departs from the rule of section 4.2 is in
# spec/released_detectors.py.
#                            backbone              pixels channels pyramid heads scale fusion
D = {
    "efficientdet_d0": Member("tf_efficientnet_b0", 512, 64, 3, 3, drop_connect=0.0),
    "efficientdet_d1": Member("tf_efficientnet_b1", 640, 88, 4, 3),
    "efficientdet_d2": Member("tf_efficientnet_b2", 768, 112, 5, 3),
    "efficientdet_d3": Member("tf_efficientnet_b3", 896, 160, 6, 4),
    "efficientdet_d4": Member("tf_efficientnet_b4", 1024, 224, 7, 4),
    "efficientdet_d5": Member("tf_efficientnet_b5", 1280, 288, 7, 4),
    "efficientdet_d6": Member("tf_efficientnet_b6", 1280, 384, 8, 5, 4.0, "sum"),
    "efficientdet_d7": Member("tf_efficientnet_b6", 1536, 384, 8, 5, 5.0, "sum"),
    "efficientdet_d7x": Member("tf_efficientnet_b7", 1536, 384, 8, 5, 4.0, "sum", (3, 8)),
}

# google/automl hparams_config.py: ReLU6, no squeeze-excite, plain sums
LITE = {
    "efficientdet_lite0": Member("tf_efficientnet_lite0", 320, 64, 3, 3, 3.0, "sum", drop_connect=0.0),
    "efficientdet_lite1": Member("tf_efficientnet_lite1", 384, 88, 4, 3, 3.0, "sum"),
    "efficientdet_lite2": Member("tf_efficientnet_lite2", 448, 112, 5, 3, 3.0, "sum"),
    "efficientdet_lite3": Member("tf_efficientnet_lite3", 512, 160, 6, 4, 4.0, "sum"),
    "efficientdet_lite3x": Member("tf_efficientnet_lite3", 640, 200, 6, 4, 3.0, "sum"),
    "efficientdet_lite4": Member("tf_efficientnet_lite4", 640, 224, 7, 4, 4.0, "sum"),
}
MEMBERS: Mapping[str, Member] = {**D, **LITE}


class DetectorAlias(NamedTuple):
    """Another name of a released detector, and what differs from it under our name (None: nothing).

    timm_backbone: it has timm's own numerics. pyramid: the numerics of pyramid and heads.
    """

    detector: str
    owner: Owner = "Google"
    preprocessing: Preprocessing | None = None
    timm_backbone: bool = False
    pyramid: Numerics | None = None
    redundant_bias: bool = True


SYMMETRIC_PYRAMID = replace(DETECTOR_NUMERICS, padding="symmetric")
# As google/automl's Det-AdvProp.md and effdet's *_ap; black beside the photograph.
ADVERSARIAL = replace(AROUND_HALF, fill=0.0)

# effdet 0.4.1, config/model_config.py
DETECTOR_ALIASES: Mapping[str, DetectorAlias] = {
    **{f"tf_{name}": DetectorAlias(name) for name in D},
    # effdet normalises with 0.5, Google with (x - 127) / 128: a hair's breadth, and told apart all the same.
    **{f"tf_{name}": DetectorAlias(name, "timm", AROUND_HALF) for name in LITE},
    **{f"tf_{name}_ap": DetectorAlias(name, "Google", ADVERSARIAL) for name in list(D)[:6]},
    **{
        f"effdet_{name}": DetectorAlias(name, "timm", None, True, SYMMETRIC_PYRAMID, redundant_bias=False)
        for name in list(D)[:4]
    },
    **{f"effdet_{name}": DetectorAlias(name, "timm", None, True) for name in list(D)[4:6]},
}


def list_detectors() -> list[str]:
    """Our names, by size; `detector` knows the names in DETECTOR_ALIASES too."""
    return list(MEMBERS)


def is_detector(name: str) -> bool:
    """Whether `detector` knows the name."""
    return name in MEMBERS or name in DETECTOR_ALIASES


def own_detector_name(name: str) -> str:
    """Our name of the detector that is called so.

    Raises: SpecError for an unknown name, with the nearest ones.
    """
    if name in MEMBERS:
        return name
    if name in DETECTOR_ALIASES:
        return DETECTOR_ALIASES[name].detector
    near = difflib.get_close_matches(name.lower().replace("-", "_"), [*MEMBERS, *DETECTOR_ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`triscale list` shows all names."
    raise SpecError(f"no detector is called {name!r}; {hint}")


@lru_cache(maxsize=256)
def detector(name: str) -> Detector:
    """The released detector of that name, with 90 classes (COCO's ids 1 to 90, with gaps; class 0 is id 1).

    Raises: SpecError for an unknown name, with the nearest ones.
    Source: EfficientDet, https://arxiv.org/abs/1911.09070; google/automl efficientdet/hparams_config.py.
    """
    own = own_detector_name(name)
    member, alias = MEMBERS[own], DETECTOR_ALIASES.get(name, DetectorAlias(own))
    backbone = network(member.backbone.removeprefix("tf_") if alias.timm_backbone else member.backbone)
    activation = backbone.stem.activation
    pyramid = bifpn(member.channels, member.pyramid_repeats, member.levels, member.fusion, activation)
    return Detector(
        name,
        _headless(backbone, (member.resolution, member.resolution), member.drop_connect),
        pyramid,
        Heads(member.head_repeats, activation=activation),
        Anchors(member.anchor_scale),
        numerics=alias.pyramid or DETECTOR_NUMERICS,
        redundant_bias=alias.redundant_bias,
    )


def detector_preprocessing(name: str) -> Preprocessing:
    """How the owner of the released weights of that name reads photographs: scaled to fit, the rest filled with `mean`.

    Raises: SpecError for an unknown name, with the nearest ones.
    Source: google/automl dataloader.py; effdet 0.4.1 model_config.py.
    """
    own = own_detector_name(name)
    alias = DETECTOR_ALIASES.get(name)
    reads = alias.preprocessing if alias is not None else None
    return letterboxed(reads or (AROUND_127 if own in LITE else IMAGENET), MEMBERS[own].resolution)


def letterboxed(base: Preprocessing, size: int | Size) -> Preprocessing:
    """`base` for a detector: the whole photograph, its aspect kept, bilinear, at `size` in pixels."""
    return replace(base, size=as_size(size), train_size=None, interpolation="bilinear", fit="letterbox", crop=1.0)


def detector_from(
    backbone: Network,
    pyramid: Pyramid | None = None,
    *,
    name: str | None = None,
    heads: Heads | None = None,
    anchors: Anchors | None = None,
    classes: int = 90,
    resolution: int | Size | None = None,
    numerics: Numerics | None = None,
    redundant_bias: bool = False,
    suppression: Suppression | None = None,
) -> Detector:
    """A detector on any network's maps at strides 8, 16 and 32, whether or not the network has a head.

    pyramid: D0's BiFPN with the backbone's activation by default. heads: three layers with the pyramid's activation.
    resolution: pixels, one number or (H, W); 512 by default, as D0's.
    numerics: of pyramid and heads; the backbone's padding and the released eps and momentum by default.
    redundant_bias: biases before BatchNorm, which change nothing and which Google's released weights have.
    Raises: SpecError where the backbone has no such maps.

    Example: detector_from(network("resnet50"), fpn(128, 1), classes=3)
    """
    if pyramid is None:
        pyramid = bifpn(64, 3, activation=backbone.stem.activation)
    return Detector(
        f"{backbone.name}-{pyramid.kind or 'pyramid'}" if name is None else name,
        _headless(backbone, 512 if resolution is None else resolution, backbone.drop_connect),
        pyramid,
        heads or Heads(activation=pyramid.activation),
        anchors or Anchors(),
        classes,
        numerics or replace(DETECTOR_NUMERICS, padding=backbone.numerics.padding),
        redundant_bias,
        suppression or Suppression(),
    )


def _headless(backbone: Network, resolution: int | Size, drop_connect: float) -> Network:
    return replace(backbone, head=None, resolution=as_size(resolution), drop_connect=drop_connect)
