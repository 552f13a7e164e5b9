"""A network that the user names: as it is where it is inside the budget, else brought inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from triscale.errors import BudgetError
from triscale.fit.candidate import Candidate, Choice, Known, what_changed
from triscale.fit.choose import choose, excess
from triscale.spec.budget import solve
from triscale.spec.limits import Budget, Measure, measured
from triscale.spec.network import Network


def choose_given(
    network: Network,
    budget: Budget,
    classes: int,
    image_side: int,
    known: Sequence[Known],
    measures: Mapping[str, Measure] | None = None,
    predictions: Mapping[str, Measure] | None = None,
) -> Choice:
    """A choice of one.

    One whose published weights are at hand goes the way of `choose`, alone; any other, which a search may have found,
    keeps its own size where that is inside, and is otherwise scaled by the compound rule.
    Raises: BudgetError where nothing of it is inside.
    """
    measures = measures or {}
    own = replace(network, classes=classes)
    for each in known:
        if replace(each.network, name=own.name, classes=classes) == own:
            try:
                return choose(budget, classes, image_side, [each], [], measures, predictions)
            except BudgetError:  # even at the fewest pixels that its weights are worth
                return choose(budget, classes, image_side, [], [network], measures, predictions)
    values = measured(own, budget, measures)
    over = [word for word, limit in budget.limits.items() if values[word] > limit]
    if not over:
        return Choice(Candidate(own, None, None, None, values, True, "as given", "it was given"), (), ())
    told = "over the budget: " + ", ".join(excess(word, values[word], budget) for word in over)
    asked = Candidate(own, None, None, None, values, False, "as given", told)
    made = solve(own, budget, measures, predictions=predictions)
    spent, changed = measured(made, budget, measures), what_changed(own, made)
    reason = "it was given, and scaled down to the budget"
    return Choice(Candidate(made, None, None, None, spent, True, changed, reason), (asked,), ())
