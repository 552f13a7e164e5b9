"""Which network is chosen, and why not the others; what would be measured is computed here."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triscale.errors import BudgetError
from triscale.fit.candidate import Known
from triscale.fit.choose import choose, largest_useful_side
from triscale.fit.grown import growth_source
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.growth import require_growable
from triscale.spec.limits import COUNTED, Budget, counted, parse

# Published top-1 of the Lite weights: tensorflow/tpu, models/official/efficientnet/lite/README.md
TOP1 = {"efficientnet_lite0": 0.751, "efficientnet_lite1": 0.767, "efficientnet_lite2": 0.776}
KNOWN = [Known(name, network(f"tf_{name}"), top1) for name, top1 in TOP1.items()]
BASELINES = [network("efficientnet_b0"), network("efficientnet_lite0")]
PHOTOGRAPHS, CLASSES = 480, 10
# MACs with 10 classes: Lite0 383.9M at 224 px, Lite1 602M at 240, Lite2 860M at 260.


def measures(asked=None):
    """A device on which a network takes a second per 20 G MACs, and a file of four bytes per parameter."""

    def latency(net):
        if asked is not None:
            asked.append(net)
        return cost(net).macs / 20e9

    return {"latency": latency, "size": lambda net: 4.0 * cost(net).params + 4096}


def choice(budget, side=PHOTOGRAPHS, known=KNOWN, baselines=BASELINES, asked=None):
    return choose(parse(budget), CLASSES, side, known, baselines, measures(asked))


@pytest.mark.parametrize(
    ("budget", "name"),
    [("macs<=1G", "efficientnet_lite2"), ("macs<=700M", "efficientnet_lite1"), ("macs<=400M", "efficientnet_lite0"),
     ("latency<=50ms", "efficientnet_lite2"), ("latency<=20ms", "efficientnet_lite0"),
     ("params<=4M, size<=100MB", "efficientnet_lite0")],
)  # fmt: skip
def test_of_those_inside_at_their_own_size_the_best_published_accuracy_wins(budget, name):
    made = choice(budget)
    assert (made.chosen.weights, made.chosen.kept, made.chosen.network.name) == (name, 1.0, name)
    assert made.chosen.network.classes == CLASSES
    assert made.chosen.network.resolution == network(f"tf_{name}").resolution
    assert made.chosen.reason.startswith(f"the best published accuracy ({TOP1[name]:.1%} on ImageNet)")


def test_accuracy_decides_and_not_the_order_or_the_cost():
    better = [Known(each.name, each.network, 1 - each.top1) for each in KNOWN]
    assert choice("macs<=1G", known=better[::-1]).chosen.weights == "efficientnet_lite0"


def test_resolution_is_lowered_before_weights_are_given_up_and_the_nearest_to_its_own_size_wins():
    made = choice("macs<=200M")
    assert made.chosen.weights == "efficientnet_lite0"  # Lite1 and Lite2 would have to give up more pixels
    side = made.chosen.network.resolution[0]
    assert made.chosen.network.name == f"efficientnet_lite0@{side}px"
    assert 150 <= side < 224
    assert made.chosen.kept == side / 224
    assert f"resolution 224 → {side} px" in made.chosen.scaled
    assert made.chosen.values["macs"] <= 200e6
    lowered = {each.weights: each.kept for each in made.rejected if each.weights and each.inside}
    assert set(lowered) == {"efficientnet_lite1", "efficientnet_lite2"}
    assert all(kept < made.chosen.kept for kept in lowered.values())


def test_weights_keep_their_shapes_when_resolution_is_lowered():
    """Every limit but that on pixels is met by the same tensors: only the resolution differs."""
    made = choice("macs<=200M").chosen.network
    own = network("tf_efficientnet_lite0")
    assert [stage.channels for stage in made.stages] == [stage.channels for stage in own.stages]
    assert cost(made).params == cost(choice("macs<=400M").chosen.network).params


@pytest.mark.parametrize("budget", ["params<=1M", "size<=4MB", "macs<=8M"])
def test_where_no_weights_can_be_brought_inside_a_baseline_is_scaled(budget):
    """Fewer pixels save no parameter, and below a fifth of their size weights are worth nothing."""
    made = choice(budget)
    assert (made.chosen.weights, made.chosen.kept) == (None, None)
    assert made.chosen.network.name.startswith("efficientnet_b0@")
    assert "a baseline was scaled to it" in made.chosen.reason


def test_where_looking_costs_nothing_every_baseline_is_looked_at():
    assert any(each.reason == "second baseline" for each in choice("macs<=8M").rejected)
    assert not any(each.reason == "second baseline" for each in choice("size<=4MB").rejected)


def test_without_any_weights_a_baseline_is_scaled_and_grows():
    made = choice("macs<=2G", known=[])
    assert made.chosen.weights is None
    assert 1.8e9 < made.chosen.values["macs"] <= 2e9


def test_a_measured_limit_stops_looking_once_weights_are_inside():
    """Each measurement takes seconds: baselines are then not scaled."""
    asked = []
    made = choice("latency<=50ms", asked=asked)
    assert made.chosen.weights == "efficientnet_lite2"
    assert len(asked) == len(KNOWN)


def test_nothing_is_measured_where_arithmetic_is_over_already():
    asked = []
    with pytest.raises(BudgetError):
        choice("macs<=1K, latency<=1s", asked=asked)
    assert asked == []


def test_an_impossible_budget_names_the_smallest_that_can_be_reached():
    with pytest.raises(
        BudgetError, match=r"the smallest that can be reached has macs (\S+K); raise the limit"
    ) as caught:
        choice("macs<=1K")
    smallest = str(caught.value).split("has macs ")[1].split(";")[0]
    assert choice(f"macs<={smallest}").chosen.values["macs"] <= float(smallest[:-1]) * 1e3


@pytest.mark.parametrize(
    ("budget", "side"),
    [("macs<=1.5G", PHOTOGRAPHS), ("params<=8M", PHOTOGRAPHS), ("size<=32MB", PHOTOGRAPHS),
     ("latency<=90ms", PHOTOGRAPHS), ("macs<=90M", 28)],
)  # fmt: skip
def test_where_the_budget_holds_a_clearly_larger_network_it_is_grown_from_the_largest_that_it_contains(budget, side):
    made = choice(budget, side)
    assert (made.chosen.grown, made.chosen.weights, made.chosen.top1) == (True, "efficientnet_lite2", None)
    source = growth_source(network("tf_efficientnet_lite2"), made.chosen.network)
    require_growable(source, made.chosen.network)
    growth = cost(made.chosen.network).macs / cost(source).macs
    assert growth >= 1.25
    assert made.chosen.scaled.startswith(f"grown from efficientnet_lite2, {growth:.2g} times the MACs")
    assert "begins as the same function as efficientnet_lite2 and has room" in made.chosen.reason
    said = {each.weights: each.reason for each in made.rejected if each.weights and each.inside}
    assert set(said.values()) == {"clearly smaller than the budget allows, and the chosen network starts from "
                                  "efficientnet_lite2"}  # fmt: skip


def test_the_grown_network_has_the_numerics_of_the_weights():
    assert choice("macs<=1.5G").chosen.network.numerics == network("tf_efficientnet_lite2").numerics


def test_what_is_hardly_larger_is_not_worth_weights_of_known_accuracy():
    """Lite2 takes 860M: at 1.1G, depth and width are less than two thirds of a compound step larger."""
    assert choice("macs<=1.1G").chosen.network.name == "efficientnet_lite2"
    assert choice("macs<=1.3G").chosen.grown


def test_growth_ends_at_four_times_the_macs_of_the_best_network_with_weights():
    """More budget is not more images."""
    lite2 = choice("macs<=1G").chosen.values["macs"]
    assert choice("macs<=20G").chosen.network == choice("macs<=9G").chosen.network
    assert 3.5 * lite2 < choice("macs<=20G").chosen.values["macs"] <= 4 * lite2


def test_what_is_grown_starts_from_the_best_that_there_is():
    lite1 = choice("macs<=2G", known=KNOWN[:2])
    assert (lite1.chosen.grown, lite1.chosen.weights) == (True, "efficientnet_lite1")
    # Another family's network may be more accurate than all that the budget's network contains: then that is taken.
    better = Known("efficientnet_b0", network("tf_efficientnet_b0"), 0.9)
    made = choice("macs<=2G", known=[*KNOWN, better], baselines=BASELINES[1:])
    assert (made.chosen.grown, made.chosen.weights) == (False, "efficientnet_b0")


def test_below_the_smallest_network_with_weights_nothing_is_grown():
    for budget in ("macs<=300M", "params<=1M"):
        made = choice(budget)
        assert not any(each.grown for each in (made.chosen, *made.rejected))


def test_nothing_is_measured_to_grow_where_a_measured_limit_leaves_no_room():
    asked = []
    assert not choice("latency<=50ms", asked=asked).chosen.grown
    assert len(asked) == len(KNOWN)
    assert choice("latency<=90ms", asked=asked).chosen.grown


@pytest.mark.parametrize("order", [1, -1])
def test_the_smallest_of_all_baselines_is_named_whichever_comes_first(order):
    with pytest.raises(BudgetError) as both:
        choice("macs<=1K", baselines=BASELINES[::order])
    alone = []
    for baseline in BASELINES:
        with pytest.raises(BudgetError) as caught:
            choice("macs<=1K", baselines=[baseline])
        alone.append(caught.value)
    assert str(both.value) == str(min(alone, key=lambda each: each.overrun))
    assert alone[0].overrun != alone[1].overrun


def test_no_candidates_at_all_are_said():
    with pytest.raises(BudgetError, match="there is no network to choose from"):
        choice("macs<=1G", known=[], baselines=[])


@pytest.mark.parametrize(
    ("side", "cap"),
    [(1, 32), (8, 32), (16, 32), (17, 64), (28, 64), (32, 64), (96, 192), (255, 512), (256, None), (4000, None)],
)
def test_small_images_are_enlarged_twice_at_most(side, cap):
    assert largest_useful_side(side) == cap


def test_small_images_cap_the_resolution_and_say_so():
    made = choice("macs<=1G", side=28)
    assert made.chosen.weights in TOP1
    assert made.chosen.network.resolution == (64, 64)
    assert made.notes[0] == "the images are about 28 px: beyond 64 px they would only be enlarged"
    own = [each for each in made.rejected if each.scaled == "at its own size"]
    assert {each.reason for each in own} == {"larger than these images call for"}


def test_small_images_and_fresh_weights_take_the_low_resolution_form():
    made = choice("params<=2M", side=28)
    assert made.chosen.weights is None
    assert made.chosen.network.resolution == (32, 32)
    assert max(made.chosen.network.reductions()) < 32
    assert "low-resolution form" in made.chosen.scaled
    assert any(note.startswith("small images, so the network takes its low-resolution form") for note in made.notes)


def test_photographs_take_neither():
    made = choice("params<=2M")
    assert made.chosen.network.resolution[0] > 64
    assert max(made.chosen.network.reductions()) == 32
    assert made.notes == ()


def test_each_rejected_network_says_by_how_much_it_is_over():
    said = {each.network.name: each.reason for each in choice("macs<=700M").rejected}
    assert said["efficientnet_lite0"] == "published accuracy 75.1%, that of the chosen one is 76.7%"
    assert said["efficientnet_lite2"].startswith("over the budget: macs ")
    assert said["efficientnet_lite2"].endswith(" of 700M")
    assert "would start from nothing, and published weights fit the budget" in said.values()


budgets = st.fixed_dictionaries(
    {},
    optional={
        "macs": st.floats(4e5, 2e9),
        "params": st.floats(5e4, 2e7),
        "activations": st.floats(2e5, 4e7),
        "memory": st.floats(1e6, 2e8),
        "latency": st.floats(1e-4, 1e-1),
        "size": st.floats(3e5, 6e7),
    },
).filter(bool)


@settings(max_examples=150, deadline=None)
@given(limits=budgets, side=st.sampled_from([20, 32, 64, 150, 480]), known=st.sampled_from([KNOWN, KNOWN[:1], []]))
def test_whatever_is_chosen_is_inside_every_limit(limits, side, known):
    budget = Budget(limits)
    try:
        made = choose(budget, CLASSES, side, known, BASELINES[:1], measures())
    except BudgetError as error:
        assert "the smallest that can be reached has" in str(error)
        return
    net = made.chosen.network
    values = counted(net) | {word: measure(net) for word, measure in measures().items()}
    assert [word for word, limit in limits.items() if not values[word] <= limit] == []
    assert made.chosen.values == {word: values[word] for word in (*COUNTED, *limits)}
    assert net.classes == CLASSES
    assert min(net.resolution) <= (largest_useful_side(side) or math.inf)
    assert made.chosen not in made.rejected
    assert all(each.reason for each in (made.chosen, *made.rejected))
