"""`triscale bench`: how long a network takes on this device, by engine; and the latency table of its layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from triscale.cli.output import print_json, print_table
from triscale.errors import SpecError
from triscale.modules.reference import is_reference

if TYPE_CHECKING:
    from triscale.deployment.latency import Latency
    from triscale.deployment.table_report import TableReport
    from triscale.models.model import Model
    from triscale.spec.network import Network, Size

EngineName = Literal["torch", "onnx", "openvino"]
EXPORTED = (".onnx", ".xml")


def bench(
    models: Annotated[list[str], Parameter(consume_multiple=True)],
    /,
    *,
    engine: Annotated[list[EngineName] | None, Parameter(consume_multiple=True)] = None,
    batch: int = 1,
    pixels: Annotated[tuple[int, ...], Parameter(name="--size", consume_multiple=True)] = (),
    threads: int | None = None,
    precision: Literal["fp32", "default"] = "fp32",
    runs: int = 50,
    table: bool = False,
    module: str | None = None,
    quiet: bool = False,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Measure latency on this device: three measurements of at least 50 runs, apart, for each installed engine.

    A detector is timed without suppression: up to its raw answers in PyTorch, up to boxes and scores in its files.

    Example: triscale bench efficientnet_lite0 --engine onnx

    Parameters
    ----------
    models
        names from `triscale list`, network files, runs, model files, exported files, or your own code as
        file.py:factory; several take turns
    engine
        torch, onnx, openvino; by default all that are installed
    batch
        images in one run
    pixels
        input size: one number, or height and width; the model's own by default
    threads
        cores of one run; by default all
    precision
        fp32, or default: what the engine takes when nobody asks (bf16 for OpenVINO on some processors)
    runs
        runs of one measurement
    table
        time each distinct layer once and compare their sum with the whole network, for onnx or openvino
    module
        file.py:factory, the code of a run or model file that holds the weights of a module of your own
    quiet
        show no progress
    json
        print JSON instead of a table
    """
    if not models:
        raise SpecError("bench needs a model: a name from `triscale list`, a run's folder, or a file.")
    if len(pixels) > 2:
        raise SpecError(f"--size takes one or two numbers, got {len(pixels)}.")
    if runs < 50:
        raise SpecError(f"--runs must be at least 50, or a measurement is none, got {runs}.")
    size = (pixels[0], pixels[-1]) if pixels else None
    if table:
        if batch != 1 or precision != "fp32":
            raise SpecError("bench --table measures at batch 1 in fp32; leave --batch and --precision out.")
        return _tables(models, engine, size, threads, quiet, json)
    rows = _measured(models, engine, size, batch, threads, precision, runs, module, quiet)
    if json:
        print_json([_as_json(name, latency) for name, latency in rows])
        return 0
    _print(rows)
    return 0


def _measured(
    models: list[str],
    engines: list[EngineName] | None,
    size: Size | None,
    batch: int,
    threads: int | None,
    precision: Literal["fp32", "default"],
    runs: int,
    code: str | None,
    quiet: bool,
) -> list[tuple[str, Latency]]:
    import tempfile

    from triscale.deployment.benchmark import benchmark, installed, write_for
    from triscale.training.progress import choose_progress

    wanted = list(dict.fromkeys(engines)) if engines else installed()
    with tempfile.TemporaryDirectory(prefix="triscale-") as folder:
        files: list[tuple[str, Path | Model]] = []
        for number, name in enumerate(models):
            if Path(name).suffix in EXPORTED:
                if size is not None:
                    raise SpecError(f"{name}: an exported file reads one size only; leave --size out.")
                files.append((name, Path(name)))
                continue
            place = Path(folder) / str(number)
            place.mkdir()
            model = _model(name, size if "torch" in wanted else None, code)
            files += [(name, write_for(model, each, place, size)) for each in wanted]
        found = benchmark(
            [path for _, path in files],
            batch=batch,
            threads=threads,
            precision=precision,
            runs=runs,
            progress=choose_progress(quiet),
        )
    return [(name, latency) for (name, _), latency in zip(files, found, strict=True)]


