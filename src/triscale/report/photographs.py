"""A compound-scaled family on photographs: what each member costs, what it sees, and what it says of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from triscale.report.canvas import BLUE, GREY, INK, VERMILLION, figure, style
from triscale.report.scaling import draw_cost
from triscale.report.text import percent, shorten
from triscale.spec.curves import Curve
from triscale.spec.limits import quantity
from triscale.spec.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import SubplotSpec

CELL, TOP, HEAD, FOOT = 1.75, 3.1, 0.75, 0.4  # inches: a photograph's row, the curves, a column's words, the last line
WIDE = 3.5  # inches of one column
LAST = (
    "{} photographs illustrate; they do not measure. Which network is better, and by how much, is what the published "
    "top-1 says, on 50,000 images."
)
SHOWN = 3  # answers beside a photograph


class Seen(NamedTuple):
    """One photograph as a network reads it, (H, W, 3) in 0..1, and its answers, best first: (name, score)."""

    image: np.ndarray
    answers: tuple[tuple[str, float], ...]


class Answered(NamedTuple):
    """A member of the family with weights; top1: as published, 0..1; seen: in the order of the photographs."""

    name: str
    pixels: int
    params: int
    macs: int
    top1: float
    seen: tuple[Seen, ...]


def draw_photographs(
    base: Network, curves: Sequence[Curve], members: Sequence[Answered], names: Sequence[str]
) -> Figure:
    """Draw where `members` stand among the ways of scaling `base`, and what they say of photographs called `names`.

    A network that reads more pixels gets the larger picture.
    Raises: MissingExtraError without matplotlib.
    """
    heights = (TOP, HEAD + CELL * len(names), FOOT)
    with style():
        drawing = figure(max(WIDE * len(members), 8.0), sum(heights))
        grid = drawing.add_gridspec(3, 1, height_ratios=heights)
        _draw_members(drawing, grid[0], base, curves, members)
        below = grid[1].subgridspec(1 + len(names), len(members), height_ratios=(HEAD, *[CELL] * len(names)))
        most = max(member.pixels for member in members)
        for column, member in enumerate(members):
            _write_head(drawing.add_subplot(below[0, column]), member)
            for row, seen in enumerate(member.seen):
                cell = below[row + 1, column].subgridspec(1, 2, width_ratios=(1.0, 1.05), wspace=0.04)
                _draw_image(drawing.add_subplot(cell[0]), seen.image, most)
                _draw_answers(drawing.add_subplot(cell[1]), seen, names[row] if column == 0 else "")
        last = drawing.add_subplot(grid[2])
        last.set_axis_off()
        last.text(0, 0.5, LAST.format(len(names)), va="center", fontsize=8)
        drawing.draw_without_rendering()
    return drawing


def _draw_members(
    drawing: Figure, place: SubplotSpec, base: Network, curves: Sequence[Curve], members: Sequence[Answered]
) -> None:
    """The curves of parameters, and top-1 as published, both over MACs, with the members in them."""
    both = place.subgridspec(1, 2)
    left, right = drawing.add_subplot(both[0]), drawing.add_subplot(both[1])
    draw_cost(left, "params", base, curves)
    left.legend(frameon=False, fontsize=7.5, handlelength=2.8, labelspacing=0.25)
    macs = [member.macs for member in members]
    left.plot(macs, [member.params for member in members], "o", color=INK, markersize=6, zorder=5)
    right.plot(macs, [100 * member.top1 for member in members], "o-", color=INK, markersize=6, linewidth=1.2)
    right.set(ylabel="ImageNet top-1 as published, %", xlabel="MACs")
    right.xaxis.set_major_formatter(lambda value, _: quantity("macs", value) if value > 0 else "0")
    right.margins(0.27, 0.2)
    right.grid(visible=True, alpha=0.15)
    for member in members:
        right.annotate(
            f"{member.name.removeprefix('efficientnet_')}: {100 * member.top1:.1f}", (member.macs, 100 * member.top1),
            (8, -4), textcoords="offset points", va="top", fontsize=8,
        )  # fmt: skip


def _write_head(axes: Axes, member: Answered) -> None:
    axes.set_axis_off()
    facts = (
        f"{member.pixels} px, {quantity('params', member.params)} parameters, {quantity('macs', member.macs)} MACs",
        f"top-1 as published: {percent(member.top1)}",
    )
    axes.text(0, 0.95, member.name, fontweight="bold", fontsize=10, va="top")
    axes.text(0, 0.55, "\n".join(facts), fontsize=8, va="top", linespacing=1.4)


def _draw_image(axes: Axes, image: np.ndarray, most: int) -> None:
    """The image in the upper left of a square of `most` pixels, so that sizes can be compared."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set(xlim=(0, most), ylim=(most, 0), aspect="equal", anchor="NW")
    axes.set_axis_off()


def _draw_answers(axes: Axes, seen: Seen, name: str) -> None:
    """The best answers as bars of their scores."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(4.4, 0))
    if name:
        axes.text(0, 0.3, shorten(name, 24), fontsize=7.5, color=GREY, va="center", parse_math=False)
    for number, (answer, score) in enumerate(seen.answers[:SHOWN]):
        y = 0.95 + 1.2 * number
        axes.text(
            0, y, shorten(answer, 22), fontsize=8, va="center", fontweight="normal" if number else "bold",
            parse_math=False,
        )  # fmt: skip
        axes.barh(y + 0.5, 0.68 * score, height=0.26, left=0, color=BLUE if number else VERMILLION)
        axes.text(0.68 * score + 0.03, y + 0.5, percent(score), fontsize=7, va="center")
