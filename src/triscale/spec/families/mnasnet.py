"""MnasNet A1 (with squeeze-excite) and B1 (without), and the widths of them that timm and torchvision publish."""

from __future__ import annotations

from triscale.spec.block import Squeeze
from triscale.spec.families.family import Family, Member, Row, scaled, stages_of
from triscale.spec.network import Head, Network, Stem
from triscale.spec.owners import TORCHVISION_MNASNET

PAPER = "https://arxiv.org/abs/1807.11626"  # figure 7 and section 6.1; tensorflow/tpu mnasnet_models.py

#        kind    expand kernel stride channels repeats squeeze
A1 = (
    Row("mbconv", 1, 3, 1, 16, 1, skip=False),
    Row("mbconv", 6, 3, 2, 24, 2),
    Row("mbconv", 3, 5, 2, 40, 3, True),
    Row("mbconv", 6, 3, 2, 80, 4),
    Row("mbconv", 6, 3, 1, 112, 2, True),
    Row("mbconv", 6, 5, 2, 160, 3, True),
    Row("mbconv", 6, 3, 1, 320, 1),
)
B1 = (
    Row("mbconv", 1, 3, 1, 16, 1, skip=False),
    Row("mbconv", 3, 3, 2, 24, 3),
    Row("mbconv", 3, 5, 2, 40, 3),
    Row("mbconv", 6, 5, 2, 80, 3),
    Row("mbconv", 6, 3, 1, 96, 2),
    Row("mbconv", 6, 5, 2, 192, 4),
    Row("mbconv", 6, 3, 1, 320, 1, skip=False),
)

MNASNET_A1 = {
    "mnasnet_a1": Member(),
    "semnasnet_050": Member(0.5),
    "semnasnet_075": Member(0.75),
    "semnasnet_140": Member(1.4),
}
MNASNET_B1 = {
    "mnasnet_b1": Member(),
    "mnasnet_050": Member(0.5),
    "mnasnet_075": Member(0.75),
    "mnasnet_140": Member(1.4),
    "mnasnet1_3": Member(1.3, interpolation="bilinear", owner="torchvision", numerics=TORCHVISION_MNASNET),
}


def _family(title: str, rows: tuple[Row, ...], members: dict[str, Member]) -> Family:
    def baseline() -> Network:
        stages, head = stages_of(rows, "relu", Squeeze(0.25)), Head(1280, "relu", scaling="fixed")
        return Network("", Stem(32, activation="relu"), stages, head, drop_connect=0)

    return Family(title, PAPER, members, scaled(baseline))


FAMILIES = (_family("MnasNet-A1", A1, MNASNET_A1), _family("MnasNet-B1", B1, MNASNET_B1))
