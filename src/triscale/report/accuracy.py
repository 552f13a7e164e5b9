"""Plots of how good a network is: reliability, what corruption leaves. SVG; the same numbers, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triscale.report.canvas import BLUE, GREY, ORANGE, VERMILLION, figure, style, svg
from triscale.report.model import CorruptionSummary
from triscale.training.calibration import UNKNOWN, Bin, Calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def reliability_diagram(found: Calibration) -> str:
    """How often answers of a confidence are right, before and after the temperature, if there is one.

    Who is calibrated is on the diagonal.

    Returns: SVG. Raises: MissingExtraError without matplotlib.
    Source of the form: Guo et al. 2017, figure 1, https://arxiv.org/abs/1706.04599.
    """
    panels = (
        (f"as it answers: error {100 * found.ece:.1f} %", found.bins, BLUE),
        (f"at temperature {found.temperature:.3g}: error {100 * found.ece_scaled:.1f} %", found.bins_scaled, ORANGE),
    )
    shown = panels[:1] if found.how == UNKNOWN else panels
    with style():
        drawing = figure(7.2, 3.7)
        grid = drawing.add_gridspec(2, 2, height_ratios=(3, 1))
        for column, (title, bins, color) in enumerate(shown):
            above, below = drawing.add_subplot(grid[0, column]), drawing.add_subplot(grid[1, column])
            _draw_bins(above, bins, color)
            above.set_title(title, fontsize=9)
            shares = [each.count for each in bins]
            below.bar([each.low for each in bins], shares, _width(bins), align="edge", color=GREY, linewidth=0)
            below.set(xlim=(0, 1), xlabel="confidence", ylabel="answers" if column == 0 else "")
            above.set_ylabel("share that is right" if column == 0 else "")
            below.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        return svg(drawing, "reliability", "How often answers of a confidence are right")


def _draw_bins(axes: Axes, bins: tuple[Bin, ...], color: str) -> None:
    """A bar as high as the share that is right, and a mark where the mean confidence is."""
    filled = [each for each in bins if each.count]
    axes.bar(
        [each.low for each in filled], [each.accuracy or 0.0 for each in filled], _width(bins), align="edge",
        color=color, alpha=0.75, edgecolor="white", linewidth=0.6,
    )  # fmt: skip
    for each in filled:
        axes.plot([each.low, each.high], [each.confidence] * 2, color=VERMILLION, linewidth=1.6)
    axes.plot([0, 1], [0, 1], "--", color=GREY, linewidth=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(lambda value, _: "")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def _width(bins: tuple[Bin, ...]) -> float:
    return 1 / max(1, len(bins))


def corruption_bars(found: CorruptionSummary, score: str) -> str:
    """The score under each corruption, a bar for each severity; a line where it is without.

    score: what it is called ("top-1"). Returns: SVG. Raises: MissingExtraError without matplotlib.
    """
    kinds = list(dict.fromkeys(kind for kind, _, _ in found.found))
    severities = list(dict.fromkeys(severity for _, severity, _ in found.found))
    scores = {(kind, severity): value for kind, severity, value in found.found}
    high = 0.8 / len(severities)
    with style():
        drawing = figure(7.2, 0.9 + len(kinds) * max(0.24, 0.13 * len(severities)))
        axes = drawing.add_subplot()
        for number, severity in enumerate(severities):
            places = [place - 0.4 + number * high for place in range(len(kinds))]
            axes.barh(
                places, [scores[kind, severity] for kind in kinds], high, align="edge", color=BLUE, linewidth=0,
                alpha=0.35 + 0.6 * (number + 1) / len(severities), label=f"severity {severity}",
            )  # fmt: skip
        axes.axvline(found.clean, color=VERMILLION, linestyle="--", linewidth=1.4, label="no corruption")
        axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
        axes.set(xlim=(0, 1), ylim=(len(kinds) - 0.45, -0.55), xlabel=score)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=6)
        return svg(drawing, "corruptions", f"{score} under common corruptions")
