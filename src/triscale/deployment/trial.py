"""What a network would cost on this device once it ships: export it untrained, time it, weigh it, remember it.

Neither latency nor size depends on what the weights are, so a budget can be held against networks that nobody trained.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from triscale.cache import cache_folder, key_of, remember
from triscale.deployment.engine import Engine, available_cores, load_engine
from triscale.deployment.export import SUFFIXES, ExportEngine, export
from triscale.deployment.latency import Latency, device_name, measure_engine, measure_fresh, median_ms, random_image
from triscale.deployment.untrained import untrained
from triscale.deployment.versions import LIBRARIES, version_of
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.files import detector_to_dict, network_to_dict
from triscale.spec.network import Network

GLANCE = 5  # runs that tell whether a network is anywhere near a limit
FAR_ABOVE, FAR_BELOW = 1.5, 0.4  # of the limit; between them all runs are made
GRAPH = 2_500  # bytes of graph for each block, by which a file is larger than its weights
ROOM = 4096  # bytes for what is not known yet: origin, metrics, a longer name


@dataclass(frozen=True, slots=True)
class Trial:
    """How an untrained export of a network did.

    latency: None where only its size was asked for. size_bytes: of all files that ship, with room for the model card.
    exact: False when a glance was enough, because the network is far from the limit.
    """

    size_bytes: int
    latency: Latency | None = None
    exact: bool = True


def measures(
    engine: ExportEngine,
    latency_limit: float | None = None,
    classes: tuple[str, ...] = (),
    threads: int | None = None,
    cache: Path | None = None,
) -> dict[str, Callable[[Network | Detector], float]]:
    """The two measures that `budget.solve` takes from this folder: latency in seconds, size in bytes.

    engine: for which the file will be exported. latency_limit: in seconds; networks far from it are only glanced at.
    classes: names that the file will hold. threads, cache: as for `try_out`.
    """
    limit_ms = None if latency_limit is None else 1e3 * latency_limit

    def latency(network: Network | Detector) -> float:
        found = try_out(network, engine, limit_ms=limit_ms, threads=threads, cache=cache).latency
        assert found is not None
        return found.upper_quartile_ms / 1e3

    def size(network: Network | Detector) -> float:
        names = sum(len(json.dumps(name)) + 1 for name in classes)
        # OpenVINO's file is XML, where every quote of the JSON takes six bytes.
        return try_out(network, engine, timed=False, cache=cache).size_bytes + names + 12 * len(classes)

    return {"latency": latency, "size": size}


def measure_untrained(network: Network, engine: ExportEngine, threads: int | None = None) -> Latency:
    """Time an export of `network` with random weights in a process of its own, as `measure_fresh` does.

    Raises: MissingExtraError without the engine's library; SpecError for a network without a classifier.
    """
    with tempfile.TemporaryDirectory(prefix="triscale-") as folder:
        path = export(untrained(network), Path(folder) / f"network{SUFFIXES[engine]}", engine).path
        return measure_fresh(path, threads)


def file_bytes(network: Network) -> float:
    """About what an exported file weighs, by arithmetic: its weights, with room for the graph around them."""
    return 4 * cost(network).params + ROOM + GRAPH * (sum(len(each.blocks) for each in network.stages) + 2)


def try_out(
    network: Network | Detector,
    engine: ExportEngine,
    *,
    timed: bool = True,
    limit_ms: float | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> Trial:
    """Export `network` with random weights to a temporary folder, weigh the file, and time it at batch 1 in fp32.

    A detector is exported as it ships, with suppression. Nearly all its fresh answers are candidates, the most that
    suppression ever has to do.
    timed: False only weighs it. limit_ms: a network far from it is timed by a glance, and the outcome not remembered.
    threads: of one inference; None takes every core. cache: folder of earlier outcomes on this device, with these
        versions; by default `cache_folder()`.
    Raises: MissingExtraError without the engine's library.
    """
    threads, cache = threads or available_cores(), cache or cache_folder()
    with tempfile.TemporaryDirectory(prefix="triscale-") as folder:
        place = cache / f"{_key(network, engine, threads)}.json"
        known = _remembered(place)
        if known is not None and (known.latency is not None or not timed):
            return known
        path = Path(folder) / f"network{SUFFIXES[engine]}"
        form = "in" if isinstance(network, Detector) else None
        size = export(untrained(network), path, engine, suppression=form).size_bytes + ROOM
        trial = Trial(size)
        if timed:
            trial = _timed(load_engine(path, threads), size, limit_ms)
        if trial.exact:
            remember(place, asdict(trial))
        return trial


def _timed(engine: Engine, size: int, limit_ms: float | None) -> Trial:
    if limit_ms is not None:
        image = random_image(engine)
        # The fastest of a few runs: what else the machine does at that moment only makes runs slower.
        glance = min(median_ms(lambda: engine.run(image), runs=1, warm_up=1) for _ in range(GLANCE))
        if not FAR_BELOW * limit_ms < glance < FAR_ABOVE * limit_ms:
            ran = (engine.name, engine.version, engine.precision, engine.threads, device_name())
            return Trial(size, Latency((glance,), GLANCE, *ran), exact=False)
    return Trial(size, measure_engine(engine))


def _key(network: Network | Detector, engine: str, threads: int) -> str:
    """Everything that the outcome depends on, as a file name. Networks that differ only in name are equal."""
    described = detector_to_dict(network) if isinstance(network, Detector) else network_to_dict(network)
    described = {**described, "name": ""}
    library = version_of(LIBRARIES[engine])
    return key_of([described, engine, library, threads, device_name(), version_of("triscale")])


def _remembered(place: Path) -> Trial | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=Trial)
    except (OSError, msgspec.MsgspecError):  # not there, or not whole: measured again
        return None
