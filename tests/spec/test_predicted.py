import math
import random
import statistics

import pytest

from triscale.errors import BudgetError
from triscale.spec.budget import Budget, measured, solve
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.predicted import ROUNDS, predict_then_measure

FAMILIES = ["efficientnet_lite0", "efficientnet_b0", "mobilenet_v3_large"]
SEEDS = range(100)


def seconds(net):
    own = cost(net)
    return own.macs / 20e9 + own.activations * 1e-10 + 0.0005


class Case:
    """A budget between a sixth and eight times of the baseline, a prediction off by up to half, and noise."""

    def __init__(self, seed, noise):
        self.draw = random.Random(seed)
        self.net = network(self.draw.choice(FAMILIES))
        self.bias = math.exp(self.draw.uniform(-0.4, 0.4))
        self.noise, self.known = noise, {}
        self.limit = seconds(self.net) * math.exp(self.draw.uniform(math.log(1 / 6), math.log(8)))

    def measure(self, net):
        if net not in self.known:
            self.known[net] = seconds(net) * math.exp(self.draw.gauss(0, self.noise))
        return self.known[net]

    def predict(self, net):
        own = cost(net)
        return self.bias * (own.macs / 22e9 + own.activations * 1.2e-10)

    def solve(self):
        budget = Budget({"latency": self.limit})
        return solve(self.net, budget, {"latency": self.measure}, predictions={"latency": self.predict})


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_100_random_limits_are_kept_with_few_measurements_and_used_well(noise):
    used, asked = [], []
    for seed in SEEDS:
        case = Case(seed, noise)
        used.append(case.measure(case.solve()) / case.limit)
        asked.append(len(case.known))
    assert max(used) <= 1
    assert min(used) >= 0.7
    assert statistics.mean(used) >= 0.92
    assert statistics.mean(asked) <= 3
    assert max(asked) <= ROUNDS


def test_a_prediction_that_knows_nothing_costs_measurements_and_never_the_limit():
    for seed in range(20):
        case = Case(seed, 0.0)
        case.predict = lambda net: 1e-3 * net.resolution[0] ** 0.2
        assert case.measure(case.solve()) <= case.limit


def test_a_limit_that_nothing_meets_names_the_smallest_that_was_measured():
    case = Case(0, 0.0)
    case.net, case.limit = network("efficientnet_b0"), 1e-6
    with pytest.raises(BudgetError, match=r"the smallest that can be reached has latency 520\.\dus"):
        case.solve()


def test_counted_limits_hold_beside_predicted_ones():
    case = Case(3, 0.0)
    budget = Budget({"latency": 2 * seconds(case.net), "macs": 0.8 * cost(case.net).macs})
    made = solve(case.net, budget, {"latency": case.measure}, predictions={"latency": case.predict})
    assert all(cost(each).macs <= budget.limits["macs"] for each in case.known)
    assert 0.9 <= max(budget.used(measured(made, budget, {"latency": case.measure})).values()) <= 1


def test_a_limit_without_its_prediction_is_measured_all_the_way():
    case = Case(1, 0.0)
    budget = Budget({"latency": case.limit, "size": 1e9})
    asked = {"latency": case.measure, "size": lambda net: 4.0 * cost(net).params}
    made = solve(case.net, budget, asked, predictions={"latency": lambda net: pytest.fail("a rough guess was asked")})
    assert case.measure(made) <= case.limit


def test_what_was_inside_is_never_left_for_less():
    """The first measurement came at a bad moment, and the truth is that predictions are right."""
    tried = []

    def slow_once(point):
        tried.append(point)
        return 1.8 if len(tried) == 1 else point

    found = predict_then_measure(lambda wanted: wanted, lambda point: point, slow_once)
    assert tried[0] == 0.97
    assert tried[1] == pytest.approx(0.97 * 0.97 / 1.8)
    assert tried[1:] == sorted(tried[1:])
    assert max(tried[1:]) < 0.97
    assert found == tried[-1] >= 0.9
