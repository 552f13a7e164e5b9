"""Plots as SVG: what was considered, and the curves of a training. The same numbers, the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from triscale.report.canvas import BLUE, GREEN, GREY, VERMILLION, figure, style, svg
from triscale.report.model import Candidate, EpochPoint, LimitResult
from triscale.report.text import shorten
from triscale.spec.limits import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 12  # candidates that are named in the picture; the table names all
NAMES = {"params": "parameters", "macs": "MACs", "size": "file size"}


class Axis(NamedTuple):
    """What one axis of the trade-off shows: a word of the budget, or the score."""

    word: str
    title: str
    values: tuple[float, ...]


def trade_off(candidates: Sequence[Candidate], limits: Sequence[LimitResult], score_name: str = "score") -> str:
    """Draw the candidates: the tightest limited cost across, their score (or the next cost) upwards.

    The limits are lines, what lies beyond them is shaded; the chosen candidate is filled, the others are named.
    Returns: SVG; empty where fewer than two candidates can be placed.
    Raises: MissingExtraError without matplotlib.
    """
    axes = _trade_off_axes(candidates, limits, score_name)
    if axes is None:
        return ""
    placed, across, upwards = axes
    with style():
        drawing = figure(7.2, 3.9)
        axes_ = drawing.add_subplot()
        for axis, name in ((across, "x"), (upwards, "y")):
            _prepare(axes_, axis, name, limits)
        for candidate, x, y in zip(placed, across.values, upwards.values, strict=True):
            if candidate.chosen:
                axes_.plot(x, y, "*", color=VERMILLION, markersize=15, zorder=4)
            else:
                axes_.plot(x, y, "o", markerfacecolor="none", color=BLUE, markersize=6.5, zorder=3)
        drawing.draw_without_rendering()  # the layout is settled now, so that names can be placed in pixels
        _name_points(axes_, placed, across.values, upwards.values)
        return svg(drawing, "trade-off", "What was considered, and what was chosen")


def curves(points: Sequence[EpochPoint], score: str = "top-1") -> str:
    """Draw losses, the score (raw and of the averaged weights) and learning rate over the epochs.

    score: what it is called.

    Returns: SVG; empty without points.
    Raises: MissingExtraError without matplotlib.
    """
    if not points:
        return ""
    panels = (
        ("loss", (("training", "train_loss", BLUE, "-"), ("validation", "val_loss", VERMILLION, "--"))),
        (score, (("raw weights", "top1", BLUE, "-"), ("averaged weights", "top1_ema", GREEN, "--"))),
        ("learning rate", (("", "learning_rate", GREY, "-"),)),
    )
    shown = [panel for panel in panels if any(_series(points, field)[0] for _, field, _, _ in panel[1])]
    with style():
        drawing = figure(7.2, 0.5 + 1.75 * len(shown))
        for index, (title, lines) in enumerate(shown):
            axes = drawing.add_subplot(len(shown), 1, index + 1)
            for label, field, color, line in lines:
                x, y = _series(points, field)
                axes.plot(x, y, line, color=color, label=label, marker="o" if len(x) < 12 else "", markersize=3.5)
            axes.set_ylabel(title)
            axes.grid(visible=True, alpha=0.15)
            if sum(bool(_series(points, field)[0]) for _, field, _, _ in lines) > 1:
                axes.legend(frameon=False, loc="best")
            if title == score:
                axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
            axes.set_xlabel("epoch" if index == len(shown) - 1 else "")
        return svg(drawing, "curves", "Curves of the training")


def _series(points: Sequence[EpochPoint], field: str) -> tuple[list[float], list[float]]:
    pairs = [(point.epoch, getattr(point, field)) for point in points if getattr(point, field) is not None]
    return [x for x, _ in pairs], [y for _, y in pairs]


def _trade_off_axes(
    candidates: Sequence[Candidate], limits: Sequence[LimitResult], score_name: str
) -> tuple[list[Candidate], Axis, Axis] | None:
    """The two axes on which most candidates can be placed, the tightest limits first."""
    tightest = sorted((limit for limit in limits if limit.limit > 0), key=lambda each: -each.measured / each.limit)
    words = [limit.word for limit in tightest]
    words += [word for word in ("macs", "params", "size", "latency", "memory") if word not in words]

    def known(word: str) -> int:
        return sum(candidate.cost(word) is not None for candidate in candidates)

    # A limit that only a few candidates were measured against would hide the others.
    words = sorted((word for word in words if known(word) >= 2), key=lambda word: -known(word))
    scored = [each for each in candidates if each.score is not None and math.isfinite(each.score)]
    by_score = len({candidate.score for candidate in scored}) > 1
    if any(candidate.chosen and candidate.score is None for candidate in candidates):
        by_score = False  # a picture without what was chosen would say nothing
    if not words or (not by_score and len(words) < 2):
        return None
    placed = [
        c for c in (scored if by_score else candidates) if all(c.cost(w) is not None for w in words[: 2 - by_score])
    ]
    if len(placed) < 2:
        return None
    across = Axis(words[0], NAMES.get(words[0], words[0]), tuple(c.costs[words[0]] for c in placed))
    if by_score:
        return placed, across, Axis("", score_name, tuple(c.score for c in placed if c.score is not None))
    return placed, across, Axis(words[1], NAMES.get(words[1], words[1]), tuple(c.costs[words[1]] for c in placed))


def _prepare(axes: Axes, axis: Axis, name: str, limits: Sequence[LimitResult]) -> None:
    """Scale, ticks, limit line and shade of one axis."""
    from matplotlib.ticker import LogLocator

    limit = next((each.limit for each in limits if each.word == axis.word), None)
    values = [*axis.values, *([limit] if limit else [])]
    low, high = min(values), max(values)
    own = axes.xaxis if name == "x" else axes.yaxis
    if axis.word and low > 0 and high / low > 6:
        axes.set(**{f"{name}scale": "log"})
        own.set_major_locator(LogLocator(subs=(1, 2, 5)))
        low, high = low / 1.5, high * 1.5
    else:
        room = 0.15 * ((high - low) or abs(high) or 1.0)
        low, high = low - room, high + room
    axes.set(**{f"{name}lim": (low, high), f"{name}label": axis.title})
    if axis.word:
        own.set_major_formatter(lambda value, _: quantity(axis.word, value) if value > 0 else "0")
        own.set_minor_formatter(lambda value, _: "")
    elif max(axis.values) <= 1:
        own.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
    axes.grid(visible=True, alpha=0.15)
    if limit is not None:
        _draw_limit(axes, name, limit, high)
        # The words stand on the side of the line that has more room.
        left = limit * limit > low * high if own.get_scale() == "log" else 2 * limit > low + high
        across, up = (limit, 1.0) if name == "x" else (1.0, limit)
        axes.text(
            across, up, f" {axis.word} ≤ {quantity(axis.word, limit)} ", fontsize=8, alpha=0.8,
            ha="right" if left or name == "y" else "left", va="top" if name == "x" else "bottom",
            transform=axes.get_xaxis_transform() if name == "x" else axes.get_yaxis_transform(),
        )  # fmt: skip


def _draw_limit(axes: Axes, name: str, limit: float, high: float) -> None:
    """A line at the limit, and a shade over what lies beyond it."""
    line, span = (axes.axvline, axes.axvspan) if name == "x" else (axes.axhline, axes.axhspan)
    line(limit, color=GREY, linestyle="--", linewidth=1.2, zorder=2)
    span(limit, high, color=GREY, alpha=0.14, linewidth=0, zorder=1)


def _name_points(axes: Axes, placed: Sequence[Candidate], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Names beside their points, each where it covers no other name and no point, as far as that goes."""
    transform = axes.transData
    points = [transform.transform((x, y)) for x, y in zip(xs, ys, strict=True)]
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in points]
    frame = axes.bbox.extents
    order = sorted(range(len(placed)), key=lambda i: (not placed[i].chosen, i))[:LABELLED]
    for index in order:
        text = shorten(placed[index].name, 30)
        width, height = 5.6 * len(text), 11.0
        x, y = points[index]
        beside = [(side, dy) for dy in (-4, 8, -16, 20, -28, 32, -40) for side in (9, -9 - width)]
        places = [*beside[:2], (-width / 2, 9), (-width / 2, -19), *beside[2:]]
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in places]
        best = min(range(len(boxes)), key=lambda i: (_overlaps(boxes[i], taken, frame), i))
        taken.append(boxes[best])
        name = axes.annotate(
            text, (xs[index], ys[index]), places[best], textcoords="offset pixels", parse_math=False,
            fontweight="bold" if placed[index].chosen else "normal", annotation_clip=False, zorder=5,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6} if best > 7 else None,
        )  # fmt: skip
        name.set_in_layout(False)


def _overlaps(box: Sequence[float], taken: Sequence[Sequence[float]], frame: Sequence[float]) -> float:
    outside = max(0.0, frame[0] - box[0]) + max(0.0, box[2] - frame[2])
    outside += max(0.0, frame[1] - box[1]) + max(0.0, box[3] - frame[3])
    hits = sum(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
    )  # fmt: skip
    return hits + outside / 10
