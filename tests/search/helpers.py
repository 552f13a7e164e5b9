"""What the tests of searches share: a small baseline, and scores that cost nothing."""

import math

from tests.models.helpers import small_network
from triscale.search.asking import Asker
from triscale.search.candidate import Multipliers, NetworkBaseline
from triscale.search.ledger import Ledger

BASELINE = NetworkBaseline(small_network(resolution=(64, 64)))


def candidates(count=6):
    """Networks that differ, the smallest first."""
    return [BASELINE.at(Multipliers(width=1 + number)) for number in range(count)]


class Counting:
    """A score of (candidate, seed, steps) that counts how often it was asked what."""

    def __init__(self, function):
        self.function, self.asked = function, []

    def __call__(self, candidate, seed, steps):
        self.asked.append((candidate.key, seed, steps))
        return self.function(candidate, seed, steps)


def by_width(candidate, seed, steps):
    """Wider is better, more steps too, and each seed a little different."""
    return math.log(candidate.multipliers.width + 1) / 5 + steps / 1000 + seed / 10000


def asker(folder, score, **changes):
    """An asker with a ledger in this folder."""
    return Asker(score, Ledger(folder / "ledger.jsonl", {"search": "test"}), **changes)
