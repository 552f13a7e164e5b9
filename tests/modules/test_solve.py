import math
import random

import pytest

from tests.modules.nets import KINDS, VGG, Grouped, image
from triscale import module_cost, scale_module, scaling_report
from triscale.errors import BudgetError
from triscale.modules.plan import STEPS, analyse
from triscale.modules.solve import SMALLEST, solve
from triscale.modules.trace import analysis_copy
from triscale.spec.limits import Budget

WORDS = ("params", "macs", "activations", "memory")


def analysed(module):
    return analyse(analysis_copy(module), image(), tie_depth=True)


def smallest(analysis):
    return analysis.cost(analysis.plan(SMALLEST, SMALLEST, STEPS[-1])).values()


def random_limits(analysis, word, count, seed):
    """Limits between the smallest that can be reached and four times the module, evenly on a logarithmic scale."""
    rng = random.Random(seed)
    low, high = smallest(analysis)[word], 4 * analysis.cost(analysis.plan()).values()[word]
    return [math.exp(rng.uniform(math.log(low), math.log(high))) for _ in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_random_budgets_are_kept_and_used(kind):
    analysis = analysed(KINDS[kind]())
    for limit in random_limits(analysis, "macs", 12, kind):
        plan = solve(analysis, Budget({"macs": limit}), {}, kind)
        assert 0.95 * limit <= analysis.cost(plan).macs <= limit


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_forty_modules_are_inside_their_budgets_when_counted_again(kind):
    module, example = KINDS[kind](), image()
    for limit in random_limits(analysed(module), "macs", 40, kind):
        made = scale_module(module, example, to=f"macs<={limit!r}", recognise=False)
        assert 0.95 * limit <= module_cost(made, example).macs <= limit


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_a_budget_is_kept_by_what_is_built(word):
    module, example = VGG(), image()
    limit = 2.5 * module_cost(module, example).values()[word]
    made = scale_module(module, example, to=f"{word}<={limit:.0f}{'B' if word == 'memory' else ''}")
    assert 0.95 * limit <= module_cost(made, example).values()[word] <= limit
    assert scaling_report(made).depth > 1
    assert scaling_report(made).width > 1


def test_several_limits_are_all_kept_and_one_is_used():
    module, example = VGG(), image()
    base = module_cost(module, example)
    made = scale_module(module, example, to=f"macs<={3 * base.macs}, params<={2 * base.params}, memory<=1GB")
    cost = module_cost(made, example)
    assert cost.macs <= 3 * base.macs
    assert 1.9 * base.params <= cost.params <= 2 * base.params


def test_an_impossible_budget_names_the_smallest():
    least = smallest(analysed(VGG()))["macs"]
    with pytest.raises(BudgetError, match=r"nothing of VGG is inside; the smallest that can be reached has macs") as e:
        scale_module(VGG(), image(), to="macs<=1K")
    assert e.value.overrun == pytest.approx(least / 1000)


def test_a_budget_and_multipliers_exclude_each_other():
    with pytest.raises(BudgetError, match=r"give depth=1\.2, width=1 or to='macs<=1G'"):
        scale_module(VGG(), image(), depth=1.2, to="macs<=1G")
    with pytest.raises(BudgetError, match="unknown word 'flops'; multiply-accumulates are called 'macs' here"):
        scale_module(VGG(), image(), to="flops<=1G")


def test_measured_words_ask_the_measure_that_is_handed_in():
    module, example, asked = VGG(), image(), []

    def size(candidate):
        asked.append(candidate)
        return 4.0 * sum(parameter.numel() for parameter in candidate.parameters())

    with pytest.raises(BudgetError, match="size must be measured; pass measures="):
        scale_module(module, example, to="size<=1MB")
    made = scale_module(module, example, to="size<=1MB", measures={"size": size})
    assert 0.9e6 <= size(made) <= 1e6
    assert len(asked) <= 12
    both = scale_module(module, example, to="size<=1MB, macs<=2M", measures={"size": size})
    assert module_cost(both, example).macs <= 2e6
    with pytest.raises(BudgetError, match="nothing of VGG is inside; the smallest that can be reached has size"):
        scale_module(module, example, to="size<=100B", measures={"size": size})


def test_costs_in_a_plan_are_those_of_the_module_that_is_built_from_it():
    module, example = Grouped(), image()
    analysis = analysed(module)
    for depth, width in [(0.4, 0.6), (1.7, 1.3)]:
        made = scale_module(module, example, depth, width)
        assert analysis.cost(analysis.plan(depth, width)) == module_cost(made, example)
