"""Plots of a search for coefficients: what every candidate scored, and curves of scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triscale.report.canvas import BLUE, GREEN, GREY, ORANGE, VERMILLION, figure, style, svg
from triscale.search.coefficients import CoefficientSearch, Ranked
from triscale.search.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = {"depth": (ORANGE, "--", "s"), "width": (GREEN, "-.", "^"), "resolution": (VERMILLION, ":", "D"),
          "compound": (BLUE, "-", "o")}  # fmt: skip


def candidates_plot(found: CoefficientSearch) -> str:
    """Score of every candidate against alpha, beta and gamma, by how long it was trained; the winner is ringed."""
    with style():
        drawing = figure(9.0, 3.2)
        panels = drawing.subplots(1, 3, sharey=True)
        for axes, name, label in zip(
            panels, ("alpha", "beta", "gamma"), ("α, depth", "β, width", "γ, resolution"), strict=True
        ):
            for rung in range(len(found.rungs)):
                some = [each for each in found.ranked if each.standing.rung == rung and each.estimate]
                seeds = found.rungs[rung].seeds
                said = f"{found.rungs[rung].steps} steps, {seeds} seed{'s' if seeds > 1 else ''}"
                _dots(axes, some, name, (GREY, ORANGE, BLUE, GREEN)[rung % 4], said)
            _dots(
                axes, [each for each in found.beside if each.estimate], name, VERMILLION, "outside the constraint", "x"
            )
            _dots(axes, [found.winner], name, "none", "the winner", "o", ring=True)
            axes.set_xlabel(label)
            axes.margins(0.08)
            axes.grid(visible=True, alpha=0.15)
        panels[0].set_ylabel("top-1 on validation images")
        panels[0].yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
        return svg(drawing, "candidates", "What every candidate scored, against each coefficient")


def _dots(
    axes: Axes, some: list[Ranked], name: str, colour: str, label: str, marker: str = "o", ring: bool = False
) -> None:
    across = [getattr(each.proposal.coefficients, name) for each in some]
    up = [0.0 if each.estimate is None else each.estimate.mean for each in some]
    if ring:
        axes.scatter(across, up, s=110, marker=marker, facecolors="none", edgecolors=VERMILLION, label=label, zorder=4)
    else:
        axes.scatter(across, up, s=26, marker=marker, color=colour, label=label, zorder=3)


def curves_plot(found: Comparison, macs: int) -> str:
    """Score against cost, one line for each way of scaling. macs: of the baseline, where all lines begin."""
    with style():
        drawing = figure(6.4, 3.6)
        axes = drawing.subplots()
        start = [] if found.baseline is None else [(macs, found.baseline)]
        for way in found.ways:
            colour, line, marker = _LOOKS[way]
            points = start + [(each.candidate.macs, each.estimate) for each in found.curve(way) if each.estimate]
            means = [estimate.mean for _, estimate in points]
            low = [estimate.mean - estimate.lowest for _, estimate in points]
            high = [estimate.highest - estimate.mean for _, estimate in points]
            axes.errorbar(
                [cost / 1e6 for cost, _ in points], means, yerr=[low, high], color=colour, linestyle=line,
                marker=marker, markersize=4.5, capsize=2.5, elinewidth=0.8,
                label=f"{way} only" if way != "compound" else "all three",
            )  # fmt: skip
        axes.set(xlabel="million multiply-accumulates", ylabel="top-1 on validation images", xscale="log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:.4g}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
        axes.tick_params(which="both", length=3.5, pad=3.0)
        axes.grid(visible=True, which="both", alpha=0.15)
        drawing.legend(loc="outside right upper", frameon=False)
        return svg(drawing, "curves", "Accuracy against cost, by what is scaled")
