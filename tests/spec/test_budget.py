import math
import random
import re

import pytest

from triscale.errors import BudgetError
from triscale.spec.budget import fit_budget, solve
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.limits import Budget, counted, parse

FAMILIES = ["efficientnet_b0", "efficientnet_lite0", "efficientnet_b3", "mobilenet_v3_large"]
WORDS = ["params", "macs", "activations", "memory"]


def random_budget(seed):
    """A family and one or two limits between a third and eight times of what its baseline costs."""
    draw = random.Random(seed)
    net = network(draw.choice(FAMILIES))
    own = counted(net)
    words = draw.sample(WORDS, draw.choice([1, 2]))
    return net, Budget({word: own[word] * math.exp(draw.uniform(math.log(0.35), math.log(8))) for word in words})


@pytest.mark.parametrize("seed", range(50))
def test_a_random_budget_is_kept_and_at_least_nine_tenths_of_one_limit_are_used(seed):
    net, budget = random_budget(seed)
    solved = solve(net, budget)
    used = budget.used(counted(solved))
    assert max(used.values()) <= 1
    assert max(used.values()) >= 0.9


def test_fit_budget_reads_the_language_of_budgets():
    solved = fit_budget(network("efficientnet_b0"), "macs<=1G, params<=8M")
    assert cost(solved).macs <= 1_000_000_000
    assert cost(solved).params <= 8_000_000
    assert solved.name == "efficientnet_b0@macs1G,params8M"


def test_a_budget_of_exactly_the_baseline_is_the_baseline_or_better():
    net = network("efficientnet_b0")
    assert counted(fit_budget(net, "macs<=385814752"))["macs"] > 0.97 * 385_814_752


def test_one_direction_alone_keeps_the_weights_shapes():
    net = network("efficientnet_lite0")
    solved = solve(net, parse("macs<=100M"), directions=("resolution",))
    assert (solved.stem, solved.stages, solved.head) == (net.stem, net.stages, net.head)
    assert cost(solved).macs <= 100e6 < cost(net, solved.resolution[0] + 1).macs


def test_the_largest_phi_can_be_bounded_so_that_nothing_outgrows_the_baseline():
    net = network("efficientnet_lite0")
    assert solve(net, parse("macs<=50G"), largest=0.0) is net


def test_a_budget_beyond_any_machine_ends_with_the_largest_network_there_is():
    solved = fit_budget(network("efficientnet_b0"), "macs<=1e30")
    assert 10_000 < sum(1 for _ in solved.placed_blocks()) <= 20_000


@pytest.mark.parametrize("name", [*FAMILIES, "detnas_coco_fpn_300m"])
@pytest.mark.parametrize("word", WORDS)
def test_an_impossible_budget_names_the_smallest_that_can_be_reached_and_that_is_reached(name, word):
    net = network(name)
    with pytest.raises(BudgetError, match=f"nothing of {name} with 1000 classes is inside; the smallest") as refusal:
        fit_budget(net, f"{word}<=1{'B' if word == 'memory' else ''}")
    smallest = re.search(rf"reached has {word} ([^;]+);", str(refusal.value))[1]
    reached = fit_budget(net, f"{word}<={smallest}")
    assert counted(reached)[word] <= parse(f"{word}<={smallest}").limits[word]
    with pytest.raises(BudgetError):
        solve(net, Budget({word: counted(reached)[word] * 0.99}))


def test_an_impossible_pair_names_only_what_cannot_be_reached():
    with pytest.raises(BudgetError, match=r"the smallest that can be reached has params [\d.]+K; raise the limit"):
        fit_budget(network("efficientnet_b0"), "macs<=50M, params<=10K")


