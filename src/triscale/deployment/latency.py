"""How long one image takes, measured so that a limit can be held against it.

One measurement is the median of at least 50 runs at batch 1, after a warm-up. A limit holds when the upper quartile of
three measurements, taken apart, is inside it.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from triscale.deployment.engine import Engine, Precision, load_engine
from triscale.errors import FileError, TriscaleError

RUNS = 50
MEASUREMENTS = 3
WARM_UP = 10
APART = 0.25  # seconds between two measurements


@dataclass(frozen=True, slots=True)
class Latency:
    """The time of one run, in milliseconds.

    measurements: medians of `runs` runs each.
    engine, version, precision, threads, device: what ran it, and where.
    batch: images of one run; the times are those of all of them.
    """

    measurements: tuple[float, ...]
    runs: int
    engine: str
    version: str
    precision: str
    threads: int
    device: str
    batch: int = 1

    @property
    def median_ms(self) -> float:
        """The middle measurement."""
        return statistics.median(self.measurements)

    @property
    def upper_quartile_ms(self) -> float:
        """Three quarters of the measurements are at most this (linear between neighbours)."""
        return float(np.quantile(self.measurements, 0.75))

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.median_ms:.2f} ms ({self.engine} {self.version}, {self.precision}, {threads}, {self.device})"


def measure(path: str | Path, threads: int | None = None, precision: Precision = "fp32", runs: int = RUNS) -> Latency:
    """Time an exported file at batch 1 in this process.

    Raises: FileError when it cannot be loaded.
    """
    return measure_engine(load_engine(path, threads, precision), runs)


def measure_engine(engine: Engine, runs: int = RUNS) -> Latency:
    """Time a loaded engine at batch 1."""
    image = random_image(engine)
    measurements = []
    for number in range(MEASUREMENTS):
        if number:
            time.sleep(APART)
        measurements.append(median_ms(lambda: engine.run(image), runs))
    return Latency(
        tuple(measurements), runs, engine.name, engine.version, engine.precision, engine.threads, device_name()
    )


def random_image(engine: Engine, batch: int = 1) -> np.ndarray:
    """A batch as photographs would be after preprocessing: (batch, C, H, W), mean 0 and deviation 1."""
    return np.random.default_rng(0).standard_normal((batch, *engine.input_shape), dtype=np.float32)


def median_ms(call: Callable[[], object], runs: int = RUNS, warm_up: int = WARM_UP) -> float:
    """Median milliseconds of `runs` calls, after a warm-up."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e6


def measure_fresh(path: str | Path, threads: int | None = None, precision: Precision = "fp32") -> Latency:
    """Time an exported file in a process of its own, where nothing else has warmed or crowded the machine.

    Raises: FileError when it cannot be loaded, with the line that the process said.
    """
    command = [sys.executable, "-m", "triscale.deployment.latency", str(path), "--precision", precision]
    if threads is not None:
        command += ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise FileError(lines[-1] if lines else f"{path}: the process that measured it ended with {done.returncode}.")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Latency)


def device_name() -> str:
    """The processor's name, as it says itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main(arguments: list[str] | None = None) -> int:
    """Print the latency of one file as a line of JSON; what `measure_fresh` starts."""
    parser = argparse.ArgumentParser(prog="python -m triscale.deployment.latency", description=main.__doc__)
    parser.add_argument("path")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(asdict(measure(given.path, given.threads, given.precision))))
    except TriscaleError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
