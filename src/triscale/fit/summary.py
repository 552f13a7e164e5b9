"""A finished job as the plain values that the report shows, and as the lines that a person reads in the terminal."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from triscale.data.dataset import Dataset, Sample
from triscale.deployment.verify import Verification
from triscale.fit.candidate import Candidate
from triscale.fit.job import FitResult, Job
from triscale.fit.shipped import Limit, Shipped
from triscale.report import model as page
from triscale.report.evaluated import evaluation_summary
from triscale.spec.cost import cost
from triscale.spec.limits import Budget, quantity
from triscale.training.config import to_table
from triscale.training.evaluate import AnyEvaluation, Evaluation
from triscale.training.evaluate_several import THRESHOLD, LabelsEvaluation
from triscale.training.run import RunFolder, read_log

EXAMPLES = 12  # best and worst images shown


def fit_report(result: FitResult, job: Job, run: RunFolder, command: str) -> page.FitReport:
    """Everything that `report.html` shows."""
    trained, chosen = result.trained, result.choice.chosen
    own = cost(trained.model.network, trained.model.preprocessing.size)
    shown = trained.evaluation
    assert isinstance(shown, Evaluation | LabelsEvaluation)  # `fit` trains networks
    best, worst = _examples(result.dataset, shown, trained.test is not None)
    return page.FitReport(
        title=run.path.name,
        folder=str(run.path),
        command=command,
        budget=str(job.budget),
        limits=tuple(page.LimitResult(o.word, o.limit, o.value, o.how, o.met) for o in result.limits),
        network=trained.model.network,
        preprocessing=trained.model.preprocessing,
        weights=_weights(result),
        choice=f"{chosen.network.name}: {chosen.scaled}. {chosen.reason[:1].upper()}{chosen.reason[1:]}.",
        candidates=tuple(_candidate(c, c is chosen, job.budget) for c in (chosen, *result.choice.rejected)),
        data=_data(result.dataset),
        curve=curve_of(run.path),
        evaluation=evaluation_summary(
            result.dataset.classes,
            shown,
            "test" if trained.test is not None else "val",
            trained.calibration,
        ),
        best=best,
        worst=worst,
        exports=tuple(_exported(each, each is result.shipped[0]) for each in result.shipped),
        recipe=_recipe(result),
        environment=tuple((str(k), str(v)) for k, v in run.record.environment.items()),
        seconds=trained.seconds,
        score_name="ImageNet top-1 as published, at the published size",
        candidates_note=f"Costs are for {len(result.dataset.classes)} classes. A network was measured only where the "
        f"limits that need no measurement hold.",
        notes=(
            *result.choice.notes,
            *trained.plan.notes,
            f"it costs {own.macs:,} MACs and has {own.params:,} parameters",
        ),
        missing=result.missing,
    )


def _weights(result: FitResult) -> str:
    """What the network started from."""
    chosen, card = result.choice.chosen, result.trained.model.card
    if chosen.weights is None:
        return "fresh weights: nothing published fits this network"
    published = f"published ImageNet weights of {chosen.weights} ({card.origin}, {card.licence})"
    return f"grown from {chosen.weights}, then trained; {published}" if chosen.grown else published


def lines(result: FitResult) -> list[str]:
    """What came of it, for a terminal."""
    chosen, trained = result.choice.chosen, result.trained
    split = "test" if trained.test is not None else "validation"
    said = [f"network   {chosen.network.name}: {chosen.scaled}", f"          {chosen.reason}"]
    for other in result.choice.rejected[:2]:
        said.append(f"instead of {other.network.name} ({other.scaled}): {other.reason}")
    shown = trained.evaluation
    said.append(f"accuracy  {shown.sentence(split)}")
    for each in result.shipped:
        check = each.verification
        said.append(
            f"export    {each.export.path}: largest difference {check.max_error:.1e}, same first class on "
            f"{check.top1_agreement:.0%} of {check.images} images, {each.latency.median_ms:.2f} ms, "
            f"{each.export.size_bytes / 1e6:.1f} MB"
        )
    return [*said, *budget_lines(result.limits, result.missing, result.folder)]


def budget_lines(limits: Sequence[Limit], missing: Sequence[str], folder: Path) -> list[str]:
    """How a job ends: each limit, what was left out, and where the report is."""
    said = []
    for limit in limits:
        state = "met" if limit.met else "NOT MET"
        value, most = quantity(limit.word, limit.value), quantity(limit.word, limit.limit)
        said.append(f"budget    {limit.word} {value} of {most}: {state} ({limit.how})")
    said += [f"missing   {each}" for each in missing]
    return [*said, f"report    {folder / 'report.html'}"]


def _candidate(candidate: Candidate, chosen: bool, budget: Budget) -> page.Candidate:
    """With the costs that the budget limits, and the two that everybody asks for."""
    costs = {w: v for w, v in candidate.values.items() if w in budget.limits or w in ("macs", "params")}
    return page.Candidate(candidate.network.name, candidate.scaled, costs, candidate.top1, chosen, candidate.reason)


def _data(dataset: Dataset) -> page.DataSummary:
    splits = (dataset.train, dataset.val, dataset.test)
    counts = [collections.Counter(n for s in split for n in s.labels or (s.label,)) for split in splits]
    classes = tuple(
        page.ClassCount(name, *(count[label] for count in counts)) for label, name in enumerate(dataset.classes)
    )
    return page.DataSummary(
        str(dataset.root),
        classes,
        notes=dataset.notes,
        skipped=tuple(str(path) for path in dataset.skipped),
    )


def curve_of(folder: Path) -> tuple[page.EpochPoint, ...]:
    """The evaluations while training, as the log has them."""
    points = []
    for line in read_log(folder):
        if line.get("event") == "epoch":
            raw, ema = line.get("raw") or {}, line.get("ema") or {}
            points.append(
                page.EpochPoint(
                    line["epoch"],
                    line["train"]["loss"],
                    raw.get("loss"),
                    raw.get("map", raw.get("top1")),
                    ema.get("map", ema.get("top1")),
                    line.get("learning_rate"),
                )
            )
    return tuple(points)


def _examples(
    dataset: Dataset, shown: AnyEvaluation, is_test: bool
) -> tuple[tuple[page.Example, ...], tuple[page.Example, ...]]:
    """The surest right answers, and those whose own class (or labels) got the least."""
    samples = dataset.test if is_test else dataset.val
    order = shown.ranked()
    if isinstance(shown, LabelsEvaluation):
        exact = ((shown.probabilities >= THRESHOLD) == (shown.labels > 0)).all(1)
        right = [row for row in order[::-1] if exact[row]]
        best, worst = ([_labelled(dataset, samples, shown, row) for row in rows[:EXAMPLES]] for rows in (right, order))
        return tuple(best), tuple(worst)
    right = [row for row in order[::-1] if int(shown.probabilities[row].argmax()) == int(shown.labels[row])]
    best = [_example(dataset, samples, shown, int(row)) for row in right[:EXAMPLES]]
    worst = [_example(dataset, samples, shown, int(row)) for row in order[:EXAMPLES]]
    return tuple(best), tuple(worst)


def _example(dataset: Dataset, samples: tuple[Sample, ...], shown: Evaluation, row: int) -> page.Example:
    scores: np.ndarray = shown.probabilities[row]
    answer, truth = int(scores.argmax()), int(shown.labels[row])
    path = samples[int(shown.indices[row])].path
    return page.Example(
        path, dataset.classes[truth], dataset.classes[answer], float(scores[answer]), float(scores[truth])
    )


def _labelled(dataset: Dataset, samples: tuple[Sample, ...], shown: LabelsEvaluation, row: int) -> page.Example:
    """With all its labels; the scores are those of the least likely label of each list."""
    scores = shown.probabilities[row]
    given, true = np.flatnonzero(scores >= THRESHOLD), np.flatnonzero(shown.labels[row] > 0)
    said, was = (", ".join(dataset.classes[i] for i in each) or "nothing" for each in (given, true))
    least = [float(scores[each].min()) if len(each) else float(1 - scores.max()) for each in (given, true)]
    return page.Example(samples[int(shown.indices[row])].path, was, said, *least)


def _exported(each: Shipped[Verification], ships: bool) -> page.ExportedFile:
    check = each.verification
    return page.ExportedFile(
        file=f"exports/{each.export.path.name}",
        engine=f"{each.latency.engine} {each.latency.version}",
        precision=each.export.precision,
        bytes=each.export.size_bytes,
        max_error=check.max_error,
        agreement=check.top1_agreement,
        images=check.images,
        tolerance=check.tolerance,
        verified=check.ok,
        latency=each.latency.median_ms / 1e3,
        ships=ships,
    )


def _recipe(result: FitResult) -> tuple[tuple[str, str], ...]:
    table = to_table(result.recipe)
    rows = [(name, str(value)) for name, value in table.items() if not isinstance(value, dict)]
    rows += [(f"augmentation: {name}", str(value)) for name, value in table.get("augmentation", {}).items()]
    trained = result.trained
    rows.append(("best weights", f"{trained.source}, epoch {trained.best_epoch} of {trained.epochs}"))
    return tuple(rows)