def _model(name: str, size: Size | None, code: str | None) -> Model:
    """The model with its weights, or with random ones where NAME has none: latency does not depend on them."""
    from dataclasses import replace

    from triscale.cli.models import open_model
    from triscale.cli.names import resolve_subject
    from triscale.deployment.untrained import untrained

    path = Path(name)
    if is_reference(name) or path.suffix == ".safetensors" or (path.is_dir() and (path / "model.safetensors").exists()):
        model = open_model(name, None if is_reference(name) else code, size)
    else:
        model = untrained(resolve_subject(name))
    if size is not None:
        model.preprocessing = replace(model.preprocessing, size=size)
    return model


def _as_json(name: str, latency: Latency) -> dict[str, object]:
    return {
        "model": name,
        "engine": latency.engine,
        "version": latency.version,
        "precision": latency.precision,
        "batch": latency.batch,
        "threads": latency.threads,
        "device": latency.device,
        "measurements_ms": list(latency.measurements),
        "runs": latency.runs,
        "median_ms": latency.median_ms,
        "upper_quartile_ms": latency.upper_quartile_ms,
        "images_per_second": 1e3 * latency.batch / latency.median_ms,
    }


def _print(rows: list[tuple[str, Latency]]) -> None:
    first = rows[0][1]
    batch = "" if first.batch == 1 else f", batches of {first.batch}"
    cores = "1 thread" if first.threads == 1 else f"{first.threads} threads"
    print(f"{first.device}, {cores}{batch}; three measurements of {first.runs} runs, in turns")
    columns = ("model", "engine", "precision", "median ms", "upper quartile ms", "from", "to", "images/s")
    cells = []
    for name, each in rows:
        ends = min(each.measurements), max(each.measurements)
        cells.append(
            (
                name,
                f"{each.engine} {each.version}",
                each.precision,
                *(f"{value:.2f}" for value in (each.median_ms, each.upper_quartile_ms, *ends)),
                f"{1e3 * each.batch / each.median_ms:.0f}",
            )
        )
    print_table(columns, cells, left=3)


def _tables(
    models: list[str],
    engines: list[EngineName] | None,
    size: Size | None,
    threads: int | None,
    quiet: bool,
    json: bool,
) -> int:
    from dataclasses import replace

    from triscale.cli.names import resolve
    from triscale.deployment.table_report import tabulate
    from triscale.training.progress import choose_progress

    if engines and "torch" in engines:
        raise SpecError("bench --table has no engine torch; choose onnx or openvino.")
    networks: list[Network] = [resolve(name) for name in models]
    if size is not None:
        networks = [replace(each, resolution=size) for each in networks]
    wanted = [each for each in engines or ["onnx"] if each != "torch"]
    reports: list[TableReport] = [
        tabulate(net, each, threads, progress=choose_progress(quiet)) for net in networks for each in wanted
    ]
    if json:
        print_json([each.as_json() for each in reports])
        return 0
    for number, report in enumerate(reports):
        if number:
            print()
        _print_table(report)
    return 0


def _print_table(report: TableReport) -> None:
    print(f"{report.network.name}: {report.latency}")
    rows = [(row.name, str(row.times), f"{row.ms:.3f}", f"{row.times * row.ms:.3f}") for row in report.rows]
    print_table(("layer", "times", "ms", "in all"), rows)
    print(f"{report.timed_now} of {len(report.rows)} distinct layers were timed now, {report.cached} were in the table")
    print(
        f"sum {report.prediction.sum_ms:.2f} ms, whole network {report.now_ms:.2f} ms at the same speed of the device: "
        f"the sum is {abs(report.error):.1%} too {'large' if report.error > 0 else 'small'}"
    )
    low, high = report.spread
    print(f"predicted {report.prediction}; speed of this device: {low - 1:+.0%} to {high - 1:+.0%} of its middle")
