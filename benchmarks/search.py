"""What a search costs beside its trainings: proposals inside a budget, choosing the next network, opening a ledger.

Everything on one core, with scores that cost nothing.
Run: python benchmarks/search.py [--candidates 100000] [--trials 100] [--rows 100000] [--runs 3]
Exit 1 above a limit: 5 s for the candidates, 0.5 s for each of the last ten trials, 1 s for the ledger.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from triscale.search.asking import Asker
from triscale.search.budget.limited import Limited
from triscale.search.budget.proposals import Proposals, propose
from triscale.search.budget.search import Plan, search_budget
from triscale.search.candidate import Candidate, NetworkBaseline
from triscale.search.grid import coefficient_grid
from triscale.search.ledger import Entry, Ledger
from triscale.spec.families import network
from triscale.spec.limits import parse
from triscale.spec.rules import COMPOUND

PROPOSED, CHOSEN, OPENED = 5.0, 0.5, 1.0  # seconds, at most
BUDGET = "macs<=1G, params<=10M"
LAST = 10  # trials whose time counts: the more are known, the longer the next one takes


def median_of(runs: int, work: Callable[[], object]) -> float:
    """Seconds, median of fresh runs."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def score(candidate: Candidate, seed: int, steps: int) -> float:
    """Of nothing: larger is better, less and less."""
    depth, width, resolution = candidate.multipliers
    return 1 - 0.1 * depth**-0.7 - 0.2 * width**-0.6 - 0.2 * resolution**-0.8 + 0.01 * math.sin(1e3 * depth + seed)


def choosing(trials: int, folder: Path) -> list[float]:
    """Seconds from one question to the next, the score's own left out."""
    asked = []
    baseline = NetworkBaseline(network("efficientnet_b0"))
    ask = Asker(score, Ledger(folder / "trials.jsonl", {"search": "benchmark"}))
    plan = Plan(trials=trials, steps=1)
    search_budget(baseline, parse(BUDGET), ask, plan, heard=lambda *_: asked.append(time.perf_counter()))
    return [after - before for before, after in itertools.pairwise(asked)]


def opening(rows: int, folder: Path, runs: int) -> float:
    """Seconds in which a ledger of so many answers opens."""
    path, subject = folder / "large.jsonl", {"search": "benchmark"}
    entry = Entry("k0", 0, 160, "efficientnet_b0-d1.2-w1.1-r1.15", 1.2, 1.1, 1.15, 0.5, "", 9_109_994, 992_629_472, 9.5)
    Ledger(path, subject).add(entry)
    with path.open("a") as file:
        for number in range(1, rows):
            file.write(json.dumps(asdict(entry) | {"key": f"k{number}"}) + "\n")
    return median_of(runs, lambda: Ledger(path, subject))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    baseline, budget = NetworkBaseline(network("efficientnet_b0")), parse(BUDGET)
    levels = 10
    limited = Limited(baseline, budget)

    def proposed() -> Proposals:
        return propose(limited, "dwr", COMPOUND, -(-given.candidates // levels), levels)

    made = proposed()
    seconds = median_of(given.runs, proposed)
    per = seconds * given.candidates / made.costed
    print(f"{made.costed:,} networks costed, {len(made):,} inside {BUDGET}: {seconds:.2f} s", end="; ")
    print(f"{given.candidates:,} at this pace: {per:.2f} s (at most {PROPOSED:g})")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gaps = choosing(given.trials, folder)
        last = statistics.median(gaps[-LAST:])
        print(
            f"choosing: median {statistics.median(gaps):.3f} s, of the last {LAST} of {given.trials} {last:.3f} s",
            end="",
        )
        print(f" (at most {CHOSEN:g})")
        opened = opening(given.rows, folder, given.runs)
        print(f"a ledger of {given.rows:,} answers opens in {opened:.2f} s (at most {OPENED:g})")
    grid = median_of(given.runs, lambda: coefficient_grid(baseline))
    print(f"the grid of coefficients of EfficientNet-B0: {grid:.2f} s")
    return 0 if per <= PROPOSED and last <= CHOSEN and opened <= OPENED else 1


if __name__ == "__main__":
    sys.exit(main())
