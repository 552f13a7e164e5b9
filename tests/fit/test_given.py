"""A network that the user names, at its own size or brought inside the budget."""

import pytest

from tests.models.helpers import small_network
from triscale.errors import BudgetError
from triscale.fit.candidate import Known
from triscale.fit.given import choose_given
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.limits import parse
from triscale.spec.scaling import scale

FOUND = scale(small_network(resolution=(64, 64)), depth=2, width=1.5, resolution=0.75)
LITE0 = Known("efficientnet_lite0", network("tf_efficientnet_lite0"), 0.755)


def test_what_is_inside_stays_as_it_is():
    choice = choose_given(FOUND, parse("macs<=1G"), 7, 28, [LITE0])
    assert choice.chosen.network.resolution == FOUND.resolution and choice.chosen.network.classes == 7
    assert choice.chosen.network.stages == FOUND.stages
    assert (choice.chosen.scaled, choice.chosen.weights, choice.rejected) == ("as given", None, ())


def test_what_is_over_is_scaled_down_and_said():
    own = cost(FOUND).macs
    choice = choose_given(FOUND, parse(f"macs<={own // 2}"), 7, 64, [LITE0])
    assert 0.8 * own / 2 < choice.chosen.values["macs"] <= own / 2
    assert "→" in choice.chosen.scaled and choice.rejected[0].reason.startswith("over the budget: macs")


def test_a_published_one_comes_with_its_weights():
    choice = choose_given(network("tf_efficientnet_lite0"), parse("macs<=1G"), 7, 256, [LITE0])
    assert (choice.chosen.weights, choice.chosen.kept) == ("efficientnet_lite0", 1.0)
    small = choose_given(network("tf_efficientnet_lite0"), parse("macs<=200M"), 7, 256, [LITE0])
    assert small.chosen.weights == "efficientnet_lite0" and small.chosen.values["macs"] <= 200e6


def test_a_budget_that_nothing_of_it_satisfies_is_refused():
    with pytest.raises(BudgetError, match="params"):
        choose_given(FOUND, parse("params<=100"), 7, 64, [])
