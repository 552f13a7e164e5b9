"""Limits of a search that must be measured on this device: latency and size of the exported file."""

from __future__ import annotations

from collections.abc import Callable

from triscale.deployment.export import ExportEngine
from triscale.deployment.table import LatencyTable
from triscale.deployment.trial import file_bytes, measures
from triscale.search.budget.limited import Predicted, Prediction
from triscale.search.budget.search import Measures
from triscale.search.candidate import Candidate
from triscale.spec.detector import Detector
from triscale.spec.limits import MEASURED, Budget
from triscale.spec.network import Network
from triscale.training.progress import Progress

UNKNOWN_ERROR = 0.15  # share by which a table's prediction is off, until it was compared with whole networks
NINE_OF_TEN = 1.645  # standard errors
SIZE_ERROR = 0.01  # share by which the arithmetic of a file's bytes is off


def search_measures(budget: Budget, engine: ExportEngine, progress: Progress | None = None) -> Measures:
    """What `search_budget` needs to keep a budget's latency and size on this device.

    Latency is predicted by the table of layers, with its error; a network that is chosen is exported and measured
    before it is trained.
    Returns: nothing for a budget that is counted alone.
    Raises: MissingExtraError without the engine's library.
    """
    words = [word for word in budget.limits if word in MEASURED]
    if not words:
        return Measures()
    real = measures(engine, budget.limits.get("latency"))
    predicted: dict[str, Prediction] = {}
    if "latency" in words:
        predicted["latency"] = _latency(LatencyTable(engine), progress)
    if "size" in words:
        predicted["size"] = _size
    return Measures(predicted, {word: _of_candidate(real[word]) for word in words})


def _latency(table: LatencyTable, progress: Progress | None) -> Prediction:
    def predict(candidate: Candidate) -> Predicted:
        table.prepare(candidate.network, progress)
        found = table.predict(candidate.network)
        share = UNKNOWN_ERROR if found.error is None else found.error / NINE_OF_TEN
        return Predicted(found.ms / 1e3, share * found.ms / 1e3)

    return predict


def _size(candidate: Candidate) -> Predicted:
    value = file_bytes(candidate.network)
    return Predicted(value, SIZE_ERROR * value)


def _of_candidate(measure: Callable[[Network | Detector], float]) -> Callable[[Candidate], float]:
    return lambda candidate: measure(candidate.network)
