"""The picture of scaling: cost against cost for every way of making one network larger, and published accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from triscale.report.canvas import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, VERMILLION, figure, style
from triscale.report.text import pixels
from triscale.spec.cost import cost
from triscale.spec.curves import Curve
from triscale.spec.limits import quantity
from triscale.spec.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = {"depth": BLUE, "width": ORANGE, "resolution": GREEN, "compound": VERMILLION, "fast": PURPLE}
LINES = {"depth": (0, (5, 2)), "width": (0, (1, 1)), "resolution": "-.", "compound": "-", "fast": (0, (6, 1, 1, 1))}
MARKERS = {"depth": "s", "width": "D", "resolution": "^", "compound": "o", "fast": "v", "baseline": "*"}
NAMES = {"fast": "fast compound"}
TITLES = {"params": "parameters", "activations": "activations", "memory": "memory, fp32, batch 1", "macs": "MACs"}
ORDER = ("depth", "width", "resolution", "compound", "fast")
RELEASED = "released"
# Where a label may stand beside its point, in points: the first place where it covers no point and no other label.
# Not to the left below: there the point's own line comes from.
PLACES = ((9, 0), (9, 10), (9, -10), (0, -11), (0, 11), (-9, 10), (9, 20), (9, -20), (-9, 20), (0, -20), (-9, 0))
LETTER, LINE = 4.9, 9.0  # width and height of a label's letter, in points


class Published(NamedTuple):
    """A network whose accuracy was published.

    way: how it was scaled, "baseline", or "released". top1: 0..1. label, source: of a released network.
    sure: False where its multipliers are not known, so that its MACs are those that were printed.
    """

    way: str
    macs: float
    top1: float
    sure: bool = True
    label: str = ""
    source: str = ""


def draw_curves(base: Network, curves: Sequence[Curve], published: Sequence[Published] = ()) -> Figure:
    """Draw `curves` of `base`: parameters, activations and memory over MACs, all logarithmic.

    published: accuracies, in a panel of their own where there are any.
    Raises: MissingExtraError without matplotlib.
    """
    own = cost(base)
    words = ("params", "activations", "memory")
    with style():
        drawing = figure(8.6, 7.4) if published else figure(12.0, 4.3)
        rows, columns = (2, 2) if published else (1, 3)
        panels = [drawing.add_subplot(rows, columns, number + 1) for number in range(len(words) + bool(published))]
        for axes, word in zip(panels, words, strict=False):
            draw_cost(axes, word, base, curves)
        if published:
            _draw_accuracy(panels[-1], published)
        drawing.suptitle(
            f"{base.name} at {pixels(own.size)} px scaled to a quarter and to sixteen times its MACs",
            fontsize=11, fontweight="bold",
        )  # fmt: skip
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, handlelength=3.2)
        drawing.draw_without_rendering()
        if published:
            _label(panels[-1], published)
    return drawing


def draw_cost(axes: Axes, word: str, base: Network, curves: Sequence[Curve]) -> None:
    """Draw one panel: the cost that is called `word`, over MACs."""
    for curve in sorted(curves, key=lambda each: ORDER.index(each.rule.name)):
        name = curve.rule.name
        axes.plot(
            [point.macs for point in curve.points], [getattr(point, word) for point in curve.points],
            linestyle=LINES[name], color=COLORS[name], label=NAMES.get(name, name),
            linewidth=2.4 if name == "compound" else 1.7, zorder=3 if name == "compound" else 2,
        )  # fmt: skip
    own = cost(base)
    axes.plot(
        own.macs, getattr(own, word), MARKERS["baseline"], color=INK, markersize=11, label="baseline", linestyle="",
        zorder=4,
    )  # fmt: skip
    _logarithmic(axes, "x", "macs")
    _logarithmic(axes, "y", word)
    axes.grid(visible=True, alpha=0.15)


def _logarithmic(axes: Axes, name: str, word: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set(**{f"{name}scale": "log", f"{name}label": TITLES[word]})
    own = axes.xaxis if name == "x" else axes.yaxis
    low, high = axes.get_xlim() if name == "x" else axes.get_ylim()
    own.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1, 3)))
    own.set_minor_locator(NullLocator())
    own.set_major_formatter(lambda value, _: quantity(word, value) if value > 0 else "")


def _draw_accuracy(axes: Axes, published: Sequence[Published]) -> None:
    released = [each for each in published if each.way == RELEASED]
    axes.plot(
        [each.macs for each in released], [100 * each.top1 for each in released],
        "o-", color=GREY, markersize=4, linewidth=1.2, zorder=2,
    )  # fmt: skip
    for base in (each for each in published if each.way == "baseline"):
        _draw_ways(axes, base, [each for each in published if each.way in COLORS])
        axes.plot(base.macs, 100 * base.top1, MARKERS["baseline"], color=INK, markersize=11, zorder=4)
    axes.set_ylabel("ImageNet top-1 as published, %")
    said = [] if all(each.sure for each in published) else ["hollow: multipliers not published, at the MACs in print"]
    said += [f"grey: as released ({each.source})" for each in released[:1]]
    axes.set_title("\n".join(said), fontsize=7.5, loc="left")
    axes.margins(0.16, 0.14)
    _logarithmic(axes, "x", "macs")
    axes.grid(visible=True, alpha=0.15)


def _draw_ways(axes: Axes, base: Published, scaled: Sequence[Published]) -> None:
    """A line from the baseline to each network that was scaled from it."""
    for each in scaled:
        color = COLORS[each.way]
        axes.plot(
            [base.macs, each.macs], [100 * base.top1, 100 * each.top1],
            linestyle=LINES[each.way], color=color, linewidth=1.5, zorder=2,
        )  # fmt: skip
        axes.plot(
            each.macs, 100 * each.top1, MARKERS[each.way], color=color, markersize=7,
            markerfacecolor=color if each.sure else "white", zorder=3,
        )  # fmt: skip


def _label(axes: Axes, published: Sequence[Published]) -> None:
    """Write each point's accuracy, or its name, beside it; the layout must be settled."""
    spots = [axes.transData.transform((each.macs, 100 * each.top1)) for each in published]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots]
    for each, (x, y) in zip(published, spots, strict=True):
        if each.way == "baseline":
            continue
        text = each.label or f"{100 * each.top1:.1f}"
        boxes = [_box(x + across, y + up, text, across) for across, up in PLACES]
        best = min(range(len(boxes)), key=lambda index: (_hits(boxes[index], taken, axes.bbox.extents), index))
        taken.append(boxes[best])
        label = axes.annotate(
            text, (each.macs, 100 * each.top1), PLACES[best], textcoords="offset points", va="center",
            ha={9: "left", 0: "center", -9: "right"}[PLACES[best][0]], fontsize=7.5,
            color=GREY if each.way == RELEASED else COLORS[each.way],
        )  # fmt: skip
        label.set_in_layout(False)


def _box(x: float, y: float, text: str, across: int) -> tuple[float, float, float, float]:
    width = LETTER * len(text)
    left = x if across > 0 else x - width if across < 0 else x - width / 2
    return left, y - LINE / 2, left + width, y + LINE / 2


def _hits(box: Sequence[float], taken: Sequence[Sequence[float]], frame: Sequence[float]) -> int:
    """How many of `taken` a box covers; more than all of them where it leaves the frame."""
    outside = box[0] < frame[0] or box[2] > frame[2] or box[1] < frame[1] or box[3] > frame[3]
    covered = sum(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in taken)
    return covered + len(taken) * outside
