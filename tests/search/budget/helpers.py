"""What the tests of searches inside a budget share: a small space that is proposed in a moment, and its true scores."""

from tests.search.helpers import BASELINE
from triscale.search.budget.limited import Limited
from triscale.search.budget.proposals import propose
from triscale.spec.limits import parse

BUDGET = parse("macs<=8M, params<=60K")
LIMITED = Limited(BASELINE, BUDGET)


def small(**changes):
    """Proposals of the small baseline."""
    return propose(LIMITED, **{"shapes": 60, "levels": 4, **changes})


def smooth(candidate, seed, steps):
    """Deeper, wider and larger is better, each less and less."""
    depth, width, resolution = LIMITED.octaves(candidate)
    return 0.9 - 0.1 * 2 ** (-depth / 2) - 0.1 * 2 ** (-width / 2) - 0.05 * 2**-resolution + seed / 1000
