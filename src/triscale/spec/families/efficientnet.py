"""EfficientNet V1, Lite and EdgeTPU: one method of scaling, three baselines."""

from __future__ import annotations

from dataclasses import replace

from triscale.spec.block import Squeeze
from triscale.spec.families.family import Family, Member, Row, scaled, stages_of
from triscale.spec.network import Head, Network, Stem
from triscale.spec.owners import AROUND_127, GOOGLE

# Tan & Le 2019, table 1, https://arxiv.org/abs/1905.11946
#       kind    expand kernel stride channels repeats squeeze
B0 = (
    Row("mbconv", 1, 3, 1, 16, 1, True),
    Row("mbconv", 6, 3, 2, 24, 2, True),
    Row("mbconv", 6, 5, 2, 40, 2, True),
    Row("mbconv", 6, 3, 2, 80, 3, True),
    Row("mbconv", 6, 5, 1, 112, 3, True),
    Row("mbconv", 6, 5, 2, 192, 4, True),
    Row("mbconv", 6, 3, 1, 320, 1, True),
)

# tensorflow/tpu efficientnet_builder.py; the released multipliers, not powers of alpha, beta and gamma
#                         width depth resolution dropout
V1 = {
    "efficientnet_b0": Member(1.0, 1.0, 224, 0.2),
    "efficientnet_b1": Member(1.0, 1.1, 240, 0.2),
    "efficientnet_b2": Member(1.1, 1.2, 260, 0.3),
    "efficientnet_b3": Member(1.2, 1.4, 300, 0.3),
    "efficientnet_b4": Member(1.4, 1.8, 380, 0.4),
    "efficientnet_b5": Member(1.6, 2.2, 456, 0.4),
    "efficientnet_b6": Member(1.8, 2.6, 528, 0.5),
    "efficientnet_b7": Member(2.0, 3.1, 600, 0.5),
    "efficientnet_b8": Member(2.2, 3.6, 672, 0.5),
    "efficientnet_l2": Member(4.3, 5.3, 800, 0.5),
}

# timm's own weights: (training, evaluation) pixels; timm 1.0.31, efficientnet.py default_cfgs
TIMM_SIZES = {
    "efficientnet_b1": (240, 288),
    "efficientnet_b2": (256, 288),
    "efficientnet_b3": (288, 320),
    "efficientnet_b4": (320, 384),
}

# tensorflow/tpu lite/efficientnet_lite_builder.py: ReLU6, no squeeze-excite; stem, head, and the depth of the first and
# last stage are not scaled
LITE = {
    "efficientnet_lite0": Member(1.0, 1.0, 224, 0.2),
    "efficientnet_lite1": Member(1.0, 1.1, 240, 0.2),
    "efficientnet_lite2": Member(1.1, 1.2, 260, 0.3),
    "efficientnet_lite3": Member(1.2, 1.4, 280, 0.3, interpolation="bilinear"),
    "efficientnet_lite4": Member(1.4, 1.8, 300, 0.3, interpolation="bilinear"),
}

# tensorflow/tpu edgetpu/efficientnet_edgetpu_builder.py: ReLU, no squeeze-excite
EDGE = (
    Row("fused", 4, 3, 1, 24, 1, skip=False),
    Row("fused", 8, 3, 2, 32, 2),
    Row("fused", 8, 3, 2, 48, 4),
    Row("mbconv", 8, 5, 2, 96, 5),
    Row("mbconv", 8, 5, 1, 144, 4),
    Row("mbconv", 8, 5, 2, 192, 2),
)
EDGETPU = {
    "efficientnet_edgetpu_s": Member(1.0, 1.0, 224, 0.2),
    "efficientnet_edgetpu_m": Member(1.0, 1.1, 240, 0.2),
    "efficientnet_edgetpu_l": Member(1.2, 1.4, 300, 0.3),
}


def _v1() -> Network:
    return Network("efficientnet_b0", Stem(32), stages_of(B0, "silu", Squeeze(0.25)), Head(1280))


def _lite() -> Network:
    rows = tuple(row._replace(squeeze=False) for row in B0)
    stem, head = Stem(32, activation="relu6", scaled=False), Head(1280, "relu6", scaling="fixed")
    return Network("efficientnet_lite0", stem, stages_of(rows, "relu6", deepen_ends=False), head)


def _edgetpu() -> Network:
    first, *others = stages_of(EDGE, "relu")
    # The first stage expands to four times its own width, not the stem's: 96 channels from 32, 128 from 40.
    block = replace(first.blocks[0], relative_to="output")
    stages = (replace(first, blocks=(block,)), *others)
    return Network("efficientnet_edgetpu_s", Stem(32, activation="relu"), stages, Head(1280, "relu"))


FAMILIES = (
    Family("EfficientNet", "https://arxiv.org/abs/1905.11946", V1, scaled(_v1), google=GOOGLE, sizes=TIMM_SIZES),
    Family(
        "EfficientNet-Lite",
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
        LITE,
        scaled(_lite),
        google=GOOGLE,
        preprocessing=AROUND_127,
    ),
    Family(
        "EfficientNet-EdgeTPU",
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/edgetpu",
        EDGETPU,
        scaled(_edgetpu),
        google=GOOGLE,
        preprocessing=AROUND_127,
    ),
)
