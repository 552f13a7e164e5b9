"""Random budgets for modules that nobody described: are they kept, how much of each is used, and what it takes.

For each of the eight kinds in tests/modules/nets.py: budgets of one word, evenly spread on a logarithmic scale from the
smallest that the module can become to four times what it is. Each is solved, built, proven and counted again.

Run: python benchmarks/modules.py [--budgets 40] [--word macs] [--seed 0] [--kinds resnet vgg] [--size 32]
Exit code 1 when a budget is exceeded, or when less than 95 % of one is used.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.modules.nets import KINDS, image

from triscale import module_cost, scale_module
from triscale.modules.plan import STEPS, Analysis, analyse
from triscale.modules.solve import SMALLEST, solve
from triscale.modules.trace import analysis_copy
from triscale.spec.limits import COUNTED, Budget

ENOUGH = 0.95


def limits(analysis: Analysis, word: str, count: int, seed: str) -> list[float]:
    """Random budgets from the smallest that can be reached to four times the module."""
    dice = random.Random(seed)
    low = analysis.cost(analysis.plan(SMALLEST, SMALLEST, STEPS[-1])).values()[word]
    high = 4 * analysis.cost(analysis.plan()).values()[word]
    return [math.exp(dice.uniform(math.log(low), math.log(high))) for _ in range(count)]


def row(kind: str, module: nn.Module, example: torch.Tensor, word: str, count: int, seed: int) -> tuple[str, bool]:
    """One line of the table, and whether all that it says is as it should be."""
    begin = time.perf_counter()
    analysis = analyse(analysis_copy(module), example, tie_depth=True)
    analysing = time.perf_counter() - begin
    uses, solving, whole = [], 0.0, 0.0
    unit = "B" if word == "memory" else ""
    for limit in limits(analysis, word, count, f"{kind} {seed}"):
        begin = time.perf_counter()
        solve(analysis, Budget({word: limit}), {}, kind)
        solving += time.perf_counter() - begin
        begin = time.perf_counter()
        made = scale_module(module, example, to=f"{word}<={limit!r}{unit}", recognise=False)
        whole += time.perf_counter() - begin
        uses.append(module_cost(made, example).values()[word] / limit)
    inside, used = sum(use <= 1 for use in uses), sum(use >= ENOUGH for use in uses)
    return (
        f"{kind:14} {inside:6}/{count} {used:6}/{count} {min(uses):8.2%} {sum(uses) / count:8.2%} "
        f"{1e3 * analysing:9.0f} {1e3 * solving / count:8.1f} {1e3 * whole / count:8.0f}"
    ), inside == used == count


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", type=int, default=40)
    parser.add_argument("--word", choices=COUNTED, default="macs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--size", type=int, default=32, help="pixels on each side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(
        f"{'kind':14} {'inside':>9} {'>= 95 %':>9} {'least':>8} {'mean':>8} {'analyse':>9} {'solve':>8} {'in all':>8}"
    )
    print(f"{'':14} {'':>9} {'':>9} {'':>8} {'':>8} {'ms':>9} {'ms':>8} {'ms':>8}")
    fine = True
    for kind in options.kinds:
        example = image(size=options.size)
        line, good = row(kind, KINDS[kind](), example, options.word, options.budgets, options.seed)
        print(line, flush=True)
        fine &= good
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
