"""Seeded latency budgets on this device: solved, then measured again in a fresh process.

Limits are drawn evenly on a logarithmic scale between the latencies of two networks that the family reaches: with an
eighth of the baseline's MACs, and with eight times as many. A budget holds when the upper quartile of three
measurements in a process that knows nothing of the search is inside. Nothing of earlier runs is used.
Run: python benchmarks/latency_budgets.py [--budgets 30] [--seed 0] [--engine onnx] [--network efficientnet_lite0]
                                          [--threads 1]
Exit 1 when fewer than 29 of 30 are inside, one is above 1.05 times its limit, or less than 85 % is used on average.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from triscale.deployment.drift import Moment, spread
from triscale.deployment.engine import available_cores
from triscale.deployment.export import ExportEngine
from triscale.deployment.latency import Latency
from triscale.deployment.on_device import OnDevice, solve_on_device
from triscale.deployment.table import LatencyTable
from triscale.deployment.trial import measure_untrained
from triscale.errors import BudgetError
from triscale.spec import families
from triscale.spec.budget import Budget, solve
from triscale.spec.cost import cost
from triscale.spec.network import Network

SMALLEST, LARGEST = 1 / 8, 8.0  # times the baseline's MACs
LEAST_INSIDE, LEAST_USED, MOST_OVER = 29 / 30, 0.85, 1.05
HEADING = "## Latency budgets: `make accept-latency`"
DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Row:
    """A budget in milliseconds, what was found for it, and what that took when it was measured again."""

    limit: float
    found: OnDevice | None
    again: Latency | None
    moment: Moment | None
    seconds: float
    refusal: str = ""

    @property
    def used(self) -> float:
        return self.again.upper_quartile_ms / self.limit if self.again else math.nan


def limits(network: Network, engine: ExportEngine, threads: int, count: int, seed: int) -> list[float]:
    """`count` limits in milliseconds between the fastest and the slowest network."""
    macs = cost(network).macs
    ends = [solve(network, Budget({"macs": share * macs})) for share in (SMALLEST, LARGEST)]
    low, high = (measure_untrained(each, engine, threads).upper_quartile_ms for each in ends)
    print(f"{network.name}: {low:.2f} ms with 1/8 of its MACs, {high:.2f} ms with 8 times as many", flush=True)
    draw = random.Random(seed)
    return [math.exp(draw.uniform(math.log(low), math.log(high))) for _ in range(count)]


def solved(network: Network, limit: float, table: LatencyTable, cache: Path) -> Row:
    """Solve one budget, and measure what came out again."""
    start = time.perf_counter()
    try:
        found = solve_on_device(network, Budget({"latency": limit / 1e3}), table.engine, table=table, cache=cache)
    except BudgetError as error:
        return Row(limit, None, None, None, time.perf_counter() - start, str(error))
    seconds = time.perf_counter() - start
    moment, again = table.clock(), measure_untrained(found.network, table.engine, table.threads)
    return Row(limit, found, again, moment, seconds)


def line(row: Row) -> str:
    if row.found is None or row.again is None or row.found.latency is None or row.found.prediction is None:
        return f"{row.limit:9.2f}  refused: {row.refusal}"
    net, mark = row.found.network, "" if row.used <= 1 else "  OVER"
    blocks = sum(len(each.blocks) for each in net.stages)
    return (
        f"{row.limit:9.2f}  {blocks:3} blocks {net.stages[-1].channels:4} channels {net.resolution[0]:4} px"
        f"  {row.found.prediction.sum_ms:9.2f} {row.found.latency.upper_quartile_ms:9.2f}"
        f" {row.again.upper_quartile_ms:9.2f} {row.used:7.1%} {(row.found.slowdown or 1) - 1:7.1%}"
        f" {row.seconds:6.1f}{mark}"
    )


def closing(rows: list[Row], table: LatencyTable, took: float) -> tuple[str, bool]:
    """The figures in one sentence, and whether they hold."""
    held = [row for row in rows if row.again is not None]
    refused = sum("the smallest that can be reached" in row.refusal for row in rows)
    asked = len(rows) - refused  # a refusal that names no smallest network is a failure
    if not held:
        return f"none of {asked} inside, {refused} refused with the smallest; {took:.0f} s in all", asked == 0
    inside = sum(row.used <= 1 for row in held)
    near = sum(row.used <= MOST_OVER for row in held)
    used = statistics.mean(row.used for row in held)
    off = [abs(row.found.prediction.sum_ms / row.found.latency.median_ms - 1) for row in held if row.found]
    low, high = spread([*table.moments, *(row.moment for row in held if row.moment)])
    apart = statistics.median(
        (max(m) - min(m)) / statistics.median(m) for m in (row.again.measurements for row in held)
    )
    ok = inside >= math.floor(LEAST_INSIDE * asked) and near == asked and used >= LEAST_USED
    told = (
        f"{inside} of {asked} inside, {near} inside 1.05 x, {used:.1%} used on average, {refused} refused with the "
        f"smallest; the device's speed was {low - 1:+.1%} to {high - 1:+.1%} of its middle (10 % to 90 %), three "
        f"measurements of one network {apart:.1%} apart; sums of layers were {statistics.median(off):.1%} off in the "
        f"middle, {max(off):.1%} at most; {took:.0f} s in all"
    )
    return told, ok


def write(told: str, command: str, conditions: str) -> None:
    """Put the figures into docs/benchmarks.md, in place of the earlier ones."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = f"{HEADING}\n\n`{command}`; {conditions}; {time.strftime('%Y-%m-%d')}.\n\n{told}.\n"
    pattern = re.compile(rf"^{re.escape(HEADING)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: f"{section}\n", text).rstrip() + "\n"
    else:
        text = f"{text.rstrip()}\n\n{section}"
    DOCUMENT.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", choices=("onnx", "openvino"), default="onnx")
    parser.add_argument("--network", default="efficientnet_lite0")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--write", action="store_true", help="write the figures into docs/benchmarks.md")
    given = parser.parse_args()
    engine: ExportEngine = "openvino" if given.engine == "openvino" else "onnx"
    start, network = time.perf_counter(), families.network(given.network)
    with tempfile.TemporaryDirectory() as folder:
        table = LatencyTable(engine, given.threads, Path(folder) / "latency")
        facts = table.conditions
        conditions = f"{facts['device']}, {given.threads} threads, {facts['engine']} {facts['version']}, fp32, batch 1"
        print(conditions)
        drawn = limits(network, engine, given.threads, given.budgets, given.seed)
        print(f"{'limit ms':>9}  {'network':33}  predicted  measured     again    used    kept     s")
        rows = []
        for limit in drawn:
            rows.append(solved(network, limit, table, Path(folder) / "trials"))
            print(line(rows[-1]), flush=True)
        told, ok = closing(rows, table, time.perf_counter() - start)
    print(told)
    if given.write:
        command = f"python benchmarks/latency_budgets.py --budgets {given.budgets} --seed {given.seed}"
        write(told, f"{command} --engine {engine} --network {given.network} --threads {given.threads}", conditions)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
