"""`triscale compare`: several runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from triscale.cli.output import count, print_json, print_table
from triscale.errors import FileError, RunError, SpecError
from triscale.spec.files import read_json

if TYPE_CHECKING:
    from triscale.report.comparison import ComparedRun, EpochScore

NUMBERS = ("top1", "map", "ece", "epochs", "best_epoch", "params", "macs", "latency_ms", "seconds")
SHOWN_CLASSES = 10


def compare(
    runs: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    picture: Path | None = None,
    curves: Path | None = None,
    report: Path | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """One table of several runs, best first, and pictures if asked; of two runs, also the classes that differ most.

    Raw and EMA are the scores of the kept epoch's weights and of their average on the validation images. Runs that were
    evaluated on other data are told apart by a mark: their accuracies do not compare.

    Example: triscale compare runs/* --picture runs.svg --curves curves.svg --report runs.html

    Parameters
    ----------
    runs
        folders that `fit` or `train` wrote
    picture
        draw accuracy against MACs into this SVG file
    curves
        draw the accuracy of all runs on their validation images, by epoch and by time, into this .svg or .png file
    report
        write a page with table and pictures into this .html file
    json
        print JSON instead of a table
    """
    from triscale.report.canvas import require_picture

    if picture is not None and picture.suffix != ".svg":
        raise SpecError(f"--picture writes SVG, got {picture.name!r}; give a name that ends in .svg.")
    if curves is not None:
        require_picture("--curves", curves)
    if report is not None and report.suffix != ".html":
        raise SpecError(f"--report writes a page, got {report.name!r}; give a name that ends in .html.")
    if len(runs) < 2:
        raise RunError(f"compare needs at least two runs, got {len(runs)}.")
    compared, rows = _read(runs)
    _write(compared, picture, curves, report)
    if json:
        print_json(rows)
        return 0
    _print(compared)
    for name, path in (("picture", picture), ("curves", curves), ("report", report)):
        if path is not None:
            print(f"{name}: {path}")
    return 0


def _read(folders: Sequence[Path]) -> tuple[list[ComparedRun], list[dict[str, Any]]]:
    """The runs, best first, and all that is known of each as plain values."""
    from dataclasses import asdict

    from triscale.report.comparison import ComparedRun
    from triscale.training.run import read_run

    rows: list[dict[str, Any]] = []
    found: list[ComparedRun] = []
    seen: dict[object, str] = {}
    for folder in folders:
        record, metrics, curve = read_run(folder), _metrics(folder), _curve(folder)
        rows.append({"run": str(folder), "state": record.state, "data": record.data, **metrics})
        rows[-1]["curve"] = [asdict(each) for each in curve]
        found.append(ComparedRun(str(folder), record.state, "", metrics, curve))
    scores = [-1.0 if run.score is None else run.score for run in found]
    order = sorted(range(len(rows)), key=lambda i: -scores[i])
    for i in order:
        kind = (rows[i]["data"], rows[i].get("split", ""), found[i].score_name)
        run = found[i]
        found[i] = ComparedRun(run.name, run.state, seen.setdefault(kind, "*" * len(seen)), run.metrics, run.curve)
    return [found[i] for i in order], [rows[i] for i in order]


def _metrics(folder: Path) -> dict[str, Any]:
    """What a run measured; nothing before it has."""
    path = folder / "metrics.json"
    found = read_json(path) if path.exists() else {}
    damaged = not isinstance(found, dict) or any(not isinstance(found.get(key, 0.0), int | float) for key in NUMBERS)
    rates = {} if damaged else found.get("per_class", {})
    if damaged or not isinstance(rates, dict) or any(not isinstance(each, int | float) for each in rates.values()):
        raise FileError(f"{path}: is damaged; run the command that wrote it again.")
    return found


def _curve(folder: Path) -> tuple[EpochScore, ...]:
    """The scores after each epoch, as far as the run has come."""
    from triscale.report.comparison import EpochScore
    from triscale.training.run import read_log

    def score(line: dict[str, Any], name: str) -> float | None:
        rates = line.get(name)
        return rates.get("map", rates.get("top1")) if isinstance(rates, dict) else None

    return tuple(
        EpochScore(line["epoch"], line.get("seconds", 0.0), score(line, "raw"), score(line, "ema"))
        for line in read_log(folder)
        if line.get("event") == "epoch" and "epoch" in line
    )


def _write(runs: Sequence[ComparedRun], picture: Path | None, curves: Path | None, report: Path | None) -> None:
    """The pictures and the page that were asked for."""
    from triscale import atomic
    from triscale.report import canvas, comparison

    if picture is not None:
        drawn = comparison.draw_trade_off(runs)
        if not drawn:
            raise RunError("--picture needs at least two runs that differ in accuracy; give others, or leave it out.")
        atomic.write_text(picture, drawn)
    if curves is not None:
        drawing = comparison.draw_curves(runs)
        if drawing is None:
            raise RunError("--curves needs a run that has finished an epoch; give others, or leave it out.")
        canvas.write(drawing, curves)
    if report is not None:
        comparison.write_comparison(runs, report)


def _print(runs: Sequence[ComparedRun]) -> None:
    from triscale.report.comparison import class_differences, score_title

    rows = [
        (
            run.name + run.marks,
            run.state,
            _number({"score": run.score}, "score", _rate),
            run.metrics.get("split", ""),
            _number({"raw": run.chosen and run.chosen.raw}, "raw", _rate),
            _number({"ema": run.chosen and run.chosen.ema}, "ema", _rate),
            f"{run.metrics.get('epochs', len(run.curve))}",
            _number(run.metrics, "ece", _rate),
            _number(run.metrics, "params", count),
            _number(run.metrics, "macs", count),
            _number(run.metrics, "latency_ms", lambda v: f"{v:.2f}"),
            _number(run.metrics, "seconds", lambda v: f"{v:.0f}"),
        )
        for run in runs
    ]
    titles = (
        "run",
        "state",
        score_title(runs),
        "split",
        "raw",
        "EMA",
        "epochs",
        "ECE",
        "params",
        "MACs",
        "ms",
        "seconds",
    )
    print_table(titles, rows, left=2)
    if len({run.marks for run in runs}) > 1:
        print("runs with another number of * were evaluated on other images: their accuracies do not compare")
    differences = class_differences(*runs)[:SHOWN_CLASSES] if len(runs) == 2 else ()
    if differences:
        first, second = runs
        print(f"\nclasses that differ most between {first.name} and {second.name}")
        print_table(
            ("class", "first", "second", "difference"),
            [(e.name, _rate(e.first), _rate(e.second), f"{100 * (e.second - e.first):+.1f}") for e in differences],
        )


def _rate(value: float) -> str:
    return f"{value:.2%}"


def _number(row: Any, key: str, shown: Callable[[float], str]) -> str:
    return shown(row[key]) if row.get(key) is not None else "–"
