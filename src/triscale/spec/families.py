"""The published networks: tables with their papers, and the loop that reads them.

A name fixes its numerics as its owner does: `efficientnet_b0` is timm's (symmetric padding, eps 1e-5),
`tf_efficientnet_b0` Google's (SAME padding, eps 1e-3).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

from triscale.errors import SpecError
from triscale.spec.block import Activation, Block, Kind, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stage, Stem, stage
from triscale.spec.preprocessing import Interpolation, Preprocessing
from triscale.spec.scaling import scale

GOOGLE = Numerics("same", 1e-3, 0.01)
TIMM = Numerics("symmetric", 1e-5, 0.1)
TORCHVISION_MOBILE = Numerics("symmetric", 1e-3, 0.01)


class Row(NamedTuple):
    """One stage of a family's baseline, as its paper prints it."""

    kind: Kind
    expand: float
    kernel: int
    stride: int
    channels: int
    repeats: int


class Member(NamedTuple):
    """One published size: multipliers of the baseline, evaluation pixels, dropout, and how photographs are read."""

    width: float
    depth: float
    resolution: int
    dropout: float
    interpolation: Interpolation = "bicubic"


# Tan & Le 2019, table 1, https://arxiv.org/abs/1905.11946
#       kind      expand kernel stride channels repeats
B0 = (
    Row("mbconv", 1, 3, 1, 16, 1),
    Row("mbconv", 6, 3, 2, 24, 2),
    Row("mbconv", 6, 5, 2, 40, 2),
    Row("mbconv", 6, 3, 2, 80, 3),
    Row("mbconv", 6, 5, 1, 112, 3),
    Row("mbconv", 6, 5, 2, 192, 4),
    Row("mbconv", 6, 3, 1, 320, 1),
)

# tensorflow/tpu efficientnet_builder.py; the released multipliers, not powers of alpha, beta and gamma
#            width depth resolution dropout
V1 = {
    "b0": Member(1.0, 1.0, 224, 0.2),
    "b1": Member(1.0, 1.1, 240, 0.2),
    "b2": Member(1.1, 1.2, 260, 0.3),
    "b3": Member(1.2, 1.4, 300, 0.3),
    "b4": Member(1.4, 1.8, 380, 0.4),
    "b5": Member(1.6, 2.2, 456, 0.4),
    "b6": Member(1.8, 2.6, 528, 0.5),
    "b7": Member(2.0, 3.1, 600, 0.5),
    "b8": Member(2.2, 3.6, 672, 0.5),
    "l2": Member(4.3, 5.3, 800, 0.5),
}

# tensorflow/tpu lite/efficientnet_lite_builder.py: ReLU6, no squeeze-excite; stem, head, and the depth of the first and
# last stage are not scaled
LITE = {
    "lite0": Member(1.0, 1.0, 224, 0.2),
    "lite1": Member(1.0, 1.1, 240, 0.2),
    "lite2": Member(1.1, 1.2, 260, 0.3),
    "lite3": Member(1.2, 1.4, 280, 0.3, "bilinear"),
    "lite4": Member(1.4, 1.8, 300, 0.3, "bilinear"),
}

LITE_PREPROCESSING = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)


def _baseline_v1() -> Network:
    squeeze = Squeeze(0.25)
    stages = tuple(
        stage(Block(r.kind, r.channels, r.kernel, r.stride, r.expand, squeeze=squeeze), r.repeats) for r in B0
    )
    return Network("efficientnet_b0", Stem(32), stages, Head(1280))


def _baseline_lite() -> Network:
    act: Activation = "relu6"
    last = len(B0) - 1
    stages = tuple(
        stage(
            Block(r.kind, r.channels, r.kernel, r.stride, r.expand, activation=act), r.repeats, deepen=0 < i < last
        )
        for i, r in enumerate(B0)
    )  # fmt: skip
    head = Head(1280, act, scaling="fixed")
    return Network("efficientnet_lite0", Stem(32, activation=act, scaled=False), stages, head)


