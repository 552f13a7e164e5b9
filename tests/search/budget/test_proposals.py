"""Proposals: inside the limits, all different, most of them where the limits are nearly used up."""

import math
import time

import numpy as np
import pytest

from tests.search.budget.helpers import BUDGET, LIMITED, small
from tests.search.helpers import BASELINE
from triscale.errors import BudgetError, SpecError
from triscale.search.budget.filling import fill, furthest
from triscale.search.budget.limited import Limited, Predicted, Spent, probability
from triscale.search.budget.proposals import propose
from triscale.search.candidate import Candidate, Multipliers, NetworkBaseline, OwnModule
from triscale.spec.families import network
from triscale.spec.limits import counted, parse
from triscale.spec.rules import COMPOUND

MODES = ("dwr", "compound", "phi")


@pytest.mark.parametrize("mode", MODES)
def test_every_proposal_is_inside_and_costs_what_it_says(mode):
    proposals = small(mode=mode)
    assert len(proposals) > 20
    for row in range(len(proposals)):
        own = proposals.candidate(row).network
        assert max(BUDGET.used(counted(own)).values()) <= 1
        assert counted(own) == {word: values[row] for word, values in proposals.values.items()}
        assert LIMITED.octaves(proposals.candidate(row)) == pytest.approx(tuple(proposals.octaves[row]))
    assert proposals.share.max() > (0.6 if mode == "phi" else 0.95)  # the next step of this family is outside


@pytest.mark.parametrize("mode", MODES)
def test_no_network_is_proposed_twice(mode):
    proposals = small(mode=mode)
    assert len({proposals.candidate(row) for row in range(len(proposals))}) == len(proposals)


def test_the_same_seed_proposes_the_same():
    one, same, other = small(seed=1), small(seed=1), small(seed=2)
    assert np.array_equal(one.multipliers, same.multipliers)
    assert not np.array_equal(one.multipliers, other.multipliers)


def test_most_proposals_have_no_room_for_a_pixel_more_or_nearly_none():
    proposals = propose(Limited(NetworkBaseline(network("efficientnet_b0")), parse("macs<=400M")), shapes=200)
    assert np.median(proposals.share) > 0.8
    side = np.round(proposals.multipliers[:, 2] * 224)
    for shape in np.unique(proposals.multipliers[:, :2], axis=0)[:20]:
        rows = np.flatnonzero((proposals.multipliers[:, :2] == shape).all(axis=1))
        largest = rows[np.argmax(side[rows])]
        more = Multipliers(*shape, (side[largest] + 1) / 224)
        full = side[largest] >= math.floor(proposals.box.high.resolution * 224)
        assert full or NetworkBaseline(network("efficientnet_b0")).at(more).macs > 400e6


def test_one_direction_alone_fills_the_limits():
    proposals = small()
    for name, row in proposals.anchors.items():
        own = proposals.candidate(row)
        assert own.macs <= 8e6
        if name in ("width", "resolution"):
            depth, width, resolution = LIMITED.octaves(own)
            assert depth == 0 and (width if name == "resolution" else resolution) == 0
    assert {"compound", "width", "resolution"} <= proposals.anchors.keys()


def test_compound_reaches_only_what_grows_in_every_direction_or_in_none():
    larger = small(mode="compound")
    assert (larger.multipliers >= 1).all()
    smaller = propose(Limited(BASELINE, parse("macs<=1M")), "compound", shapes=60)
    assert (smaller.multipliers <= 1).all()


def test_phi_is_one_family():
    phis = np.log(small(mode="phi").multipliers) / np.log((COMPOUND.alpha, COMPOUND.beta, COMPOUND.gamma))
    assert np.abs(phis[:, 0] - phis[:, 1]).max() < 1e-6
    pixels = small(mode="phi").multipliers[:, 2] * 64
    assert np.abs(pixels - np.round(1.15 ** phis[:, 0] * 64)).max() < 1e-6


def test_all_costs_are_proposed_where_they_are_wanted():
    every, full = small(all_costs=True, shapes=200), small(shapes=200)
    assert np.quantile(every.share, 0.3) < 0.5 < 0.6 < np.quantile(full.share, 0.3)
    assert every.share.max() > 0.95


