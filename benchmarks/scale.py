"""Seconds to scale and cost 1,000 networks, and milliseconds to fit a budget, for every network that has a name.

Every budget is solved with all caches of spec/ empty, as in a process that has just begun; the 1,000 networks are
another random (depth, width, resolution) each. Times are CPU seconds of this process (one thread), so that what else
runs on the machine counts as little as possible. benchmarks/cost.py measures 100,000 candidates.

Run: python benchmarks/scale.py [--rounds 5] [--seed 0] [--all]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import random
import statistics
import time

import triscale.spec.cost
import triscale.spec.network
import triscale.spec.operations
import triscale.spec.scaling
from triscale.errors import BudgetError
from triscale.spec.budget import solution
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network
from triscale.spec.limits import Budget, counted
from triscale.spec.network import Network
from triscale.spec.rules import RULES
from triscale.spec.scaling import scale

NETWORKS, REQUIRED_SECONDS, REQUIRED_MILLISECONDS = 1_000, 0.2, 50.0
FACTORS = (0.5, 0.9, 2.0, 5.0)  # of what the baseline costs


def forget() -> None:
    """Empty every cache of spec/, as in a process that has just begun."""
    for module in (triscale.spec.cost, triscale.spec.network, triscale.spec.operations, triscale.spec.scaling):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def thousand(base: Network, dice: random.Random) -> float:
    """Seconds to scale and cost NETWORKS random networks of a family, caches cold."""
    wanted = [(dice.uniform(0.5, 2.6), dice.uniform(0.5, 1.8), dice.uniform(0.4, 2.4)) for _ in range(NETWORKS)]
    forget()
    start = time.process_time()
    for multipliers in wanted:
        cost(scale(base, *multipliers))
    return time.process_time() - start


def budgets(base: Network) -> list[Budget]:
    own = counted(base)
    single = [Budget({word: factor * own[word]}) for word in ("macs", "params") for factor in FACTORS]
    return [*single, Budget({"macs": 3 * own["macs"], "params": 1.5 * own["params"]})]


def fits(base: Network) -> list[float]:
    """Milliseconds for each budget, by compound scaling and by the fast rule, caches cold."""
    taken = []
    for budget in budgets(base):
        for rule in ("compound", "fast"):
            forget()
            start = time.process_time()
            with contextlib.suppress(BudgetError):  # a refusal takes its time too
                solution(base, budget, rule=RULES[rule])
            taken.append(1e3 * (time.process_time() - start))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="a line for every network, not only the slowest ten")
    arguments = parser.parse_args()
    dice, rows = random.Random(arguments.seed), []
    names = [name for name in list_networks() if not name.startswith("tf_")]  # the others are the same but in numerics
    gc.disable()  # a collection is the process's, not one network's
    for name in names:
        base, seconds, milliseconds = network(name), [], []
        for _ in range(arguments.rounds):
            seconds.append(thousand(base, dice))
            milliseconds.append(fits(base))
            gc.collect()
        medians = [statistics.median(each) for each in zip(*milliseconds, strict=True)]
        rows.append((name, statistics.median(seconds), statistics.median(medians), max(medians)))
    print(f"{len(names)} networks, seed {arguments.seed}, one core, medians of {arguments.rounds} rounds, caches cold")
    print(f"{'':28}{f'{NETWORKS:,} networks':>16}{'budget: median':>18}{'slowest of ' + str(len(medians)):>18}")
    shown = rows if arguments.all else sorted(rows, key=lambda row: -row[3])[:10]
    for name, second, typical, slowest in shown:
        print(f"{name:28}{second:14.3f} s{typical:15.1f} ms{slowest:15.1f} ms")
    second, slowest = max(row[1] for row in rows), max(row[3] for row in rows)
    met = {True: "met", False: "NOT met"}
    print(f"at most {second:.3f} s; required: {REQUIRED_SECONDS:g} s: {met[second <= REQUIRED_SECONDS]}")
    print(f"at most {slowest:.1f} ms; required: {REQUIRED_MILLISECONDS:g} ms: {met[slowest <= REQUIRED_MILLISECONDS]}")


if __name__ == "__main__":
    main()
