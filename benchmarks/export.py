"""Latency of B0 and Lite0 through every way to run them: PyTorch as trained, fused, ONNX Runtime and OpenVINO.

All in fp32, but for the row that says what OpenVINO takes when nobody asks. Interleaved; medians; ratios to PyTorch.
Run: python benchmarks/export.py [--runs 50] [--size 224] [--batch 1] [--threads N] [NAME ...]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from triscale.deployment.engine import available_cores, load_engine
from triscale.deployment.export import export
from triscale.deployment.fuse import fuse
from triscale.deployment.latency import device_name
from triscale.models.create import create_model

NAMES = ("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_lite0")
WARM_UP = 5


def ways_to_run(name: str, size: int, batch: int, threads: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Label -> a call that runs one batch."""
    torch.manual_seed(0)
    model = create_model(name).to(memory_format=torch.channels_last)
    fused = fuse(model, size).to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size)
    last, array = images.contiguous(memory_format=torch.channels_last), images.numpy()
    exported = [export(model, folder / f"{name}{suffix}", size=size).path for suffix in (".onnx", ".xml")]
    runtime, vino = (load_engine(path, threads) for path in exported)
    free = load_engine(exported[1], threads, precision="default")
    return {
        "PyTorch, as trained": lambda: model(last),
        "PyTorch, fused": lambda: fused(last),
        f"ONNX Runtime {runtime.version}, fp32": lambda: runtime.run(array),
        f"OpenVINO {vino.version}, fp32": lambda: vino.run(array),
        f"OpenVINO {free.version}, its default ({free.precision})": lambda: free.run(array),
    }


def interleaved(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median milliseconds of each way, taking turns so that a busy moment of the machine meets all of them."""
    times: dict[str, list[float]] = {label: [] for label in ways}
    for turn in range(WARM_UP + runs):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= WARM_UP:
                times[label].append(1e3 * (time.perf_counter() - start))
    return {label: statistics.median(taken) for label, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=available_cores())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"{device_name()}, {given.threads} threads, PyTorch {torch.__version__}")
    print(f"batch {given.batch} at {given.size} px, median of {given.runs} interleaved runs")
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for name in given.names:
            ways = ways_to_run(name, given.size, given.batch, given.threads, Path(folder))
            medians = interleaved(ways, given.runs)
            reference = medians["PyTorch, as trained"]
            print(f"\n{name:42} {'ms':>9} {'ratio':>7}")
            for label, median in medians.items():
                print(f"  {label:40} {median:9.2f} {median / reference:7.2f}")


if __name__ == "__main__":
    main()
