"""What a job ends with, whatever it fitted: files that were exported, compared and measured, and the budget again."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from triscale.deployment.export import Export, ExportEngine
from triscale.deployment.latency import Latency
from triscale.deployment.verify import Verification
from triscale.deployment.verify_detector import DetectorVerification
from triscale.errors import MissingExtraError, VerificationError
from triscale.spec.cost import Cost
from triscale.spec.limits import Budget, Measure, quantity
from triscale.spec.subject import Subject
from triscale.training.progress import Progress
from triscale.training.run import RunFolder

ENGINES: dict[ExportEngine, tuple[str, ...]] = {"onnx": ("onnx", "onnxruntime"), "openvino": ("openvino",)}
V = TypeVar("V", Verification, DetectorVerification)


@dataclass(frozen=True, slots=True)
class Shipped(Generic[V]):
    """An exported file with what was found out about it."""

    export: Export
    verification: V
    latency: Latency


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, measured again on what ships. `value` and `limit`: counts, bytes or seconds."""

    word: str
    limit: float
    value: float
    how: str

    @property
    def met(self) -> bool:
        """Hard: at the limit is inside, above it is not."""
        return self.value <= self.limit


def installed_engines(first: ExportEngine) -> tuple[list[ExportEngine], tuple[str, ...]]:
    """The engines that can be exported to here, `first` in front; and a line for each that is missing.

    Raises: MissingExtraError when `first` is not installed.
    """
    order: list[ExportEngine] = [first, *(each for each in ENGINES if each != first)]
    there, missing = [], []
    for engine in order:
        absent = [name for name in ("onnx", *ENGINES[engine]) if importlib.util.find_spec(name) is None]
        extra = "deploy" if engine == "onnx" or "onnx" in absent else "openvino"
        error = MissingExtraError(absent[0], extra, f"Exporting to {engine}") if absent else None
        if error is None:
            there.append(engine)
        elif engine == first:
            raise error
        else:
            missing.append(str(error))
    return there, tuple(missing)


def remeasured(budget: Budget, own: Cost, shipped: Shipped[V]) -> tuple[Limit, ...]:
    """Every limit again: counts of what was trained, its `own` cost; size and latency from the file that ships."""
    counts = {"params": own.params, "macs": own.macs, "activations": own.activations, "memory": own.memory}
    file = shipped.export.path.name
    values = {word: (float(value), "by arithmetic") for word, value in counts.items()}
    values["size"] = (float(shipped.export.size_bytes), f"{file} and all that ships with it")
    values["latency"] = (shipped.latency.upper_quartile_ms / 1e3, f"{file}: {shipped.latency}")
    return tuple(Limit(word, limit, *values[word]) for word, limit in budget.limits.items())


def shipped_metrics(first: Shipped[V], limits: Sequence[Limit]) -> dict[str, object]:
    """What `metrics.json` says of the file that ships."""
    return {
        "latency_ms": first.latency.median_ms,
        "size_bytes": first.export.size_bytes,
        "engine": first.export.engine,
        "precision": first.export.precision,
        "budget_met": all(each.met for each in limits),
    }


def telling_of(word: str, measure: Measure[Subject], progress: Progress) -> Measure[Subject]:
    """A measure that says what it found."""

    def found(network: Subject) -> float:
        value = measure(network)
        progress.say(f"  {network.name} at {min(network.resolution)} px: {word} {quantity(word, value)}")
        return value

    return found


def close(run: RunFolder, shipped: Sequence[Shipped[V]], limits: Sequence[Limit]) -> None:
    """Say that the job is done. Raises: VerificationError where a file differs, or a limit does not hold."""
    for each in shipped:
        each.verification.require()
    over = [each for each in limits if not each.met]
    if over:
        told = ", ".join(f"{o.word} {quantity(o.word, o.value)} of {quantity(o.word, o.limit)} ({o.how})" for o in over)
        raise VerificationError(
            f"{run.path}: measured again, the network is over its budget: {told}; "
            f"the same command measures again, another limit needs another --out."
        )
    run.update(state="done", shipped=f"exports/{shipped[0].export.path.name}")
