"""Ways of scaling at equal cost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.helpers import BASELINE, Counting, asker, by_width
from triscale.errors import SearchError
from triscale.search.candidate import Multipliers, NetworkBaseline
from triscale.search.comparison import all_at_cost, at_cost, compare_ways, ways_to_scale
from triscale.search.grid import PUBLISHED
from triscale.spec.families import network

B0 = NetworkBaseline(network("efficientnet_b0"))
OWN_SMALL = BASELINE.at(Multipliers()).macs
OWN = B0.at(Multipliers()).macs


@pytest.mark.parametrize("way", ["depth", "width", "resolution", "compound"])
@settings(max_examples=15, deadline=None)
@given(growth=st.floats(1.0, 8.0))
def test_no_network_on_the_way_is_nearer_to_the_cost(way, growth):
    along = ways_to_scale(PUBLISHED)[way]
    found = at_cost(B0, along, growth * OWN)
    for number in range(60):
        assert abs(B0.at(along(number / 15)).macs - growth * OWN) >= abs(found.macs - growth * OWN)


def test_one_dimension_is_scaled_and_no_other():
    ways = ways_to_scale(PUBLISHED)
    for place, way in enumerate(("depth", "width", "resolution")):
        multipliers = at_cost(B0, ways[way], 2 * OWN).multipliers
        assert [each > 1 for each in multipliers] == [number == place for number in range(3)]


def test_a_cost_beyond_a_way_is_refused():
    with pytest.raises(SearchError, match="cannot be scaled to"):
        at_cost(B0, lambda _: Multipliers(), 2 * OWN)


class Shallow:
    """A baseline whose depth cannot change."""

    name = "shallow"

    def at(self, multipliers):
        return BASELINE.at(multipliers._replace(depth=1.0))


def test_a_way_that_ends_before_the_cost_is_left_out():
    assert list(all_at_cost(Shallow(), PUBLISHED, 4 * OWN_SMALL)) == ["width", "resolution", "compound"]


def test_all_ways_are_trained_alike_and_told(tmp_path):
    score = Counting(by_width)
    found = compare_ways(BASELINE, PUBLISHED, (2, 4), asker(tmp_path, score), steps=10, seeds=2)
    assert found.ways == ("depth", "width", "resolution", "compound")
    assert [len(found.curve(way)) for way in found.ways] == [2] * 4
    assert {(seed, steps) for _, seed, steps in score.asked} == {(0, 10), (1, 10)}
    best = max(found.points, key=lambda each: each.estimate.mean)
    assert best.way == "width" and best.target == 4 * BASELINE.at(Multipliers()).macs
    assert found.noise == pytest.approx(1e-4 / 2**0.5)
    assert found.baseline.seeds == 2
