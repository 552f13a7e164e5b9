"""The latency table: each distinct layer timed once on this device; a network's latency is their sum.

What was timed is kept by device, engine and versions, one file for each layer, so that work that was stopped goes on
where it stopped. A layer that was never timed is estimated from those of its kind that were. How far sums are from the
truth is known from networks that were timed whole; no prediction is given without it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from triscale.cache import cache_folder, key_of, remember
from triscale.deployment.drift import Moment, Reference, between
from triscale.deployment.engine import available_cores
from triscale.deployment.estimate import Estimator, kind_of
from triscale.deployment.export import ExportEngine
from triscale.deployment.latency import Latency, device_name
from triscale.deployment.layers import Layer, layers_of
from triscale.deployment.versions import LIBRARIES, version_of
from triscale.errors import SpecError, TriscaleError
from triscale.spec.block import Block
from triscale.spec.files import network_from_dict, network_to_dict
from triscale.spec.network import Head, Network, Padding, Size, Stem
from triscale.spec.scaling import compound
from triscale.training.progress import Progress, SilentProgress

FORMAT = 1  # of the files, and of how a layer is timed: a change of either times all layers again
CALIBRATED = 3  # networks timed whole from which sums are corrected by their common error
ANCHORS = (-6.0, -3.0, 0.0, 3.0)  # phi of the networks whose layers are timed so that those between can be estimated
AROUND = 3  # timed layers of each kind from which others of that kind are estimated

Timer = Callable[[Layer], float]
Clock = Callable[[], Moment]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a network should take.

    ms: the sum of its layers, corrected by the common error of the networks timed whole so far.
    sum_ms: the sum alone.
    timed, estimated: how many of its layers (repeated ones too) stand in the table, and how many are estimated.
    error: share by which nine of ten networks timed whole were off; None where there was none yet.
    networks: how many those are.
    """

    ms: float
    sum_ms: float
    timed: int
    estimated: int
    error: float | None
    networks: int

    def __str__(self) -> str:
        if self.error is None:
            return f"{self.ms:.2f} ms (no network was timed whole yet, so its error is not known)"
        told = "1 network" if self.networks == 1 else f"{self.networks} networks"
        return f"{self.ms:.2f} ms ± {self.error:.1%} (error on {told} timed whole)"


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of a layer or of a whole network, with how fast the device was at that moment."""

    ms: float
    moment: Moment


class LatencyTable:
    """Layers timed at batch 1 in fp32 on this device, for one engine and number of threads.

    engine: "onnx" or "openvino". threads: of one inference; None takes every core.
    folder: of all tables; by default in the cache.
    timer, clock: milliseconds of a layer, and how fast the device is now; by default both are timed here.
    """

    def __init__(
        self,
        engine: ExportEngine,
        threads: int | None = None,
        folder: Path | None = None,
        timer: Timer | None = None,
        clock: Clock | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise SpecError(f"threads must be at least 1, got {threads}.")
        self.engine, self.threads = engine, threads or available_cores()
        library = LIBRARIES[engine]
        self.conditions = {
            "engine": library,
            "version": version_of(library),
            "precision": "fp32",
            "threads": self.threads,
            "device": device_name(),
            "triscale": version_of("triscale"),
            "format": FORMAT,
        }
        self.folder = (folder or cache_folder("latency")) / key_of(self.conditions)[:32]
        self.clock = clock or Reference(engine, self.threads)
        self._timer = timer or self._time
        self._fitted: tuple[Estimator, dict[Layer, float]] | None = None
        self._prepared: set[object] = set()
        self.layers: dict[Layer, Timed] = {}
        self.wholes: dict[Network, Timed] = {}
        self._read()

    def missing(self, network: Network) -> list[Layer]:
        """The distinct layers of a network that were not timed yet, in the order in which they run."""
        return [each for each in dict.fromkeys(layers_of(network)) if each not in self.layers]

    def fill(self, networks: Iterable[Network], progress: Progress | None = None) -> int:
        """Time what is missing of some networks; each layer is kept as soon as it is timed.

        Returns: how many layers were timed.
        Raises: MissingExtraError without the engine's library.
        """
        progress = progress or SilentProgress()
        missing = list(dict.fromkeys(layer for network in networks for layer in self.missing(network)))
        if not missing:
            return 0
        progress.start("timing layers", len(missing))
        try:
            before = self.clock()
            for layer in missing:
                ms, after = self._timer(layer), self.clock()
                self._keep(layer, Timed(ms, between(before, after)))
                before = after
                progress.advance(1, str(layer))
        finally:
            progress.finish()
        return len(missing)

    def prepare(self, network: Network, progress: Progress | None = None) -> int:
        """Time layers until those of any network that is scaled from this one can be estimated.

        Returns: how many were timed.
        """
        estimator = self.estimator()
        strange = {kind_of(layer) for layer in layers_of(network) if estimator.alike(layer) < AROUND} - self._prepared
        if not strange:
            return 0
        timed = self.fill((each for phi in ANCHORS if (each := _scaled(network, phi)) is not None), progress)
        self._prepared |= strange  # scaling may give fewer; more of the same would not help
        return timed

    def predict(self, network: Network) -> Prediction:
        """The sum of a network's layers, timed where the table has them and estimated elsewhere.

        Raises: SpecError where a layer is neither timed nor can be estimated; `fill` or `prepare` come first.
        """
        total, estimated = self._sum(network)
        ratios = self._ratios(estimated > 0)
        factor = float(np.median(ratios)) if len(ratios) >= CALIBRATED else 1.0
        error = float(np.quantile([abs(r / factor - 1) for r in ratios], 0.9)) if ratios else None
        layers = len(layers_of(network))
        return Prediction(factor * total, total, layers - estimated, estimated, error, len(ratios))

    def whole(self, network: Network, measure: Callable[[], Latency]) -> tuple[Moment, Latency]:
        """Measure a whole network, and keep it with how fast the device was meanwhile."""
        before = self.clock()
        latency = measure()
        moment = between(before, self.clock())
        self.record(network, latency, moment)
        return moment, latency

    def record(self, network: Network, latency: Latency, moment: Moment) -> None:
        """Keep that a network was timed whole at a moment."""
        network = replace(network, name="")
        self.wholes[network] = Timed(latency.median_ms, moment)
        described = network_to_dict(network)
        values = {"network": described, **asdict(self.wholes[network])}
        remember(self.folder / "wholes" / f"{key_of(described)}.json", values)

    @property
    def moments(self) -> list[Moment]:
        """How fast the device was whenever something was timed."""
        return [each.moment for each in (*self.layers.values(), *self.wholes.values())]

    @property
    def middle_ms(self) -> float:
        """What the reference takes at the device's middle speed."""
        return _middle(each.ms for each in self.moments)

    def layer_ms(self, layer: Layer) -> float | None:
        """Milliseconds of a timed layer at the device's middle speed; None where it was not timed."""
        return self._model()[1].get(layer)

    def estimator(self) -> Estimator:
        """What estimates layers from those in the table."""
        return self._model()[0]

    def _model(self) -> tuple[Estimator, dict[Layer, float]]:
        """Layers at the device's middle speed, and what estimates others from them."""
        if self._fitted is None:
            middle = _middle(each.moment.low_ms for each in self.layers.values())
            times = {layer: each.ms * middle / each.moment.low_ms for layer, each in self.layers.items()}
            self._fitted = Estimator(times), times
        return self._fitted

    def _sum(self, network: Network) -> tuple[float, int]:
        """Milliseconds of all layers, and how many of them are estimates."""
        total, estimated = 0.0, 0
        for layer in layers_of(network):
            ms = self.layer_ms(layer)
            if ms is None:
                ms, estimated = self.estimator()(layer), estimated + 1
            if ms is None:
                raise SpecError(f"latency table: {layer} was not timed, and too few others were; fill the table first.")
            total += ms
        return total, estimated

    def _ratios(self, estimated: bool) -> list[float]:
        """Measured time over sum for networks timed whole: those with estimates in their sum, or those without."""
        ratios: dict[bool, list[float]] = {True: [], False: []}
        middle = self.middle_ms
        for network, whole in self.wholes.items():
            try:
                total, guessed = self._sum(network)
            except SpecError:
                continue
            ratios[guessed > 0].append(whole.ms * middle / whole.moment.ms / total)
        return ratios[estimated] or ratios[not estimated]

    def _time(self, layer: Layer) -> float:
        from triscale.deployment.layer_latency import measure_layer

        return measure_layer(layer, self.engine, self.threads)

    def _keep(self, layer: Layer, timed: Timed) -> None:
        self.layers[layer], self._fitted = timed, None
        values = asdict(_Kept.of(layer, timed))
        remember(self.folder / "layers" / f"{key_of({**values, 'timed': None})}.json", values)

    def _read(self) -> None:
        """Take what earlier runs left; what is not whole is timed again."""
        for path in sorted(self.folder.glob("layers/*.json")):
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
                self.layers[kept.layer()] = kept.timed
            except (OSError, msgspec.MsgspecError, TriscaleError):
                continue
        for path in sorted(self.folder.glob("wholes/*.json")):
            try:
                values = msgspec.json.decode(path.read_bytes(), type=_KeptWhole)
                self.wholes[replace(network_from_dict(values.network), name="")] = Timed(values.ms, values.moment)
            except (OSError, msgspec.MsgspecError, TriscaleError):
                continue


