"""The network that DetNAS found for COCO: units of ShuffleNetV2, one choice for each of twenty places."""

from __future__ import annotations

from triscale.spec.block import Block, Kind
from triscale.spec.families.family import Family, Member, scaled
from triscale.spec.network import Head, Network, Stage, Stem

# Chen et al. 2019, https://arxiv.org/abs/1903.10979; the choice of each of 20 blocks as released in megvii-model/DetNAS
COCO_FPN_300M = (2, 1, 2, 0, 2, 1, 1, 2, 3, 3, 1, 3, 0, 0, 3, 1, 3, 1, 3, 2)
CHOICES: tuple[tuple[Kind, int], ...] = (("shuffle", 3), ("shuffle", 5), ("shuffle", 7), ("xception", 3))
REPEATS, CHANNELS = (4, 4, 8, 4), (64, 160, 320, 640)


def _detnas(genes: tuple[int, ...]) -> Network:
    choices = iter(genes)
    stages = []
    for length, channels in zip(REPEATS, CHANNELS, strict=True):
        blocks = []
        for index in range(length):
            kind, kernel = CHOICES[next(choices)]
            stride = 2 if index == 0 else 1
            blocks.append(Block(kind, channels, kernel, stride, 0.5, relative_to="output", activation="relu"))
        stages.append(Stage(tuple(blocks)))
    return Network("", Stem(16, activation="relu", bias=True), tuple(stages), Head(1024, "relu"), drop_connect=0.0)


FAMILIES = (
    Family(
        "DetNAS",
        "https://arxiv.org/abs/1903.10979",
        {"detnas_coco_fpn_300m": Member()},
        scaled(lambda: _detnas(COCO_FPN_300M)),
        owner="Megvii",
    ),
)
