"""Plots of a search inside a budget: how it went, and what its process expects where."""

from __future__ import annotations

import numpy as np

from triscale.report.canvas import BLUE, GREY, ORANGE, VERMILLION, figure, style, svg
from triscale.search.budget.acquisition import log_expected_improvement
from triscale.search.budget.result import BudgetResult

_MOST = 6000  # proposals in a picture


def trials_plot(found: BudgetResult) -> str:
    """The score of every network in the order in which they were asked, and the best one so far."""
    with style():
        from matplotlib.ticker import MaxNLocator

        drawing = figure(6.4, 3.0)
        axes = drawing.subplots()
        scores = [np.nan if each.score is None else each.score for each in found.scored]
        numbers = np.arange(1, len(scores) + 1)
        axes.scatter(numbers, scores, s=20, color=GREY, label="asked", zorder=3)
        best = np.fmax.accumulate(np.array(scores))
        axes.step(numbers, best, where="post", color=BLUE, label="the best score so far")
        winner = found.scored.index(found.winner)
        axes.scatter(
            [winner + 1],
            [scores[winner]],
            s=110,
            facecolors="none",
            edgecolors=VERMILLION,
            label="the winner",
            zorder=4,
        )
        axes.errorbar(
            numbers, [each.mean for each in found.scored], yerr=[each.deviation for each in found.scored], fmt="none",
            ecolor=ORANGE, elinewidth=1.0, label="expected without noise, one deviation", zorder=2,
        )  # fmt: skip
        axes.set(xlabel="network", ylabel="top-1 on validation images")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
        axes.grid(visible=True, alpha=0.15)
        axes.margins(0.06)
        drawing.legend(loc="outside lower center", ncols=2, frameon=False)
        return svg(drawing, "trials", "Scores in the order in which networks were asked")


def process_plot(found: BudgetResult) -> str:
    """What is expected of the networks inside the limits, and from which the largest improvement is, over depth and
    width; of one family, over its only number."""
    proposals = found.proposals
    rows = np.linspace(0, len(proposals) - 1, min(len(proposals), _MOST)).astype(int)
    octaves, multipliers = proposals.octaves[rows], proposals.multipliers[rows]
    mean, deviation = found.process.predict(octaves)
    asked = np.array([each.candidate.multipliers for each in found.scored])
    best = max(each.mean for each in found.scored if each.score is not None)
    gain = log_expected_improvement(mean, deviation, best)
    if found.mode == "phi":
        return _along_family(found, multipliers, mean, deviation, proposals.share[rows])
    with style():
        drawing = figure(9.0, 3.6)
        panels = drawing.subplots(1, 2, sharey=True)
        shown = ((mean, "expected score", "viridis"), (np.maximum(gain, gain.max() - 8), "log expected gain", "magma"))
        for axes, (values, label, colours) in zip(panels, shown, strict=True):
            order = np.argsort(values)  # the best on top
            dots = axes.scatter(
                multipliers[order, 1], multipliers[order, 0], c=values[order], s=9, cmap=colours, linewidths=0,
                rasterized=True,
            )  # fmt: skip
            drawing.colorbar(dots, ax=axes, label=label)
            axes.scatter(asked[:, 1], asked[:, 0], s=16, color="white", edgecolors="black", linewidths=0.7)
            place = found.winner.candidate.multipliers
            axes.scatter([place.width], [place.depth], s=110, facecolors="none", edgecolors=VERMILLION, linewidths=1.6)
            axes.set(xlabel="width", xscale="log", yscale="log")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:.3g}")
                axis.set_minor_formatter(lambda value, _: f"{value:.3g}" if f"{value:e}"[0] in "235" else "")
                axis.set_tick_params(which="both", length=3.5, pad=3.0)
        panels[0].set_ylabel("depth")
        return svg(drawing, "process", "What is expected of the networks inside the limits")


def _along_family(
    found: BudgetResult, multipliers: np.ndarray, mean: np.ndarray, deviation: np.ndarray, share: np.ndarray
) -> str:
    """max f(phi) subject to g(phi) <= C: the expected score along the family, and its share of the limit."""
    with style():
        drawing = figure(6.4, 3.4)
        axes = drawing.subplots()
        across = multipliers[:, 1]
        order = np.argsort(across)
        low, high = (mean - 2 * deviation)[order], (mean + 2 * deviation)[order]
        axes.fill_between(across[order], low, high, color=BLUE, alpha=0.15, linewidth=0, label="two deviations")
        axes.plot(across[order], mean[order], color=BLUE, label="expected score")
        told = [each for each in found.scored if each.score is not None]
        axes.scatter(
            [each.candidate.multipliers.width for each in told], [each.score or 0.0 for each in told], s=20, color=GREY,
            label="asked", zorder=3,
        )  # fmt: skip
        axes.set(xlabel="width of the family's member", ylabel="top-1 on validation images")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.4g} %")
        costs = axes.twinx()
        costs.plot(across[order], share[order], color=VERMILLION, linestyle=":", label="share of the limit")
        costs.axhline(1.0, color=VERMILLION, linewidth=0.8)
        costs.set_ylabel("share of the limit")
        drawing.legend(loc="outside lower center", ncols=4, frameon=False)
        return svg(drawing, "process", "Score and cost along the family")
