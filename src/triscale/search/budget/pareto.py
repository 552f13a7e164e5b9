"""Score against cost: which networks nothing beats on both, and where the next one is sought."""

from __future__ import annotations

import math

import numpy as np

from triscale.errors import BudgetError
from triscale.search.budget.proposals import Proposals

GOLDEN = (math.sqrt(5) - 1) / 2  # whose multiples are spread evenly however many there are


def non_dominated(scores: np.ndarray, costs: np.ndarray) -> list[int]:
    """The places, the cheapest first, at which no other is at least as good and as cheap, and one of both better.

    scores: (n,), larger is better; NaN is never among them. costs: (n,), smaller is better. Of equal ones the first.
    """
    best, found = -math.inf, []
    for place in sorted(range(len(scores)), key=lambda i: (costs[i], -scores[i], i)):
        if scores[place] > best:
            best = scores[place]
            found.append(place)
    return found


def affordable(proposals: Proposals, word: str, number: int, seed: int = 0) -> np.ndarray:
    """(N,) bool: the proposals that cost at most what trial `number` may spend, spread evenly in octaves of all costs.

    The best network is then sought among them alone. As a cost is known before anything is trained, a cap on it reaches
    every part of the front, also where that is hollow, which a weighted sum of score and cost never does: the
    epsilon-constraint method, Haimes, Lasdon & Wismer 1971.
    Raises: BudgetError for a cost that the proposals do not know.
    """
    if word not in proposals.values:
        raise BudgetError(f"costs to hold a score against are {', '.join(proposals.values)}; got {word!r}.")
    costs = proposals.values[word]
    lowest, highest = math.log(costs.min()), math.log(costs.max())
    start = float(np.random.default_rng(seed).random())
    part = (start + number * GOLDEN) % 1
    return np.log(costs) <= lowest + part * (highest - lowest) + 1e-12
