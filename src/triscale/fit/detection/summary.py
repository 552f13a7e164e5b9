"""A fitted detector as the plain values that the report shows, and as the lines that a person reads in the terminal."""

from __future__ import annotations

import collections

from triscale.deployment.verify_detector import DetectorVerification
from triscale.fit.detection.choose import DetectorCandidate
from triscale.fit.detection.job import BoxFitResult
from triscale.fit.job import Job
from triscale.fit.shipped import Shipped
from triscale.fit.summary import budget_lines, curve_of
from triscale.report import model as page
from triscale.report.detection_summary import detection_summary
from triscale.report.detector_fit import DetectorFile, DetectorReport
from triscale.spec.cost import cost
from triscale.spec.limits import Budget
from triscale.training.config import to_table
from triscale.training.run import RunFolder


def box_fit_report(result: BoxFitResult, job: Job, run: RunFolder, command: str) -> DetectorReport:
    """Everything that `report.html` shows."""
    trained, chosen, dataset = result.trained, result.choice.chosen, result.dataset
    size = trained.model.preprocessing.size
    own = cost(trained.model.detector, size)
    return DetectorReport(
        title=run.path.name,
        folder=str(run.path),
        command=command,
        budget=str(job.budget),
        limits=tuple(page.LimitResult(o.word, o.limit, o.value, o.how, o.met) for o in result.limits),
        detector=trained.model.detector,
        size=size,
        weights=_weights(result),
        choice=f"{chosen.detector.name}: {chosen.scaled}. {chosen.reason[:1].upper()}{chosen.reason[1:]}.",
        candidates=tuple(_candidate(c, c is chosen, job.budget) for c in (chosen, *result.choice.rejected)),
        data_path=str(dataset.root),
        images=(len(dataset.train), len(dataset.val), len(dataset.test)),
        objects=_objects(result),
        data_notes=dataset.notes,
        skipped=tuple(str(path) for path in dataset.skipped),
        curve=curve_of(run.path),
        evaluation=detection_summary(result.answers.evaluation, result.answers.found, result.samples, result.split),
        exports=tuple(_exported(each, each is result.shipped[0]) for each in result.shipped),
        recipe=_recipe(result),
        environment=tuple((str(k), str(v)) for k, v in run.record.environment.items()),
        seconds=trained.seconds,
        notes=(
            *result.choice.notes,
            *trained.plan.notes,
            f"it costs {own.macs:,} MACs and has {own.params:,} parameters",
        ),
        missing=result.missing,
    )


def box_lines(result: BoxFitResult) -> list[str]:
    """What came of it, for a terminal."""
    chosen = result.choice.chosen
    said = [f"detector  {chosen.detector.name}: {chosen.scaled}", f"          {chosen.reason}"]
    said += [f"          {note}" for note in result.choice.notes]
    for other in result.choice.rejected[:2]:
        said.append(f"instead of {other.detector.name} ({other.scaled}): {other.reason}")
    split = "test" if result.dataset.test else "validation"
    said.append(f"accuracy  {result.answers.evaluation.sentence(split)}")
    for each in result.shipped:
        time, size = f"{each.latency.median_ms:.2f} ms", f"{each.export.size_bytes / 1e6:.1f} MB"
        said.append(f"export    {each.export.path}: {each.verification.said()}, {time}, {size}")
    return [*said, *budget_lines(result.limits, result.missing, result.folder)]


def _weights(result: BoxFitResult) -> str:
    chosen, card = result.choice.chosen, result.trained.model.card
    if chosen.weights is None:
        return "fresh weights: no trained backbone fits this detector"
    return f"published ImageNet weights of {chosen.weights} in its backbone ({card.origin}, {card.licence})"


def _candidate(candidate: DetectorCandidate, chosen: bool, budget: Budget) -> page.Candidate:
    costs = {w: v for w, v in candidate.values.items() if w in budget.limits or w in ("macs", "params")}
    return page.Candidate(candidate.detector.name, candidate.scaled, costs, None, chosen, candidate.reason)


def _objects(result: BoxFitResult) -> dict[str, tuple[int, int, int]]:
    """Class name -> objects in train, val and test; crowds are none."""
    dataset = result.dataset
    splits = (dataset.train, dataset.val, dataset.test)
    train, val, test = (
        collections.Counter(box.label for sample in split for box in sample.boxes if not box.crowd) for split in splits
    )
    return {name: (train[label], val[label], test[label]) for label, name in enumerate(dataset.classes)}


def _exported(each: Shipped[DetectorVerification], ships: bool) -> DetectorFile:
    return DetectorFile(
        f"exports/{each.export.path.name}",
        f"{each.latency.engine} {each.latency.version}",
        each.export.precision,
        each.export.size_bytes,
        each.latency.median_ms / 1e3,
        each.verification.said(),
        each.verification.ok,
        ships,
    )


def _recipe(result: BoxFitResult) -> tuple[tuple[str, str], ...]:
    rows = _flat("", to_table(result.recipe))
    trained = result.trained
    return (*rows, ("best weights", f"{trained.source}, epoch {trained.best_epoch} of {trained.epochs}"))


def _flat(above: str, table: dict[str, object]) -> list[tuple[str, str]]:
    """A recipe's table as rows; what belongs to labels alone is left out."""
    rows: list[tuple[str, str]] = []
    for name, value in table.items():
        if isinstance(value, dict):
            rows += [] if name == "augmentation" and not above else _flat(f"{above}{name}: ", value)
        else:
            rows.append((f"{above}{name}", str(value)))
    return rows
