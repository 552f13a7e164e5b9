"""MobileNet V1, V2 and V3, and the widths and depths of them that timm publishes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from triscale.spec.block import Activation, Block, Squeeze
from triscale.spec.families.family import Family, Member, Row, scaled, stages_of
from triscale.spec.network import Head, Network, Numerics, Stage, Stem
from triscale.spec.owners import (
    AROUND_HALF,
    AROUND_HALF_BILINEAR,
    GOOGLE,
    IMAGENET,
    IMAGENET_BILINEAR,
    TIMM,
    TORCHVISION_MOBILE,
    Owner,
)
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.rounding import Rounding
from triscale.spec.scaling import scale

# Howard et al. 2017, table 1, https://arxiv.org/abs/1704.04861
#       kind       expand kernel stride channels repeats
V1 = (
    Row("separable", 1, 3, 1, 64, 1),
    Row("separable", 1, 3, 2, 128, 2),
    Row("separable", 1, 3, 2, 256, 2),
    Row("separable", 1, 3, 2, 512, 6),
    Row("separable", 1, 3, 2, 1024, 2),
)

# Sandler et al. 2018, table 2, https://arxiv.org/abs/1801.04381
V2 = (
    Row("mbconv", 1, 3, 1, 16, 1),
    Row("mbconv", 6, 3, 2, 24, 2),
    Row("mbconv", 6, 3, 2, 32, 3),
    Row("mbconv", 6, 3, 2, 64, 4),
    Row("mbconv", 6, 3, 1, 96, 3),
    Row("mbconv", 6, 3, 2, 160, 3),
    Row("mbconv", 6, 3, 1, 320, 1),
)

MOBILENET_V1 = {
    "mobilenet_v1": Member(dropout=0.0),
    "mobilenetv1_125": Member(1.25, dropout=0.0),
}
# torchvision's name, and those that timm alone has
MOBILENET_V2 = {"mobilenet_v2": Member()}
TIMM_V2 = {
    "mobilenetv2_035": Member(0.35),
    "mobilenetv2_050": Member(0.5),
    "mobilenetv2_075": Member(0.75),
    "mobilenetv2_140": Member(1.4),
    "mobilenetv2_110d": Member(1.1, 1.2, fixed=True),
    "mobilenetv2_120d": Member(1.2, 1.4, fixed=True),
}
V3_LARGE = {"mobilenet_v3_large": Member()}
V3_SMALL = {"mobilenet_v3_small": Member()}
TIMM_V3_LARGE = {"mobilenetv3_large_075": Member(0.75)}
TIMM_V3_SMALL = {"mobilenetv3_small_050": Member(0.5, fixed=True), "mobilenetv3_small_075": Member(0.75)}
# Only Google trained these: kernels of 3, ReLU, no squeeze-excite
MINIMAL_LARGE = {"tf_mobilenetv3_large_minimal_100": Member()}
MINIMAL_SMALL = {"tf_mobilenetv3_small_minimal_100": Member()}


class RowV3(NamedTuple):
    """One stage of MobileNetV3; its blocks expand differently. Their hidden widths are multiples of 8."""

    kernel: int
    stride: int
    channels: int
    expand: tuple[float, ...]
    squeeze: bool
    activation: Activation


# Howard et al. 2019, tables 1 and 2, https://arxiv.org/abs/1905.02244
#     kernel stride channels expand squeeze activation
LARGE = (
    RowV3(3, 1, 16, (1,), False, "relu"),
    RowV3(3, 2, 24, (4, 3), False, "relu"),
    RowV3(5, 2, 40, (3, 3, 3), True, "relu"),
    RowV3(3, 2, 80, (6, 2.5, 2.3, 2.3), False, "hardswish"),
    RowV3(3, 1, 112, (6, 6), True, "hardswish"),
    RowV3(5, 2, 160, (6, 6, 6), True, "hardswish"),
)
SMALL = (
    RowV3(3, 2, 16, (1,), True, "relu"),
    RowV3(3, 2, 24, (4.5, 3.67), False, "relu"),
    RowV3(5, 2, 40, (4, 6, 6), True, "hardswish"),
    RowV3(5, 1, 48, (3, 3), True, "hardswish"),
    RowV3(5, 2, 96, (6, 6, 6), True, "hardswish"),
)
SQUEEZE = Squeeze(0.25, "hidden", 8, gate="hardsigmoid", activation="relu")
ROUNDING = Rounding()


def _minimal(rows: tuple[RowV3, ...]) -> tuple[RowV3, ...]:
    return tuple(row._replace(kernel=3, squeeze=False, activation="relu") for row in rows)


def _v1() -> Network:
    stem, head = Stem(32, activation="relu6"), Head(None, "relu6")
    return Network("", stem, stages_of(V1, "relu6"), head, drop_connect=0)


def _v2(member: Member) -> Network:
    """Scaled; the head never becomes narrower than 1,280, and what is `fixed` is not scaled at all."""
    stem = Stem(32, activation="relu6", scaled=not member.fixed)
    head = Head(1280, "relu6", scaling="fixed" if member.fixed else "grow")
    stages = stages_of(V2, "relu6", deepen_ends=not member.fixed)
    return scale(Network("", stem, stages, head, drop_connect=0), member.depth, member.width)


def _v3(member: Member, rows: tuple[RowV3, ...], conv: int, linear: int) -> Network:
    """Hidden widths follow from the rounded ones, so that a narrower network is built anew, not scaled.

    The pooled linear layer has one width for all; `fixed` is the stem of the narrowest.
    """
    activation = rows[-1].activation

    def rounded(channels: int) -> int:
        return ROUNDING.channels(channels, member.width)

    stem = Stem(16 if member.fixed else rounded(16), activation=activation)
    stages, reaching = [], stem.channels
    for row in rows:
        stages.append(_stage_v3(row, reaching, rounded(row.channels)))
        reaching = stages[-1].channels
    head = Head(rounded(conv), activation, linear=linear)
    return scale(Network("", stem, tuple(stages), head, drop_connect=0), member.depth)


def _stage_v3(row: RowV3, reaching: int, channels: int) -> Stage:
    blocks = []
    for index, expand in enumerate(row.expand):
        hidden = None if expand == 1 else ROUNDING.nearest(reaching * expand)
        squeeze = SQUEEZE if row.squeeze else None
        stride = row.stride if index == 0 else 1
        blocks.append(
            Block("mbconv", channels, row.kernel, stride, hidden=hidden, squeeze=squeeze, activation=row.activation)
        )
        reaching = channels
    return Stage(tuple(blocks))


class Owned(NamedTuple):
    """Whose a table of sizes is: that owner's numerics, and how it reads photographs."""

    owner: Owner
    numerics: Numerics
    preprocessing: Preprocessing


