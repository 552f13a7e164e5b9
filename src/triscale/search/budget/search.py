"""Searching inside a budget: propose once, then choose, ask and learn, one network after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from triscale.errors import BudgetError, SpecError
from triscale.search.asking import Asker, seeds_of
from triscale.search.budget.choosing import FIRST, History, choose
from triscale.search.budget.limited import Limited, Prediction
from triscale.search.budget.pareto import affordable
from triscale.search.budget.process import require_scipy
from triscale.search.budget.proposals import Mode, Proposals, propose
from triscale.search.budget.result import BudgetResult, conclude, history
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.ledger import Entry
from triscale.spec.limits import Budget
from triscale.spec.rules import COMPOUND, Rule

Asked = list[tuple[Candidate, Sequence[Entry]]]


@dataclass(frozen=True)
class Plan:
    """How to search.

    mode: "dwr" (depth, width and resolution freely), "compound" (alpha, beta, gamma >= 1 and phi) or "phi" (one family:
        max f(phi) subject to g(phi) <= C). rule: of the family, and what the others begin with.
    trials: networks that are asked. steps: of each training. seeds: trainings of each, whose mean counts.
    first: so many are spread out before a process is fitted. seed: of the proposals.
    pareto: a budget word; then score against this cost is what is sought, rather than the best score alone.
    shapes, levels: how many depths and widths are proposed, and resolutions of each; see `propose`.
    """

    trials: int
    steps: int
    mode: Mode = "dwr"
    seeds: int = 1
    rule: Rule = COMPOUND
    first: int = FIRST
    seed: int = 0
    pareto: str | None = None
    shapes: int | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        if min(self.trials, self.steps, self.seeds, self.first) < 1:
            raise SpecError(f"trials, steps, seeds and first are whole numbers from 1; got {self}.")
        if self.mode not in ("phi", "dwr", "compound"):
            raise SpecError(f'mode is "phi", "dwr" or "compound"; got {self.mode!r}.')


@dataclass(frozen=True)
class Measures:
    """What stands behind limits on latency (seconds) and size (bytes).

    predictions: of a candidate, quick and rough; one for each such word. measured: the real ones, asked of a network
    before it is scored: one that is over is never scored. Without, a network is scored that is probably inside.
    """

    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    measured: Mapping[str, Callable[[Candidate], float]] = field(default_factory=dict)


def search_budget(
    baseline: Baseline,
    budget: Budget,
    ask: Asker,
    plan: Plan,
    measures: Measures | None = None,
    heard: Callable[[int, Candidate], None] | None = None,
) -> BudgetResult:
    """The best network inside a budget, by as many scores as `plan.trials` allows.

    Only networks inside every counted limit are proposed, so that none outside is ever scored. A search that was killed
    goes on from its ledger, and nothing is scored twice; the same plan and the same answers give the same networks.
    ask: of as many `slots` as it has, so many networks are asked at once; one more is chosen knowing which those are.
    heard: called with (number of the trial, candidate) before each is asked.
    Returns: fewer trials where there are no more networks.
    Raises: BudgetError where nothing is inside, with the nearest; SearchError where no candidate has a score, or ten in
        a row fail; MissingExtraError without scipy.
    """
    require_scipy()
    measures = measures or Measures()
    limited = Limited(baseline, budget, measures.predictions)
    proposals = proposals_of(limited, plan)
    asked, running = already_asked(proposals, ask, plan), list[Candidate]()
    barred = np.zeros(len(proposals), dtype=bool)
    while True:
        while len(running) < ask.slots and len(asked) + len(running) < plan.trials:
            candidate = _next(proposals, plan, asked, running, barred, measures)
            if candidate is None:
                break
            if heard is not None:
                heard(len(asked) + len(running), candidate)
            ask.start(seeds_of(candidate, plan.seeds, plan.steps))
            running.append(candidate)
        if not running:
            break
        entries = ask.finished()
        done = next(each for each in running if each.key == entries[0].key)
        running.remove(done)
        asked.append((done, entries))
    if not asked:
        raise BudgetError(f"budget {budget}: none of {len(proposals)} networks was inside when measured; raise it.")
    return conclude(proposals, asked, plan.pareto)


def already_asked(proposals: Proposals, ask: Asker, plan: Plan) -> Asked:
    """What the ledger of a search that stopped holds, in the order in which it came.

    The first networks that it names are those of the search: what it is held against comes after it.
    """
    found: dict[str, tuple[Candidate, list[Entry]]] = {}
    for entry in ask.ledger.entries():
        if (
            entry.steps != plan.steps
            or entry.seed >= plan.seeds
            or (len(found) == plan.trials and entry.key not in found)
        ):
            continue
        if entry.key not in found:
            multipliers = Multipliers(entry.depth, entry.width, entry.resolution)
            found[entry.key] = proposals.limited.baseline.at(multipliers), []
        found[entry.key][1].append(entry)
    return [(candidate, entries) for candidate, entries in found.values() if len(entries) == plan.seeds]


def _next(
    proposals: Proposals,
    plan: Plan,
    asked: Asked,
    running: Sequence[Candidate],
    barred: np.ndarray,
    measures: Measures,
) -> Candidate | None:
    """What to ask while others run; None where nothing is left. barred: rows that were measured and are outside."""
    known = history(proposals, asked)
    if running:
        places = np.array([proposals.limited.octaves(each) for each in running])
        known = History(known.octaves, known.scores, places)
    within = capped(proposals, plan, len(known))
    while (row := choose(proposals, known, plan.first, within, barred)) is not None:
        candidate = proposals.candidate(row)
        if holds(candidate, proposals.limited.budget, measures):
            return candidate
        barred[row] = True
    return None


def proposals_of(limited: Limited, plan: Plan) -> Proposals:
    """What a plan may ask. Raises: BudgetError where nothing is inside, or for a cost that nothing is held against."""
    pareto = plan.pareto is not None
    proposals = propose(limited, plan.mode, plan.rule, plan.shapes, plan.levels, plan.seed, all_costs=pareto)
    capped(proposals, plan, 0)
    return proposals


def capped(proposals: Proposals, plan: Plan, number: int) -> np.ndarray | None:
    """The rows that trial `number` may ask; None where that is all."""
    return None if plan.pareto is None else affordable(proposals, plan.pareto, number, plan.seed)


def holds(candidate: Candidate, budget: Budget, measures: Measures) -> bool:
    """Whether a candidate is inside every limit that can be measured here."""
    return all(measure(candidate) <= budget.limits[word] for word, measure in measures.measured.items())
