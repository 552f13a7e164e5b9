"""What else could be asked: each peer scores as many networks as we do, and its best score is its answer.

A network over the budget is never trained, so it costs a peer nothing but its turn: it may ask TURNS times.
"""

import math

import numpy as np

from tests.search.budget.synthetic import multipliers
from triscale.errors import SpecError
from triscale.spec.limits import counted

TURNS = 200


def by_random(proposals, score, trials, dice):
    """Random networks of the same feasible set."""
    rows = np.random.default_rng(dice).choice(len(proposals), trials, replace=False)
    asked = [proposals.candidate(int(row)) for row in rows]
    return max(asked, key=lambda each: score(each, 0, 1)), 0


def by_optuna(sampler, proposals, score, trials, over, turns=TURNS):
    """A sampler of Optuna in the same box, in octaves. over: what it is told of a share above 1; None prunes the trial.

    Returns: (the candidate of the best score, how many trials were over the budget).
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    lows, highs = proposals.multipliers.min(axis=0).tolist(), proposals.multipliers.max(axis=0).tolist()
    best, scored, outside = (-math.inf, None), 0, 0
    for _ in range(turns):
        trial = study.ask()
        names = ("depth", "width", "resolution")
        values = [trial.suggest_float(n, lo, hi, log=True) for n, lo, hi in zip(names, lows, highs, strict=True)]
        try:
            candidate = proposals.limited.baseline.at(multipliers(dict(zip(names, values, strict=True))))
            share = max(proposals.limited.budget.used(counted(candidate.network)).values())
        except SpecError:
            share = math.inf
        if share <= 1:
            found, scored = score(candidate, 0, 1), scored + 1
            best = max(best, (found, scored, candidate), key=lambda each: each[0])
            study.tell(trial, found)
        elif over is None:
            outside += 1
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            outside += 1
            study.tell(trial, over(share))
        if scored == trials:
            break
    return best[-1], outside


def penalised(share):
    """A score that no feasible network has, lower the more is used."""
    return 0.5 - 0.1 * math.log2(min(share, 1e6))