def _mobilenet_v3_large() -> Network:
    """Howard et al. 2019, table 1, https://arxiv.org/abs/1905.02244."""
    squeeze = Squeeze(0.25, "hidden", 8, gate="hardsigmoid", activation="relu")

    def rows(
        kernel: int, stride: int, channels: int, hidden: tuple[int, ...], act: Activation, squeezed: bool
    ) -> Stage:
        return Stage(
            tuple(
                Block(
                    "mbconv", channels, kernel, stride if i == 0 else 1, hidden=h,
                    squeeze=squeeze if squeezed else None, activation=act,
                )
                for i, h in enumerate(hidden)
            )
        )  # fmt: skip

    stages = (
        stage(Block("mbconv", 16, 3, 1, activation="relu")),
        rows(3, 2, 24, (64, 72), "relu", False),
        rows(5, 2, 40, (72, 120, 120), "relu", True),
        rows(3, 2, 80, (240, 200, 184, 184), "hardswish", False),
        rows(3, 1, 112, (480, 672), "hardswish", True),
        rows(5, 2, 160, (672, 960, 960), "hardswish", True),
    )
    head = Head(960, "hardswish", linear=1280)
    return Network("mobilenet_v3_large", Stem(16, activation="hardswish"), stages, head, numerics=TORCHVISION_MOBILE)


# Chen et al. 2019, https://arxiv.org/abs/1903.10979; the choice of each of 20 blocks as released in megvii-model/DetNAS
DETNAS_COCO_FPN_300M = (2, 1, 2, 0, 2, 1, 1, 2, 3, 3, 1, 3, 0, 0, 3, 1, 3, 1, 3, 2)
DETNAS_CHOICES: tuple[tuple[Kind, int], ...] = (("shuffle", 3), ("shuffle", 5), ("shuffle", 7), ("xception", 3))


def _detnas(genes: tuple[int, ...], stem: int, repeats: tuple[int, ...], widths: tuple[int, ...]) -> Network:
    choices = iter(genes)
    stages = []
    for length, channels in zip(repeats, widths, strict=True):
        blocks = []
        for index in range(length):
            kind, kernel = DETNAS_CHOICES[next(choices)]
            blocks.append(
                Block(
                    kind, channels, kernel, 2 if index == 0 else 1, 0.5, relative_to="output", activation="relu"
                )
            )  # fmt: skip
        stages.append(Stage(tuple(blocks)))
    head = Head(1024, "relu")
    return Network(
        "detnas_coco_fpn_300m", Stem(stem, activation="relu", bias=True), tuple(stages), head, drop_connect=0.0
    )


def _member(baseline: Network, name: str, size: Member) -> Network:
    scaled = scale(baseline, size.depth, size.width)
    assert scaled.head is not None  # both baselines have one
    return replace(
        scaled,
        name=name,
        head=replace(scaled.head, dropout=size.dropout),
        resolution=(size.resolution, size.resolution),
        numerics=GOOGLE if name.startswith("tf_") else TIMM,
    )


def _builders() -> dict[str, Callable[[], Network]]:
    rows: dict[str, Callable[[], Network]] = {}
    for baseline, sizes in ((_baseline_v1, V1), (_baseline_lite, LITE)):
        for suffix, size in sizes.items():
            for name in (f"efficientnet_{suffix}", f"tf_efficientnet_{suffix}"):
                rows[name] = partial(lambda baseline, name, size: _member(baseline(), name, size), baseline, name, size)
    rows["mobilenet_v3_large"] = _mobilenet_v3_large
    rows["detnas_coco_fpn_300m"] = partial(_detnas, DETNAS_COCO_FPN_300M, 16, (4, 4, 8, 4), (64, 160, 320, 640))
    return rows


NETWORKS = _builders()


def list_networks() -> list[str]:
    """Every name that `network` knows, in the order of families and sizes."""
    return list(NETWORKS)


@lru_cache(maxsize=256)
def network(name: str) -> Network:
    """The published network of that name.

    Raises: SpecError for an unknown name, with the nearest ones.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name.lower().replace("-", "_"), NETWORKS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "`triscale list` shows all names."
        raise SpecError(f"no network is called {name!r}; {hint}")
    return NETWORKS[name]()


def preprocessing(name: str) -> Preprocessing:
    """How the published weights of that name want their photographs.

    Source: tensorflow/tpu preprocessing.py (V1: crop size / (size + 32) of the short side; Lite: (x - 127) / 128).
    """
    side = network(name).resolution[0]
    base = LITE_PREPROCESSING if "_lite" in name else Preprocessing()
    member = {**V1, **LITE}.get(name.rsplit("_", 1)[-1])
    return replace(
        base,
        size=(side, side),
        crop=round(side / (side + 32), 4),
        interpolation=member.interpolation if member else "bicubic",
    )
