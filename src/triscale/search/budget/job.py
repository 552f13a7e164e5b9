"""`search budget`: the best network inside hard limits, and what it is held against. Killed and resumed at will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from triscale.data.dataset import Dataset
from triscale.data.find import location
from triscale.search.asking import Asker
from triscale.search.budget.limited import Limited
from triscale.search.budget.proposals import Mode, Proposals
from triscale.search.budget.result import BudgetResult, Scored, conclude
from triscale.search.budget.search import Measures, Plan, proposals_of, search_budget
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.honesty import BASELINE, RULE, Honesty, compare_honestly, drawn_at_random, headline
from triscale.search.preset import Preset
from triscale.search.proxy import TrainingScore
from triscale.search.result import honesty_table
from triscale.search.spread import Alone, Spread, Together, worker
from triscale.search.winner import keep_winner
from triscale.search.work import asks_in, bar, file_name, minutes, write_candidate
from triscale.spec.limits import MEASURED, Budget
from triscale.training.device import DeviceName
from triscale.training.progress import Progress, SilentProgress
from triscale.training.run import RunFolder

DRAWN_SEED = 1  # of the random search: another one than that of the proposals


@dataclass(frozen=True, slots=True)
class BudgetJob:
    """What was asked for.

    data: image folder, CSV, or shards. baseline: a network or a module. budget: hard limits.
    engine: of the file that latency and size are measured on.
    mode: see `Plan`. pareto: a budget word, against which the score is sought; None seeks the best score alone.
    seed: of the split and of the proposals; trainings have the seeds 0, 1, ...
    """

    data: str | Path
    baseline: Baseline
    budget: Budget
    preset: Preset
    mode: Mode = "dwr"
    pareto: str | None = None
    seed: int = 0
    skip_broken: bool = False
    engine: Literal["onnx", "openvino"] = "onnx"

    @property
    def plan(self) -> Plan:
        """How to search: trainings as long as the preset's last rung, one seed each."""
        return Plan(
            trials=self.preset.trials,
            steps=self.preset.rungs[-1].steps,
            mode=self.mode,
            seed=self.seed,
            pareto=self.pareto,
        )

    def arguments(self) -> dict[str, Any]:
        """All that decides the result, as the run's record keeps it."""
        return {
            "data": location(self.data),
            "baseline": self.baseline.described(),
            "budget": str(self.budget),
            "preset": asdict(self.preset) | {"recipe": self.preset.recipe.to_table()},
            "mode": self.mode,
            "pareto": self.pareto or "",
            "seed": self.seed,
            "skip_broken": self.skip_broken,
            **({"engine": self.engine} if any(word in MEASURED for word in self.budget.limits) else {}),
        }


@dataclass(frozen=True, slots=True)
class BudgetFound:
    """What came of it. honesty: None while it was not asked for. trainings, seconds: of everything in the ledgers."""

    result: BudgetResult
    budget: Budget
    honesty: Honesty | None
    trainings: int
    seconds: float

    def headline(self) -> str:
        """What a person must read first."""
        return headline(self.honesty)

    def sentence(self) -> str:
        """The winner."""
        won = self.result.winner
        used = ", ".join(f"{word} {share:.1%}" for word, share in won.used.items())
        return (
            f"{won.candidate.multipliers}: {won.score or 0:.2%} on validation images, {won.mean:.2%} expected without "
            f"noise; of the budget it uses {used}"
        )


Reporter = Callable[[BudgetFound, RunFolder, Dataset], None]


