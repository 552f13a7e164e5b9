"""The scaled networks of the EfficientNet paper, as it prints them and as they count.

Source: Tan & Le 2019, tables 3 and 7, https://arxiv.org/abs/1905.11946v5. What the paper calls FLOPS are
multiply-accumulates. It has no column of parameters, and does not say which stages a multiplied depth goes to or how
it rounds; multipliers here act as in `scaling.scale`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from triscale.spec.cost import Cost, cost
from triscale.spec.network import Network
from triscale.spec.rules import Multipliers
from triscale.spec.scaling import scale


class PaperRow(NamedTuple):
    """One row of tables 3 and 7.

    way: "baseline", "depth", "width", "resolution" or "compound".
    macs: as printed, in billions. top1: as printed, per cent.
    given: whether the paper tells the multipliers; where it does not, those of its other compound rows stand here.
    """

    way: str
    multipliers: Multipliers
    macs: float
    top1: float
    given: bool = True


class Counted(NamedTuple):
    """A row of the paper beside what is counted; difference: counted MACs over the printed ones, minus 1."""

    row: PaperRow
    cost: Cost
    difference: float


BASELINE = Multipliers(1.0, 1.0, 1.0)
DEPTH, WIDTH, RESOLUTION = Multipliers(4.0, 1.0, 1.0), Multipliers(1.0, 2.0, 1.0), Multipliers(1.0, 1.0, 2.0)
COMPOUND = Multipliers(1.4, 1.2, 1.3)

# name -> (where in the paper, rows)
PAPER: dict[str, tuple[str, tuple[PaperRow, ...]]] = {
    "mobilenet_v1": (
        "table 3",
        (
            PaperRow("baseline", BASELINE, 0.6, 70.6),
            PaperRow("width", WIDTH, 2.2, 74.2),
            PaperRow("resolution", RESOLUTION, 2.2, 72.7),
            PaperRow("compound", COMPOUND, 2.3, 75.6),
        ),
    ),
    "mobilenet_v2": (
        "table 3",
        (
            PaperRow("baseline", BASELINE, 0.3, 72.0),
            PaperRow("depth", DEPTH, 1.2, 76.8),
            PaperRow("width", WIDTH, 1.1, 76.4),
            PaperRow("resolution", RESOLUTION, 1.2, 74.8),
            PaperRow("compound", COMPOUND, 1.3, 77.4, given=False),
        ),
    ),
    "resnet50": (
        "table 3",
        (
            PaperRow("baseline", BASELINE, 4.1, 76.0),
            PaperRow("depth", DEPTH, 16.2, 78.1),
            PaperRow("width", WIDTH, 14.7, 77.7),
            PaperRow("resolution", RESOLUTION, 16.4, 77.5),
            PaperRow("compound", COMPOUND, 16.7, 78.8, given=False),
        ),
    ),
    "efficientnet_b0": (
        "table 7",
        (
            PaperRow("baseline", BASELINE, 0.4, 77.3),
            PaperRow("depth", DEPTH, 1.8, 79.0),
            PaperRow("width", WIDTH, 1.8, 78.9),
            PaperRow("resolution", RESOLUTION, 1.9, 79.1),
            PaperRow("compound", COMPOUND, 1.8, 81.1),
        ),
    ),
}

# What does not reproduce, as far as it is known why.
_UNKNOWN = "The paper does not give the multipliers of its compound row; those of its other compound rows stand here."
NOTES: dict[str, tuple[str, ...]] = {
    "mobilenet_v1": ("The compound row: the paper does not say how it rounds blocks and pixels.",),
    "mobilenet_v2": (_UNKNOWN,),
    "resnet50": (
        "How the paper multiplies a ResNet's depth and width is not published; here: all blocks times four, and all "
        "channels but the stem's times two.",
        _UNKNOWN,
    ),
    "efficientnet_b0": (
        "Table 7 prints more for one dimension than its multipliers can give: twice 224 pixels are four times 0.386 "
        "billion, which is 1.54, not 1.9. Only its compound row is what it says.",
        "The paper's table 2 has 77.1 % for the same baseline.",
    ),
}
UNSCALED_STEM = ("resnet50",)  # the paper's width row is nearest with the 64 channels of the stem as they are


def paper_rows(base: Network, name: str) -> tuple[Counted, ...]:
    """The paper's rows for the network of that name, each beside what its multipliers give; none for other names."""
    if name not in PAPER:
        return ()
    if name in UNSCALED_STEM:
        base = replace(base, stem=replace(base.stem, scaled=False))
    counted = [(row, cost(scale(base, *row.multipliers))) for row in PAPER[name][1]]
    return tuple(Counted(row, own, own.macs / (row.macs * 1e9) - 1) for row, own in counted)