def test_pixels_that_no_limit_counts_stay_as_they_are():
    proposals = propose(Limited(BASELINE, parse("params<=60K")), shapes=60)
    assert proposals.multipliers[:, 2].max() <= max(1.0, proposals.multipliers[proposals.anchors["compound"], 2])


def test_a_budget_that_nothing_satisfies_names_the_nearest():
    with pytest.raises(BudgetError, match=r"nothing of small is inside; the nearest has macs .*; raise the limit") as e:
        propose(Limited(BASELINE, parse("macs<=10")))
    assert 1 < e.value.overrun < math.inf
    with pytest.raises(BudgetError, match="nearest has params"):
        propose(Limited(BASELINE, parse("params<=10")), "phi")


def test_a_limit_that_must_be_measured_needs_a_prediction():
    with pytest.raises(BudgetError, match="latency must be measured; pass a prediction for it"):
        Limited(BASELINE, parse("latency<=1ms"))


def seconds_by_macs(candidate):
    return Predicted(candidate.macs * 1e-9, 1e-4)


def test_a_predicted_limit_is_kept_with_a_probability():
    limited = Limited(BASELINE, parse("latency<=2ms, params<=60K"), {"latency": seconds_by_macs})
    proposals = propose(limited, shapes=20)
    assert (proposals.values["latency"] <= 2e-3).all() and (proposals.inside >= 0.5).all()
    assert proposals.inside.min() < 0.9 and proposals.inside.max() > 0.99
    assert (proposals.values["params"] <= 60e3).all()


def test_a_probability_is_that_of_a_normal_error():
    assert probability(Predicted(1.0, 0.1), 1.0) == pytest.approx(0.5)
    assert probability(Predicted(0.9, 0.1), 1.0) == pytest.approx(0.841345, abs=1e-6)  # one standard error
    assert (probability(Predicted(1.0), 1.0), probability(Predicted(1.1), 1.0)) == (1.0, 0.0)


class Module:
    """A baseline that is no network: only params and macs of it are known."""

    name = "module"

    def described(self):
        return {}

    def at(self, multipliers):
        own = BASELINE.at(multipliers)
        if multipliers.width < 0.5:
            raise SpecError("too narrow")
        sizes.add(own.size)
        return Candidate(OwnModule("module", (), (own.key,), own.size), multipliers, own.params, own.macs)

    def model(self, candidate, classes):
        raise NotImplementedError


sizes = set()


def test_a_module_is_made_for_each_cost_at_few_sizes():
    limited = Limited(Module(), BUDGET)
    proposals = propose(limited, shapes=24, levels=3)
    assert len({proposals.candidate(row).made for row in range(len(proposals))}) == len(proposals) > 12
    assert all(limited.spent(proposals.candidate(row)).share <= 1 for row in range(len(proposals)))
    assert set(proposals.values) == {"params", "macs"} and len(sizes) < 70
    with pytest.raises(BudgetError, match="memory of module is not known"):
        propose(Limited(Module(), parse("memory<=1MB")), shapes=4)


def test_the_most_pixels_are_found_by_halving():
    asked = []

    def spend(pixels):
        asked.append(pixels)
        return Spent(None, {}, pixels**2 / 250_000, 1.0)

    assert fill(spend, range(32, 1001)).pixels == 500
    assert len(asked) <= 12
    assert fill(spend, range(32, 401)).pixels == 400 and fill(spend, range(501, 601)) is None
    assert fill(spend, [100, 300, 499, 501]).pixels == 499
    assert fill(spend, range(32, 1001), aim=0.25).pixels == 250


@pytest.mark.parametrize("edge", [-31.4, -0.1, 0.0, 0.3, 17.5, 40.0])
def test_the_furthest_is_found_from_either_side(edge):
    assert furthest(lambda x: x <= edge) == pytest.approx(edge, abs=1e-4)


def test_nothing_is_furthest_where_nothing_is_inside():
    assert furthest(lambda x: False) is None


@pytest.mark.slow
def test_a_hundred_thousand_are_costed_and_filtered_in_five_seconds():
    limited = Limited(NetworkBaseline(network("efficientnet_b0")), parse("macs<=1G, params<=8M, memory<=60MB"))
    began = time.process_time()
    proposals = propose(limited)
    assert proposals.costed >= 100_000
    assert time.process_time() - began <= 5
