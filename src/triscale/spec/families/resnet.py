"""ResNets: two kinds of block, four stages; wide ones and those with squeeze-excite are a number or a field more."""

from __future__ import annotations

from typing import NamedTuple

from triscale.spec.block import Block, Kind, Squeeze
from triscale.spec.families.family import Family, Member, scaled
from triscale.spec.network import Head, Network, Stem, stage
from triscale.spec.owners import IMAGENET, IMAGENET_BILINEAR, TORCHVISION_READS

PAPER = "https://arxiv.org/abs/1512.03385"
WIDE = "https://arxiv.org/abs/1605.07146"
SQUEEZED = "https://arxiv.org/abs/1709.01507"

SQUEEZE = Squeeze(1 / 16, "output", 8, activation="relu")  # Hu et al. 2018, section 4: reduction ratio 16
CHANNELS = (64, 128, 256, 512)  # of the basic block; the bottleneck writes four times as many


class Layout(NamedTuple):
    """Blocks of the four stages, and what they are made of: `inner` is the hidden width of a bottleneck's output."""

    kind: Kind
    repeats: tuple[int, int, int, int]
    inner: float = 0.25
    squeeze: Squeeze | None = None


# He et al. 2016, table 1; 200 layers: https://arxiv.org/abs/1603.05027, table 5
LAYOUTS = {
    "resnet18": Layout("basic", (2, 2, 2, 2)),
    "resnet34": Layout("basic", (3, 4, 6, 3)),
    "resnet50": Layout("bottleneck", (3, 4, 6, 3)),
    "resnet101": Layout("bottleneck", (3, 4, 23, 3)),
    "resnet152": Layout("bottleneck", (3, 8, 36, 3)),
    "resnet200": Layout("bottleneck", (3, 24, 36, 3)),
    "wide_resnet50_2": Layout("bottleneck", (3, 4, 6, 3), inner=0.5),
    "wide_resnet101_2": Layout("bottleneck", (3, 4, 23, 3), inner=0.5),
    "seresnet18": Layout("basic", (2, 2, 2, 2), squeeze=SQUEEZE),
    "seresnet34": Layout("basic", (3, 4, 6, 3), squeeze=SQUEEZE),
    "seresnet50": Layout("bottleneck", (3, 4, 6, 3), squeeze=SQUEEZE),
    "seresnet101": Layout("bottleneck", (3, 4, 23, 3), squeeze=SQUEEZE),
    "seresnet152": Layout("bottleneck", (3, 8, 36, 3), squeeze=SQUEEZE),
}


def _resnet(layout: Layout) -> Network:
    basic = layout.kind == "basic"
    stages = tuple(
        stage(
            Block(
                layout.kind,
                channels if basic else 4 * channels,
                stride=1 if number == 0 else 2,
                expand=1.0 if basic else layout.inner,
                relative_to="output",
                squeeze=layout.squeeze,
                activation="relu",
            ),
            repeats,
        )
        for number, (channels, repeats) in enumerate(zip(CHANNELS, layout.repeats, strict=True))
    )
    stem, head = Stem(64, 7, 2, "relu", pool=True), Head(None, "relu")
    return Network("", stem, stages, head, drop_connect=0)


def _family(name: str, layout: Layout) -> Family:
    paper = SQUEEZED if layout.squeeze else WIDE if layout.inner == 0.5 else PAPER
    # Most are torchvision's and timm's, under the same names and with the same numerics; the others timm's alone.
    shared = name in TORCHVISION_READS
    return Family(
        "SE-ResNet" if layout.squeeze else "ResNet",
        paper,
        {name: Member(dropout=0.0)},
        scaled(lambda: _resnet(layout)),
        owner="torchvision" if shared else "timm",
        preprocessing=IMAGENET_BILINEAR if shared else IMAGENET,
    )


FAMILIES = tuple(_family(name, layout) for name, layout in LAYOUTS.items())
