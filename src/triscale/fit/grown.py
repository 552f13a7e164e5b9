"""The network that a budget holds of a family with weights, grown from the largest of those that it contains."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from triscale.errors import BudgetError
from triscale.fit.candidate import Candidate, Known, early_strides, what_changed, with_a_map_left
from triscale.spec.budget import DIRECTIONS, solve
from triscale.spec.cost import cost
from triscale.spec.growth import growth_refusal
from triscale.spec.limits import COUNTED, Budget, Measure, measured
from triscale.spec.network import Network

# Of MACs at one resolution. One step of compound scaling makes depth and width 1.2 x 1.1^2 = 1.45 times as costly: what
# is less than two thirds of a step larger is not worth weights that were trained to the end, with a known accuracy.
LEAST_GROWN = 1.25
# Times the MACs of the best network with weights. Two steps of compound scaling; beyond, most channels would be second
# copies, which few images cannot teach to differ, while training would take ever longer.
MOST_GROWN = 4.0


def grown_candidate(
    best: Candidate,
    known: Sequence[Known],
    baselines: Sequence[Network],
    budget: Budget,
    classes: int,
    cap: int | None,
    measures: Mapping[str, Measure],
) -> Candidate | None:
    """The network that the budget holds of a family with weights, where it is clearly larger than the best of them."""
    if any(best.values[w] * LEAST_GROWN > limit for w, limit in budget.limits.items() if w not in COUNTED):
        return None  # no room, and measuring takes minutes
    most = min(MOST_GROWN * best.values["macs"], budget.limits.get("macs", math.inf))
    capped = Budget({**budget.limits, "macs": most})
    for baseline in baselines:
        start = replace(baseline, classes=classes)
        small = cap is not None and cap < min(start.resolution)
        if small and cap:
            start = replace(with_a_map_left(replace(start, resolution=(cap, cap))), name=baseline.name)
        try:
            made = solve(start, capped, measures, directions=("depth", "width") if small else DIRECTIONS)
        except BudgetError:
            continue
        for each in sorted(known, key=lambda one: -one.top1):
            source = growth_source(each.network, made)
            if growth_refusal(source, made) is not None:
                continue
            growth = cost(made).macs / cost(source).macs
            if growth < LEAST_GROWN or each.top1 < (best.top1 or 0.0):
                break
            made = replace(made, numerics=source.numerics)
            scaled = f"grown from {each.name}, {growth:.2g} times the MACs at the same resolution: "
            scaled += what_changed(each.network, made) + early_strides(each.network, made)
            kept = min(made.resolution) / min(each.network.resolution)
            values = measured(made, budget, measures)
            return Candidate(made, each.name, None, kept, values, True, scaled, grown=True)
    return None


def growth_source(network: Network, grown: Network) -> Network:
    """What `grown` is grown from: a network with weights, at the strides, resolution and classes that are wanted."""
    stages = network.stages
    if len(stages) == len(grown.stages):
        firsts = [
            replace(each.blocks[0], stride=other.stride) for each, other in zip(stages, grown.stages, strict=True)
        ]
        stages = tuple(
            replace(each, blocks=(first, *each.blocks[1:])) for each, first in zip(stages, firsts, strict=True)
        )
    return replace(
        network,
        stem=replace(network.stem, stride=grown.stem.stride),
        stages=stages,
        resolution=grown.resolution,
        classes=grown.classes,
    )
