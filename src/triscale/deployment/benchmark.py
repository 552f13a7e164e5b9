"""How long a network takes with each engine on this device: exported as it ships, measured in turns."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path

from triscale.deployment.engine import Engine, Precision, load_engine, torch_engine
from triscale.deployment.export import SUFFIXES, ExportEngine, export
from triscale.deployment.latency import APART, MEASUREMENTS, RUNS, Latency, device_name, median_ms, random_image
from triscale.detection.detector import DetectorNet
from triscale.errors import SpecError
from triscale.models.assembler import ConvNet
from triscale.models.files import save
from triscale.models.model import Model
from triscale.spec.network import Size
from triscale.training.progress import Progress, SilentProgress

ENGINES = ("torch", "onnx", "openvino")
NEEDS: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "onnx": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}
LARGEST_BATCH = 4096


def installed() -> list[str]:
    """The engines whose libraries are here, PyTorch first."""
    return [name for name in ENGINES if all(importlib.util.find_spec(library) for library in NEEDS[name])]


def write_for(model: Model, engine: str, folder: Path, size: Size | None = None) -> Path | Model:
    """The file that `engine` runs, in `folder`; for PyTorch and a module of the user's own, that module.

    Raises: MissingExtraError without its library; SpecError for a model that it cannot run.
    """
    if engine == "torch":
        if size is not None and size != model.preprocessing.size:
            raise SpecError("bench: PyTorch runs a model at its own size; leave --size out, or leave torch out.")
        if not isinstance(model, ConvNet | DetectorNet):
            return model  # its code is in no file
        save(model, folder / "model.safetensors")
        return folder / "model.safetensors"
    exporter: ExportEngine = "openvino" if engine == "openvino" else "onnx"
    return export(model, folder / f"model{SUFFIXES[exporter]}", exporter, size).path


def benchmark(
    files: Sequence[Path | Model],
    *,
    batch: int = 1,
    threads: int | None = None,
    precision: Precision = "fp32",
    runs: int = RUNS,
    progress: Progress | None = None,
) -> list[Latency]:
    """Three measurements of each file (or model, in PyTorch), each the median of `runs` runs, taken in turns and apart.

    batch: images of one run. threads: of one run; None takes every core.
    Raises: FileError for a file that cannot be loaded; SpecError for a number out of range.
    """
    if not 1 <= batch <= LARGEST_BATCH or runs < 1:
        raise SpecError(f"bench: the batch is 1..{LARGEST_BATCH:,} and runs at least 1, got {batch} and {runs}.")
    engines = [
        load_engine(each, threads, precision) if isinstance(each, Path) else torch_engine(each, threads)
        for each in files
    ]
    images = [random_image(each, batch) for each in engines]
    found: list[list[float]] = [[] for _ in engines]
    progress = progress or SilentProgress()
    progress.start("measuring", MEASUREMENTS * len(engines))
    try:
        for number in range(MEASUREMENTS):
            if number:
                time.sleep(APART)
            for engine, image, measurements in zip(engines, images, found, strict=True):
                measurements.append(median_ms(lambda e=engine, i=image: e.run(i), runs))
                progress.advance(1, f"{engine.name} {measurements[-1]:.2f} ms")
    finally:
        progress.finish()
    return [_latency(each, tuple(m), runs, batch) for each, m in zip(engines, found, strict=True)]


def _latency(engine: Engine, measurements: tuple[float, ...], runs: int, batch: int) -> Latency:
    ran = (engine.name, engine.version, engine.precision, engine.threads, device_name())
    return Latency(measurements, runs, *ran, batch=batch)
