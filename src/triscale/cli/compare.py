"""`triscale compare`: several runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from triscale.cli.output import count, print_json, print_table
from triscale.errors import FileError, RunError, SpecError
from triscale.spec.files import read_json

SHOWN = ("top1", "params", "macs", "latency_ms", "seconds")


def compare(
    runs: Annotated[list[Path], Parameter(consume_multiple=True)],
    /,
    *,
    picture: Path | None = None,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """One table of several runs, best first, and one picture if asked: accuracy against MACs.

    Runs that were evaluated on other data are told apart by a mark: their accuracies do not compare.

    Example: triscale compare runs/* --picture runs.svg

    Parameters
    ----------
    runs
        folders that `fit` or `train` wrote
    picture
        draw accuracy against MACs into this SVG file
    json
        print JSON instead of a table
    """
    from triscale.training.run import read_run

    rows: list[dict[str, Any]] = []
    for folder in runs:
        record = read_run(folder)
        rows.append({"run": str(folder), "state": record.state, "data": record.data, **_metrics(folder)})
    if len(rows) < 2:
        raise RunError(f"compare needs at least two runs, got {len(rows)}.")
    rows.sort(key=lambda row: -row.get("top1", -1.0))
    if picture is not None:
        _draw(rows, picture)
    if json:
        print_json(rows)
        return 0
    sets = list(dict.fromkeys((row["data"], row.get("split", "")) for row in rows))
    table = []
    for row in rows:
        group = "*" * sets.index((row["data"], row.get("split", "")))
        table.append(
            (
                row["run"] + group,
                row["state"],
                _number(row, "top1", lambda v: f"{v:.2%}"),
                row.get("split", ""),
                _number(row, "params", count),
                _number(row, "macs", count),
                _number(row, "latency_ms", lambda v: f"{v:.2f}"),
                _number(row, "seconds", lambda v: f"{v:.0f}"),
            )
        )
    print_table(("run", "state", "top-1", "split", "params", "MACs", "ms", "seconds"), table, left=2)
    if len(sets) > 1:
        print("runs with another number of * were evaluated on other images: their accuracies do not compare")
    if picture is not None:
        print(f"picture: {picture}")
    return 0


def _metrics(folder: Path) -> dict[str, Any]:
    """What a run measured; nothing before it has."""
    path = folder / "metrics.json"
    found = read_json(path) if path.exists() else {}
    if not isinstance(found, dict) or any(not isinstance(found.get(key, 0.0), int | float) for key in SHOWN):
        raise FileError(f"{path}: is damaged; run the command that wrote it again.")
    return found


def _number(row: dict[str, Any], key: str, shown: Callable[[float], str]) -> str:
    return shown(row[key]) if row.get(key) is not None else "–"


def _draw(rows: list[dict[str, Any]], picture: Path) -> None:
    from triscale import atomic
    from triscale.report.model import Candidate
    from triscale.report.plots import trade_off

    if picture.suffix != ".svg":
        raise SpecError(f"--picture writes SVG, got {picture.name!r}; give a name that ends in .svg.")
    measured = [row for row in rows if row.get("top1") is not None and row.get("macs") is not None]
    points = [
        Candidate(Path(row["run"]).name, "", {"macs": row["macs"]}, row["top1"], row is measured[0], "")
        for row in measured
    ]
    drawn = trade_off(points, (), "top-1")
    if not drawn:
        raise RunError("--picture needs at least two runs that differ in accuracy; give others, or leave it out.")
    atomic.write_text(picture, drawn)
