"""A score with a known optimum: what a search inside a budget must find, and what its peers find beside it.

score = 0.9 - 0.1 depth^-0.8 - 0.06 width^-0.6 - 0.06 resolution^-0.6 + noise, where depth is the number of blocks,
width the channels of all stages together, and resolution the pixels of a side, each relative to EfficientNet-B0's.
Its best network inside MACs <= 300M and params <= 5M is deep and narrow, and has no room for another pixel.
"""

import functools
import hashlib
from typing import NamedTuple

import numpy as np

from triscale.search.candidate import Multipliers, NetworkBaseline
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.limits import parse
from triscale.spec.many_sizes import costs
from triscale.spec.scaling import scale

BASE = network("efficientnet_b0")
BASELINE = NetworkBaseline(BASE)
BUDGET = parse("macs<=300M, params<=5M")
NOISE = 0.001  # standard deviation of one score
SIDE = BASE.resolution[0]


def blocks_and_channels(made):
    return sum(len(each.blocks) for each in made.stages), sum(each.channels for each in made.stages)


BLOCKS, CHANNELS = blocks_and_channels(BASE)


def true_score(made):
    """Without its noise."""
    blocks, channels = blocks_and_channels(made)
    depth, width, resolution = blocks / BLOCKS, channels / CHANNELS, made.resolution[0] / SIDE
    return 0.9 - 0.1 * depth**-0.8 - 0.06 * width**-0.6 - 0.06 * resolution**-0.6


def noisy(dice, noise=NOISE):
    """A score of (candidate, seed, steps); `dice` decides the noise, which a network keeps."""

    def score(candidate, seed, steps):
        digest = hashlib.sha256(f"{dice} {candidate.key} {seed}".encode()).digest()
        return true_score(candidate.network) + noise * np.random.default_rng(list(digest)).standard_normal()

    return score


def inside(made):
    own = cost(made)
    return own.macs <= BUDGET.limits["macs"] and own.params <= BUDGET.limits["params"]


class Truth(NamedTuple):
    """The best feasible network, its score, and the median score of those that have no room for another pixel."""

    network: object
    optimum: float
    median: float

    def regret(self, made):
        """How far a network is below the optimum, in parts of what lies between that and the median."""
        return (self.optimum - true_score(made)) / (self.optimum - self.median)


@functools.cache
def truth():
    """By enumeration: every depth that differs (stages of 1 to 4 blocks change at twelfths), width in steps of 1/80."""
    pixels, found, shapes = np.arange(32, 897), [], set()
    for depth in np.arange(1, 12 * 8) / 12:
        for width in np.arange(16, 200) / 80:
            made = scale(BASE, float(depth), float(width))
            if (made.stem, made.stages, made.head) in shapes:
                continue
            shapes.add((made.stem, made.stages, made.head))
            least = cost(made, 32)
            if least.params > BUDGET.limits["params"] or least.macs > BUDGET.limits["macs"]:
                break  # wider ones neither
            fits = np.searchsorted(costs(made, pixels, pixels).macs, BUDGET.limits["macs"], side="right")
            found.append(scale(BASE, float(depth), float(width), float(pixels[fits - 1]) / SIDE))
    scores = [true_score(each) for each in found]
    return Truth(found[int(np.argmax(scores))], max(scores), float(np.median(scores)))


def multipliers(made_from):
    """Of the parameters of a trial."""
    return Multipliers(made_from["depth"], made_from["width"], made_from["resolution"])