_TORCHVISIONS = Owned("torchvision", TORCHVISION_MOBILE, IMAGENET_BILINEAR)
_TIMMS = Owned("timm", TIMM, IMAGENET)
_GOOGLES = Owned("Google", GOOGLE, AROUND_HALF_BILINEAR)


def _families_v2() -> Iterator[Family]:
    for members, reading in ((MOBILENET_V2, IMAGENET_BILINEAR), (TIMM_V2, IMAGENET)):
        owner: Owner = "torchvision" if members is MOBILENET_V2 else "timm"
        yield Family(
            "MobileNetV2", "https://arxiv.org/abs/1801.04381", members, _v2, owner=owner, preprocessing=reading
        )


def _families_v3() -> Iterator[Family]:
    large, small = (LARGE, 960, 1280), (SMALL, 576, 1024)
    for title, members, (rows, conv, linear), (owner, numerics, reading) in (
        ("MobileNetV3-Large", V3_LARGE, large, _TORCHVISIONS),
        ("MobileNetV3-Large", TIMM_V3_LARGE, large, _TIMMS),
        ("MobileNetV3-Large minimal", MINIMAL_LARGE, (_minimal(LARGE), 960, 1280), _GOOGLES),
        ("MobileNetV3-Small", V3_SMALL, small, _TORCHVISIONS),
        ("MobileNetV3-Small", TIMM_V3_SMALL, small, _TIMMS),
        ("MobileNetV3-Small minimal", MINIMAL_SMALL, (_minimal(SMALL), 576, 1024), _GOOGLES),
    ):
        make = partial(_v3, rows=rows, conv=conv, linear=linear)
        yield Family(
            title,
            "https://arxiv.org/abs/1905.02244",
            members,
            make,
            owner=owner,
            numerics=numerics,
            preprocessing=reading,
        )


FAMILIES = (
    Family("MobileNetV1", "https://arxiv.org/abs/1704.04861", MOBILENET_V1, scaled(_v1), preprocessing=AROUND_HALF),
    *_families_v2(),
    *_families_v3(),
)