def test_units_that_split_their_channels_are_never_scaled_to_widths_they_cannot_split():
    solved = fit_budget(network("detnas_coco_fpn_300m"), "params<=600K")
    assert 0.9 * 600e3 <= cost(solved).params <= 600e3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.9}, r"alpha, beta and gamma must be in 1\.\.10 .* got 0\.9, 1\.1 and 1\.15"),
        ({"gamma": float("nan")}, r"alpha, beta and gamma must be in 1\.\.10"),
        ({"beta": 1e300}, r"alpha, beta and gamma must be in 1\.\.10"),
        ({"directions": ()}, "a budget needs at least one limit and one direction"),
    ],
)
def test_a_search_that_cannot_go_anywhere_is_refused(arguments, message):
    with pytest.raises(BudgetError, match=message):
        solve(network("efficientnet_b0"), parse("macs<=1G"), **arguments)


def test_a_budget_without_limits_is_refused():
    with pytest.raises(BudgetError, match="a budget needs at least one limit"):
        solve(network("efficientnet_b0"), Budget({}))


class FakeDevice:
    """A latency that grows with macs and activations and has an overhead; it counts how often it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, net):
        self.asked.append(net)
        own = cost(net)
        return own.macs / 20e9 + own.activations * 1e-10 + 0.0005


@pytest.mark.parametrize("seed", range(40))
def test_a_measured_limit_is_kept_with_few_measurements(seed):
    draw = random.Random(seed)
    net, device = network(draw.choice(FAMILIES)), FakeDevice()
    limit = device(net) * math.exp(draw.uniform(math.log(0.1), math.log(10)))
    device.asked.clear()
    solved = solve(net, Budget({"latency": limit}), {"latency": device})
    assert len(device.asked) <= 15
    assert len(set(device.asked)) == len(device.asked)
    assert 0.8 * limit <= device(solved) <= limit


@pytest.mark.parametrize("seed", range(20))
def test_a_slow_measure_is_never_asked_where_counted_limits_fail(seed):
    draw = random.Random(seed)
    net, device = network(draw.choice(FAMILIES)), FakeDevice()
    own = counted(net)
    budget = Budget({"latency": device(net) * draw.uniform(0.3, 6), "macs": own["macs"] * draw.uniform(0.3, 6)})
    device.asked.clear()
    solved = solve(net, budget, {"latency": device})
    assert len(device.asked) <= 15
    assert all(cost(asked).macs <= budget.limits["macs"] for asked in device.asked)
    assert cost(solved).macs <= budget.limits["macs"]
    assert device(solved) <= budget.limits["latency"]


def test_a_measure_that_ignores_resolution_leaves_resolution_to_compound_scaling():
    solved = solve(network("efficientnet_b0"), parse("size<=40MB"), {"size": lambda net: 4.1 * cost(net).params})
    assert 0.8 * 40e6 <= 4.1 * cost(solved).params <= 40e6
    assert 240 <= solved.resolution[0] <= 320


def test_resolution_is_not_given_up_for_limits_that_do_not_know_it():
    net = network("efficientnet_b0")
    assert fit_budget(net, "params<=500K").resolution == (224, 224)
    assert fit_budget(net, "params<=500K, macs<=5M").resolution < (224, 224)
    assert solve(net, parse("size<=1MB"), {"size": lambda net: 4.1 * cost(net).params}).resolution == (224, 224)


def test_size_and_latency_together_are_both_kept():
    device = FakeDevice()
    measures = {"latency": device, "size": lambda net: 4.08 * cost(net).params + 50_000}
    solved = solve(network("efficientnet_lite0"), parse("latency<=13.09ms, size<=7.908MB"), measures)
    used = max(device(solved) / 0.01309, measures["size"](solved) / 7_908_000)
    assert 0.8 <= used <= 1


def test_an_impossible_latency_names_the_smallest_that_was_measured():
    device = FakeDevice()
    with pytest.raises(BudgetError, match=r"the smallest that can be reached has latency 520\.\dus"):
        solve(network("efficientnet_b0"), parse("latency<=1us"), {"latency": device})
    assert len(device.asked) <= 15


@pytest.mark.parametrize("word", ["latency<=5ms", "size<=5MB"])
def test_a_limit_without_its_measure_is_refused(word):
    with pytest.raises(BudgetError, match=f"{word[:4]}.* must be measured on an exported file; pass a measure for it"):
        fit_budget(network("efficientnet_b0"), word)
