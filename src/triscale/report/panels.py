"""The panels with which the EfficientNet paper explains scaling, drawn to scale from networks as they are.

Every block is a box: as wide as its channels, as high as its resolution. So depth is more boxes, width wider boxes, and
resolution higher ones. Source of the form: Tan & Le 2019, figure 2, https://arxiv.org/abs/1905.11946.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from triscale.report.canvas import BLUE, GREEN, GREY, INK, ORANGE, VERMILLION, figure, style
from triscale.report.text import pixels
from triscale.spec.cost import cost
from triscale.spec.limits import quantity
from triscale.spec.network import Network, shrink
from triscale.spec.rules import RULES, Multipliers, Rule
from triscale.spec.scaling import scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FACTOR = 4.0  # of the baseline's MACs, before rounding, in every scaled panel
COLORS = {"baseline": GREY, "width": ORANGE, "depth": BLUE, "resolution": GREEN, "compound": VERMILLION}
TITLES = {
    "baseline": "baseline",
    "width": "width scaling",
    "depth": "depth scaling",
    "resolution": "resolution scaling",
    "compound": "compound scaling",
}
WIDE, HIGH = 10.0, 7.6  # inches of the figure
SPACE = 0.004  # between two boxes, as a share of the longest row
ROOM = 0.3  # above and below a row together, as a share of the baseline's height
LINE = 11.5  # points from one line of text to the next


class Panel(NamedTuple):
    """One way of scaling, and the network that it made."""

    way: str
    multipliers: Multipliers
    network: Network


class Box(NamedTuple):
    """One block: its output channels, and the pixels on a side that it writes; stage: -1 for the stem."""

    stage: int
    channels: int
    side: int


def scaling_panels(base: Network, compound: Rule = RULES["compound"], factor: float = FACTOR) -> tuple[Panel, ...]:
    """The baseline, and what width, depth, resolution and all three make of it at `factor` times its MACs."""
    panels = [Panel("baseline", Multipliers(1.0, 1.0, 1.0), base)]
    for way, rule in (*((each, RULES[each]) for each in ("width", "depth", "resolution")), ("compound", compound)):
        multipliers = rule.multipliers(rule.phi(factor))
        panels.append(Panel(way, multipliers, scale(base, *multipliers)))
    return tuple(panels)


def boxes(net: Network) -> tuple[Box, ...]:
    """What is drawn of a network: its stem and its blocks, in order. Heads have no resolution and are left out."""
    size = shrink(net.resolution, net.stem.stride * (2 if net.stem.pool else 1))
    drawn = [Box(-1, net.stem.channels, max(size))]
    for placed in net.placed_blocks():
        size = shrink(size, placed.block.stride)
        drawn.append(Box(placed.stage, placed.block.channels, max(size)))
    return tuple(drawn)


def draw_panels(panels: Sequence[Panel]) -> Figure:
    """Draw the panels below each other, all to the same scale.

    Raises: MissingExtraError without matplotlib.
    """
    drawn = [boxes(panel.network) for panel in panels]
    gap = SPACE * max(sum(box.channels for box in row) for row in drawn)
    longest = max(sum(box.channels + gap for box in row) for row in drawn)
    heights = [row[0].side + ROOM * drawn[0][0].side for row in drawn]
    with style():
        drawing = figure(WIDE, HIGH)
        grid = drawing.add_gridspec(len(panels), 2, width_ratios=(1.0, 3.6), height_ratios=heights)
        for number, (panel, row) in enumerate(zip(panels, drawn, strict=True)):
            words, axes = drawing.add_subplot(grid[number, 0]), drawing.add_subplot(grid[number, 1])
            _write_words(words, panel, panels[0].network)
            _draw_row(axes, row, COLORS[panel.way], longest, gap, heights[number])
        drawing.suptitle(
            f"{panels[0].network.name}: a box is a block, as wide as its channels and as high as its resolution; "
            "one scale for all",
            fontsize=10, fontweight="bold",
        )  # fmt: skip
        drawing.draw_without_rendering()
    return drawing


def _write_words(axes: Axes, panel: Panel, base: Network) -> None:
    axes.set_axis_off()
    own, times = cost(panel.network), cost(panel.network).macs / cost(base).macs
    changed = [
        f"{word} ×{value:.3g}" for word, value in panel.multipliers._asdict().items() if abs(value - 1) > 1e-9
    ]  # fmt: skip
    blocks = sum(len(each.blocks) for each in panel.network.stages)
    lines = [
        ", ".join(changed[:2]) + ("," if len(changed) > 2 else ""),
        *changed[2:],
        f"{blocks} blocks, {pixels(panel.network.resolution)} px",
        f"{quantity('params', own.params)} parameters",
        f"{quantity('macs', own.macs)} MACs" + (f" (×{times:.2f})" if changed else ""),
    ]
    lines = [line for line in lines if line]
    for number, line in enumerate([TITLES[panel.way], *lines]):
        color = COLORS[panel.way] if number == 0 and changed else INK
        axes.annotate(
            line, (0, 0.5), (0, LINE * (len(lines) / 2 - number)), xycoords="axes fraction",
            textcoords="offset points", va="center", color=color, fontsize=8 if number else 10,
            fontweight="normal" if number else "bold",
        )  # fmt: skip


def _draw_row(axes: Axes, row: Sequence[Box], color: str, longest: float, gap: float, high: float) -> None:
    """One network from left to right; stages in turns darker and lighter."""
    from matplotlib.patches import Rectangle

    left = 0.0
    for box in row:
        axes.add_patch(
            Rectangle(
                (left, -box.side / 2), box.channels, box.side, facecolor=color, linewidth=0,
                alpha=0.55 if box.stage % 2 else 1.0,
            )
        )  # fmt: skip
        left += box.channels + gap
    axes.set_axis_off()
    axes.set(xlim=(-gap, longest), ylim=(-high / 2, high / 2))
