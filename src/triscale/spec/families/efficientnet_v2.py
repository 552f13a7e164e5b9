"""EfficientNetV2: fused blocks early, squeeze-excite late; B0 to B3 are scaled, S to XL searched and written out."""

from __future__ import annotations

from dataclasses import replace

from triscale.spec.block import Squeeze
from triscale.spec.families.family import Family, Member, Row, scaled, stages_of
from triscale.spec.network import Head, Network, Stem
from triscale.spec.owners import AROUND_128, GOOGLE_V2, IMAGENET
from triscale.spec.rounding import Rounding

PAPER = "https://arxiv.org/abs/2104.00298"
NO_FLOOR = Rounding(floor=0.0)  # google/automl effnetv2_model.round_filters: B3's first stage stays at 16 channels

# google/automl efficientnetv2/effnetv2_configs.py
#        kind    expand kernel stride channels repeats squeeze
B = (
    Row("fused", 1, 3, 1, 16, 1),
    Row("fused", 4, 3, 2, 32, 2),
    Row("fused", 4, 3, 2, 48, 2),
    Row("mbconv", 4, 3, 2, 96, 3, True),
    Row("mbconv", 6, 3, 1, 112, 5, True),
    Row("mbconv", 6, 3, 2, 192, 8, True),
)
S = (
    Row("fused", 1, 3, 1, 24, 2),
    Row("fused", 4, 3, 2, 48, 4),
    Row("fused", 4, 3, 2, 64, 4),
    Row("mbconv", 4, 3, 2, 128, 6, True),
    Row("mbconv", 6, 3, 1, 160, 9, True),
    Row("mbconv", 6, 3, 2, 256, 15, True),
)
M = (
    Row("fused", 1, 3, 1, 24, 3),
    Row("fused", 4, 3, 2, 48, 5),
    Row("fused", 4, 3, 2, 80, 5),
    Row("mbconv", 4, 3, 2, 160, 7, True),
    Row("mbconv", 6, 3, 1, 176, 14, True),
    Row("mbconv", 6, 3, 2, 304, 18, True),
    Row("mbconv", 6, 3, 1, 512, 5, True),
)
L = (
    Row("fused", 1, 3, 1, 32, 4),
    Row("fused", 4, 3, 2, 64, 7),
    Row("fused", 4, 3, 2, 96, 7),
    Row("mbconv", 4, 3, 2, 192, 10, True),
    Row("mbconv", 6, 3, 1, 224, 19, True),
    Row("mbconv", 6, 3, 2, 384, 25, True),
    Row("mbconv", 6, 3, 1, 640, 7, True),
)
XL = (
    Row("fused", 1, 3, 1, 32, 4),
    Row("fused", 4, 3, 2, 64, 8),
    Row("fused", 4, 3, 2, 96, 8),
    Row("mbconv", 4, 3, 2, 192, 16, True),
    Row("mbconv", 6, 3, 1, 256, 24, True),
    Row("mbconv", 6, 3, 2, 512, 32, True),
    Row("mbconv", 6, 3, 1, 640, 8, True),
)

#                           width depth resolution dropout train
V2_B = {
    "efficientnetv2_b0": Member(1.0, 1.0, 224, 0.2, 192),
    "efficientnetv2_b1": Member(1.0, 1.1, 240, 0.2, 192),
    "efficientnetv2_b2": Member(1.1, 1.2, 260, 0.3, 208),
    "efficientnetv2_b3": Member(1.2, 1.4, 300, 0.3, 240),
}
V2_S = {"efficientnetv2_s": Member(1.0, 1.0, 384, 0.2, 300)}
V2_M = {"efficientnetv2_m": Member(1.0, 1.0, 480, 0.3, 384)}
V2_L = {"efficientnetv2_l": Member(1.0, 1.0, 480, 0.4, 384)}
V2_XL = {"efficientnetv2_xl": Member(1.0, 1.0, 512, 0.4, 384)}

# google/automl preprocessing.py: from 320 pixels up the whole photograph is squashed, not cropped
SQUASHED = replace(AROUND_128, fit="squash")


def _family(rows: tuple[Row, ...], stem: int, members: dict[str, Member]) -> Family:
    def baseline() -> Network:
        return Network("", Stem(stem), stages_of(rows, "silu", Squeeze(0.25)), Head(1280), rounding=NO_FLOOR)

    reading = IMAGENET if rows is B else SQUASHED
    return Family("EfficientNetV2", PAPER, members, scaled(baseline), google=GOOGLE_V2, preprocessing=reading)


FAMILIES = tuple(
    _family(*each) for each in ((B, 32, V2_B), (S, 24, V2_S), (M, 24, V2_M), (L, 32, V2_L), (XL, 32, V2_XL))
)