def run_budget(
    job: BudgetJob,
    run: RunFolder,
    dataset: Dataset,
    report: Reporter,
    measures: Measures | None = None,
    compared: bool = True,
    progress: Progress | None = None,
    spread: Spread | None = None,
    device: DeviceName = "auto",
) -> BudgetFound:
    """Do the whole search in a run folder that is held; what its ledgers hold is not trained again.

    report: writes the page; called last. measures: what stands behind limits on latency and size.
    compared: also train what the result is held against; otherwise it is headed "not compared yet".
    spread: who trains; this process alone by default. device: where.
    Raises: BudgetError where nothing is inside; SearchError where ten trainings in a row fail.
    """
    progress, preset, plan, measures = progress or SilentProgress(), job.preset, job.plan, measures or Measures()
    proposals = proposals_of(Limited(job.baseline, job.budget, measures.predictions), plan)
    progress.say(f"{len(proposals):,} networks inside the limits, of {proposals.costed:,} that were costed")
    score = TrainingScore(job.baseline, dataset, preset.recipe, each_step=progress.advance, device=device)
    spread = spread or Alone()
    asks = asks_in(run.path, _subject(job, dataset), score, compared, spread, progress)
    searched = plan.trials * plan.steps
    if sum(each.steps for each in asks.val.ledger.entries()) < searched:
        usual = proposals.candidate(proposals.anchors.get("compound", 0))
        progress.say(minutes(score, usual, [(plan.trials, plan.steps), (1, plan.steps)]))
    with bar(progress, f"{plan.trials} networks inside {job.budget}", searched, asks.val.ledger):
        if isinstance(spread, Together):
            result = _search_together(proposals, plan, Asker(score, asks.val.ledger, worker()), spread, progress)
        else:
            result = search_budget(job.baseline, job.budget, asks.val, plan, measures)
    winner = result.winner.candidate
    write_candidate(winner, run.path / file_name(winner), job.baseline)
    honesty = None
    if compared:
        rivals, rows = _rivals(job, proposals), drawn_at_random(len(proposals), plan.steps, searched, DRAWN_SEED)
        drawn = [proposals.candidate(row) for row in rows]
        finals = (len(rivals) + 2) * preset.final_seeds * plan.steps
        with bar(progress, "held against others", finals + len(drawn) * plan.steps):
            seeds = preset.final_seeds
            honesty = compare_honestly(winner, rivals, drawn, asks.val, asks.test, plan.steps, seeds, searched)
    found = BudgetFound(result, job.budget, honesty, asks.entries, asks.seconds)
    progress.say(found.headline())
    run.write_json("search.json", told(found))
    run.write_json("metrics.json", {"headline": found.headline(), **_row(result.winner)})
    shipped = keep_winner(score, winner, plan.steps, run.path, spread, progress)
    report(found, run, dataset)
    run.update(state="done", shipped=shipped)
    return found


def _search_together(
    proposals: Proposals, plan: Plan, ask: Asker, spread: Together, progress: Progress
) -> BudgetResult:
    """The search with others, who draw from the same sampler of Optuna."""
    from triscale.search.budget.sampler import BudgetSampler
    from triscale.search.budget.worker import work

    sampler = BudgetSampler(proposals, plan.first, plan.pareto, plan.seed)
    study = spread.open("search", ask.ledger.subject | {"plan": str(plan)}, progress, sampler)
    asked = work(study, sampler, ask, plan, lambda entry: progress.advance(entry.steps))
    return conclude(proposals, asked, plan.pareto)


def told(found: BudgetFound) -> dict[str, Any]:
    """The result as plain values."""
    result = found.result
    return {
        "budget": str(found.budget),
        "headline": found.headline(),
        "sentence": found.sentence(),
        "mode": result.mode,
        "noise": result.noise,
        "winner": _row(result.winner),
        "trials": [_row(each) for each in result.scored],
        "front": [_row(each) for each in result.front],
        "honesty": None if found.honesty is None else honesty_table(found.honesty),
        "trainings": found.trainings,
        "seconds": found.seconds,
    }


def _rivals(job: BudgetJob, proposals: Proposals) -> dict[str, Candidate]:
    """What fills the limits along one direction; and the baseline, where it is inside."""
    found = {}
    for name in ("depth", "width", "resolution", "compound"):
        if name in proposals.anchors:
            way = RULE if name == "compound" else f"{name} only"
            found[way] = proposals.candidate(proposals.anchors[name])
    own = job.baseline.at(Multipliers())
    return found | ({BASELINE: own} if proposals.limited.spent(own).share <= 1 else {})


def _subject(job: BudgetJob, dataset: Dataset) -> dict[str, str]:
    return {
        "search": "budget",
        "baseline": job.baseline.at(Multipliers()).key,
        "budget": str(job.budget),
        "data": dataset.fingerprint,
        "recipe": str(job.preset.recipe.to_table()),
    }


def _row(scored: Scored) -> dict[str, Any]:
    candidate = scored.candidate
    return {
        "name": candidate.name,
        **candidate.multipliers._asdict(),
        "params": candidate.params,
        "macs": candidate.macs,
        "size": list(candidate.size),
        "score": scored.score,
        "expected": scored.mean,
        "deviation": scored.deviation,
        "used": dict(scored.used),
    }
