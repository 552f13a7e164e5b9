"""The search as a sampler of Optuna, so that its storage, its workers and its dashboard come with it.

Optuna's own Gaussian process learns constraints from trials that were completed, so a network over the budget would
have to be scored, or given an invented score. Here the cost is known beforehand, and no such network is proposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from triscale.errors import MissingExtraError, SearchError
from triscale.search.budget.choosing import FIRST, History, choose
from triscale.search.budget.pareto import affordable
from triscale.search.budget.proposals import Proposals
from triscale.search.candidate import Candidate, Multipliers
from triscale.search.shared.study import FAILURE

try:
    import optuna
except ImportError:
    raise MissingExtraError("optuna", "search", "a search that several workers join") from None
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

NAMES = Multipliers._fields  # of a trial's parameters


class BudgetSampler(optuna.samplers.BaseSampler):
    """Depth, width and resolution of the network to score next, always inside the limits.

    proposals: what may be asked; every worker needs the same, so the same baseline, budget, mode and seed.
    first: so many are spread out before a process is fitted. pareto: a budget word; score against this cost is sought.
    Trials that run in other workers count with the score that is expected of them. One that has no parameters yet is
    being proposed at this moment: what it will ask is worked out here as it is there, for the same history gives the
    same proposal. A trial that failed without the attribute `failure` was never answered, and is asked again.
    Use: study = optuna.create_study(sampler=sampler, direction="maximize"), then in the objective
        candidate = sampler.suggest(trial).
    """

    def __init__(self, proposals: Proposals, first: int = FIRST, pareto: str | None = None, seed: int = 0) -> None:
        self.proposals, self.first, self.pareto, self.seed = proposals, first, pareto, seed
        self._rows = {tuple(each): row for row, each in enumerate(proposals.multipliers.tolist())}
        self._others = optuna.samplers.RandomSampler(seed=seed)

    def suggest(self, trial: Trial) -> Candidate:
        """The candidate of a trial.

        Raises: optuna.TrialPruned for one outside the limits, which only somebody's own parameters can be; and for one
        that another trial has, which happens where two workers choose in the same moment: then both may give way.
        """
        space = self.space()
        multipliers = Multipliers(*[trial.suggest_float(name, space[name].low, space[name].high) for name in NAMES])
        candidate = self.proposals.limited.at(multipliers)
        if candidate is None or self.proposals.limited.spent(candidate).share > 1:
            raise optuna.TrialPruned(f"{multipliers} is outside {self.proposals.limited.budget}")
        # This trial's parameters are in the storage by now, so of two that are equal at least one sees the other.
        for each in trial.study.get_trials(deepcopy=False):
            if each.number != trial.number and each.params == trial.params and taken(each):
                raise optuna.TrialPruned(f"{candidate.name} is trial {each.number} already")
        return candidate

    def space(self) -> dict[str, FloatDistribution]:
        """Between which numbers each parameter lies."""
        lows, highs = self.proposals.multipliers.min(axis=0).tolist(), self.proposals.multipliers.max(axis=0).tolist()
        return {name: FloatDistribution(low, high) for name, low, high in zip(NAMES, lows, highs, strict=True)}

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All three together. Raises: SearchError for a study of several objectives."""
        if len(study.directions) != 1:
            raise SearchError("a budget search has one objective, the score; give pareto= to hold it against a cost.")
        return dict(self.space())

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What to ask next. Raises: SearchError where every network was asked."""
        others = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        history = self._history(study, others)
        running = TrialState.RUNNING
        waiting = [e.number for e in others if e.state == running and not e.params and e.number < trial.number]
        row = None
        for number in [*waiting, trial.number]:
            row = self._row(history, number)
            if row is not None:
                running_now = np.vstack((history.running, self.proposals.octaves[row]))
                history = History(history.octaves, history.scores, running_now)
        if row is None:
            raise SearchError(f"all {len(self.proposals)} networks were asked; there is nothing left to try.")
        return dict(zip(NAMES, self.proposals.multipliers[row].tolist(), strict=True))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Parameters of the user's own: at random."""
        return self._others.sample_independent(study, trial, param_name, param_distribution)

    def _row(self, history: History, number: int) -> int | None:
        within = None if self.pareto is None else affordable(self.proposals, self.pareto, number, self.seed)
        return choose(self.proposals, history, self.first, within)

    def _history(self, study: Study, trials: list[FrozenTrial]) -> History:
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1.0
        octaves, scores, running = [], [], []
        for each in trials:
            place = self._octaves(each.params)
            if place is None:
                continue
            if each.state == TrialState.COMPLETE and each.value is not None:
                octaves.append(place)
                scores.append(sign * each.value)
            elif each.state == TrialState.FAIL and taken(each):
                octaves.append(place)
                scores.append(np.nan)
            elif each.state == TrialState.RUNNING:
                running.append(place)
        return History(np.reshape(octaves, (-1, 3)), np.array(scores, dtype=float), np.reshape(running, (-1, 3)))

    def _octaves(self, params: Mapping[str, Any]) -> np.ndarray | None:
        """Where a trial is; None where it has no place."""
        if any(name not in params for name in NAMES):
            return None
        multipliers = Multipliers(*[params[name] for name in NAMES])
        row = self._rows.get(tuple(multipliers))
        if row is not None:
            return self.proposals.octaves[row]
        candidate = self.proposals.limited.at(multipliers)
        return None if candidate is None else np.array(self.proposals.limited.octaves(candidate))


def taken(trial: FrozenTrial) -> bool:
    """Whether a trial's network is answered, or will be."""
    return trial.state in (TrialState.COMPLETE, TrialState.RUNNING) or FAILURE in trial.user_attrs
