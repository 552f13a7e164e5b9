"""Scores with known optima: what a search inside a budget must find, and what its peers find beside it.

The first problem: score = 0.9 - 0.1 depth^-0.8 - 0.06 width^-0.6 - 0.06 resolution^-0.6 + noise, where depth is the
number of blocks, width the channels of all stages together, and resolution the pixels of a side, each relative to
EfficientNet-B0's. Its best network inside MACs <= 300M and params <= 5M is deep and narrow, and has no room for another
pixel. The search was made with this problem at hand; the others were written down before it was ever run on them.
"""

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from triscale.search.candidate import Multipliers, NetworkBaseline
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.limits import Budget, parse
from triscale.spec.many_sizes import costs
from triscale.spec.network import Network
from triscale.spec.scaling import scale

NOISE = 0.04  # standard deviation of one score, in parts of (optimum - median)


def blocks_and_channels(made):
    return sum(len(each.blocks) for each in made.stages), sum(each.channels for each in made.stages)


def log_channels(made):
    """Of the geometric mean of the blocks' channels: another width than the one that the search goes by."""
    each = [math.log(stage.channels) for stage in made.stages for _ in stage.blocks]
    return sum(each) / len(each)


class Truth(NamedTuple):
    """The best feasible network, its score, and the median score of those that have no room for another pixel."""

    network: Network
    optimum: float
    median: float


@dataclass(frozen=True, eq=False)
class Problem:
    """score = 0.9 - depth term - width term - resolution term, each weight * multiplier^-power.

    geometric: width is the geometric mean of the blocks' channels, else the sum of the stages'.
    """

    name: str
    base: Network
    budget: Budget
    weights: tuple[float, float, float]
    powers: tuple[float, float, float]
    geometric: bool = False

    @property
    def baseline(self):
        return NetworkBaseline(self.base)

    def true_score(self, made):
        """Without its noise."""
        (blocks, channels), (own_blocks, own_channels) = blocks_and_channels(made), blocks_and_channels(self.base)
        width = math.exp(log_channels(made) - log_channels(self.base)) if self.geometric else channels / own_channels
        terms = (blocks / own_blocks, width, min(made.resolution) / min(self.base.resolution))
        each = zip(terms, self.weights, self.powers, strict=True)
        return 0.9 - sum(weight * term**-power for term, weight, power in each)

    def noisy(self, dice):
        """A score of (candidate, seed, steps); `dice` decides the noise, which a network keeps."""
        truth = self.truth()
        noise = NOISE * (truth.optimum - truth.median)

        def score(candidate, seed, steps):
            digest = hashlib.sha256(f"{dice} {candidate.key} {seed}".encode()).digest()
            own = np.random.default_rng(list(digest)).standard_normal()
            return self.true_score(candidate.network) + noise * own

        return score

    def inside(self, made):
        own = cost(made)
        return all(getattr(own, word) <= limit for word, limit in self.budget.limits.items())

    def regret(self, made):
        """How far a network is below the optimum, in parts of what lies between that and the median."""
        truth = self.truth()
        return (truth.optimum - self.true_score(made)) / (truth.optimum - truth.median)

    def truth(self):
        """See `Truth`; by enumeration."""
        return _truth(self)


@functools.cache
def _truth(problem):
    """Every depth that differs (stages of 1 to 4 blocks change at twelfths), width in steps of 1/80."""
    base, limits = problem.base, problem.budget.limits
    side = min(base.resolution)
    pixels, found, shapes = np.arange(32, 4 * side + 1), [], set()
    for depth in np.arange(1, 12 * 8) / 12:
        for width in np.arange(16, 200) / 80:
            made = scale(base, float(depth), float(width))
            if (made.stem, made.stages, made.head) in shapes:
                continue
            shapes.add((made.stem, made.stages, made.head))
            least = cost(made, 32)
            if any(getattr(least, word) > limit for word, limit in limits.items()):
                break  # wider ones neither
            every = costs(made, pixels, pixels)
            room = [
                np.searchsorted(getattr(every, word), limits[word], side="right") for word in limits if word != "params"
            ]
            found.append(scale(base, float(depth), float(width), float(pixels[min(room) - 1]) / side))
    scores = [problem.true_score(each) for each in found]
    return Truth(found[int(np.argmax(scores))], max(scores), float(np.median(scores)))


FIRST = Problem(
    "deep and narrow", network("efficientnet_b0"), parse("macs<=300M, params<=5M"), (0.1, 0.06, 0.06), (0.8, 0.6, 0.6)
)
OTHERS = (
    Problem("Lite0, by macs", network("efficientnet_lite0"), parse("macs<=200M"), (0.08, 0.1, 0.08), (0.5, 0.7, 0.9)),
    Problem("wide and shallow", network("mobilenetv2_100"), parse("macs<=400M, params<=9M"), (0.02, 0.15, 0.06),
            (0.6, 0.8, 0.6)),
    Problem("resolution", network("mobilenetv3_large_100"), parse("macs<=150M, params<=6M"), (0.04, 0.05, 0.15),
            (0.7, 0.7, 0.8)),
    Problem("geometric", network("efficientnet_b0"), parse("macs<=500M"), (0.07, 0.09, 0.05), (0.7, 0.7, 0.7), True),
)  # fmt: skip


def multipliers(made_from):
    """Of the parameters of a trial."""
    return Multipliers(made_from["depth"], made_from["width"], made_from["resolution"])