@dataclass(frozen=True, slots=True)
class _Kept:
    """A timed layer as its file has it; one of stem, block and head is there."""

    timed: Timed
    in_channels: int
    size: Size
    padding: Padding
    classes: int
    stem: Stem | None = None
    block: Block | None = None
    head: Head | None = None

    @classmethod
    def of(cls, layer: Layer, timed: Timed) -> _Kept:
        part = layer.part
        return cls(
            timed,
            layer.in_channels,
            layer.size,
            layer.padding,
            layer.classes,
            stem=part if isinstance(part, Stem) else None,
            block=part if isinstance(part, Block) else None,
            head=part if isinstance(part, Head) else None,
        )

    def layer(self) -> Layer:
        part = self.stem or self.block or self.head
        if part is None or not (
            0 < self.timed.ms < float("inf") and min(self.timed.moment.ms, self.timed.moment.low_ms) > 0
        ):
            raise SpecError("a timed layer needs a part and a time.")
        return Layer(part, self.in_channels, self.size, self.padding, self.classes)


@dataclass(frozen=True, slots=True)
class _KeptWhole:
    network: dict[str, object]
    ms: float
    moment: Moment


def _middle(values: Iterable[float]) -> float:
    return statistics.median(list(values) or [1.0])


def _scaled(network: Network, phi: float) -> Network | None:
    """None where the family has no network there."""
    try:
        return compound(network, phi)
    except SpecError:
        return None
