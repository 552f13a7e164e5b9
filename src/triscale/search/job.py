"""`search coefficients`: STEP 1, STEP 2 and what they are held against. Any step can be killed and resumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from triscale.data.dataset import Dataset
from triscale.data.find import location
from triscale.search.candidate import Baseline, Candidate, Multipliers
from triscale.search.coefficients import CoefficientSearch, family, search_coefficients
from triscale.search.comparison import Comparison, compare_ways
from triscale.search.grid import Constraint, Proposal, coefficient_grid
from triscale.search.halving import trainings
from triscale.search.honesty import Honesty, compare_honestly, drawn_at_random, published_rivals
from triscale.search.preset import Preset
from triscale.search.proxy import TrainingScore
from triscale.search.result import CoefficientResult, figures, told
from triscale.search.spread import Alone, Spread
from triscale.search.winner import keep_winner
from triscale.search.work import Asks, asks_in, bar, file_name, minutes, write_candidate
from triscale.training.device import DeviceName
from triscale.training.progress import Progress, SilentProgress
from triscale.training.run import RunFolder


@dataclass(frozen=True, slots=True)
class CoefficientJob:
    """What was asked for.

    data: image folder, CSV, or shards. baseline: a network or a module, at the size that it is searched at.
    constraint: see `coefficient_grid`.
    seed: of the split and of what is drawn at random; trainings have the seeds 0, 1, ...
    """

    data: str | Path
    baseline: Baseline
    preset: Preset
    constraint: Constraint = "counted"
    seed: int = 0
    skip_broken: bool = False

    def arguments(self) -> dict[str, Any]:
        """All that decides the result, as the run's record keeps it."""
        return {
            "data": location(self.data),
            "baseline": self.baseline.described(),
            "preset": asdict(self.preset) | {"recipe": self.preset.recipe.to_table()},
            "constraint": self.constraint,
            "seed": self.seed,
            "skip_broken": self.skip_broken,
        }


Reporter = Callable[[CoefficientResult, RunFolder, Dataset], None]


def run_coefficients(
    job: CoefficientJob,
    run: RunFolder,
    dataset: Dataset,
    report: Reporter,
    compared: bool = True,
    progress: Progress | None = None,
    spread: Spread | None = None,
    device: DeviceName = "auto",
) -> CoefficientResult:
    """Do the whole search in a run folder that is held; what its ledgers hold is not trained again.

    compared: also train what the result is held against; otherwise it is headed "not compared yet".
    report: writes the page; called last. spread: who trains; this process alone by default. device: where.
    Raises: SearchError where no network is inside the constraint, or ten trainings in a row fail.
    """
    progress, preset, baseline = progress or SilentProgress(), job.preset, job.baseline
    spread = spread or Alone()
    progress.say(f"looking for networks that cost twice as much as {baseline.name}")
    proposals = coefficient_grid(baseline, job.constraint, most=preset.most)
    score = TrainingScore(baseline, dataset, preset.recipe, each_step=progress.advance, device=device)
    asks = asks_in(run.path, _subject(job, dataset), score, compared, spread, progress)
    steps, inside = _steps(proposals, preset), [each.candidate for each in proposals if each.inside]
    if sum(each.steps for each in asks.val.ledger.entries()) < steps:
        rounds = [*trainings(len(inside), preset.rungs), (1, preset.rungs[-1].steps)]
        progress.say(minutes(score, _middle(inside), rounds))
    with bar(progress, f"STEP 1: {len(proposals)} networks", steps, asks.val.ledger):
        step1 = search_coefficients(proposals, asks.val, preset.rungs)
    progress.say(step1.sentence())
    made = tuple(family(baseline, step1.coefficients, preset.largest))
    _write_family(run.path, made, baseline)
    honesty, curves = _compared(job, proposals, step1, asks, progress) if compared else (None, None)
    result = CoefficientResult(
        base=baseline.at(Multipliers()),
        proposals=tuple(proposals),
        step1=step1,
        family=made,
        curves=curves,
        honesty=honesty,
        trainings=asks.entries,
        seconds=asks.seconds,
    )
    run.write_json("coefficients.json", told(result))
    run.write_json("metrics.json", {"headline": result.headline(), **figures(result)})
    shipped = keep_winner(score, made[0], preset.rungs[-1].steps, run.path, spread, progress)
    report(result, run, dataset)
    run.update(state="done", shipped=shipped)
    return result


def _compared(
    job: CoefficientJob, proposals: Sequence[Proposal], step1: CoefficientSearch, asks: Asks, progress: Progress
) -> tuple[Honesty, Comparison]:
    """What the result is held against, and the curves of scaling."""
    preset, searched = job.preset, _steps(proposals, job.preset)
    last = preset.rungs[-1].steps
    finals = 7 * preset.final_seeds * last
    on_curves = (4 * len(preset.growths) + 1) * preset.curve_seeds * last
    with bar(progress, "held against others", finals + searched // last * last + on_curves):
        winner = step1.winner.proposal.candidate
        rivals = published_rivals(job.baseline, winner.macs)
        inside = [each.candidate for each in proposals if each.inside]
        drawn = [inside[number] for number in drawn_at_random(len(inside), last, searched, job.seed)]
        honesty = compare_honestly(winner, rivals, drawn, asks.val, asks.test, last, preset.final_seeds, searched)
        curves = compare_ways(job.baseline, step1.coefficients, preset.growths, asks.val, last, preset.curve_seeds)
    progress.say(honesty.headline())
    return honesty, curves


def _middle(candidates: Sequence[Candidate]) -> Candidate:
    """One of middling cost."""
    return sorted(candidates, key=lambda each: each.macs)[len(candidates) // 2]


def _steps(proposals: Sequence[Proposal], preset: Preset) -> int:
    """Training steps of STEP 1."""
    inside = sum(each.inside for each in proposals)
    first = preset.rungs[0]
    return preset.steps(inside) + (len(proposals) - inside) * first.steps * first.seeds


def _subject(job: CoefficientJob, dataset: Dataset) -> dict[str, str]:
    return {
        "search": "coefficients",
        "baseline": job.baseline.at(Multipliers()).key,
        "data": dataset.fingerprint,
        "recipe": str(job.preset.recipe.to_table()),
    }


def _write_family(folder: Path, made: Sequence[Candidate], baseline: Baseline) -> None:
    """Write family/phi-1.json, ..., and phi 1, which STEP 1 has trained, beside it.

    Of a module they say how its factory is scaled, which is all that there is to say.
    """
    for phi, each in enumerate(made, start=1):
        write_candidate(each, folder / "family" / f"phi-{phi}.json", baseline)
    write_candidate(made[0], folder / file_name(made[0]), baseline)
