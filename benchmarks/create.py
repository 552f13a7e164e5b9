"""How long making a network takes beside timm: fresh weights on the CPU, and on the meta device (shapes alone).

Interleaved; medians. The requirements: not slower than timm's on the CPU, and B7 on the meta device in 0.2 s.
Run: python benchmarks/create.py [--runs 7] [--names efficientnet_b0 efficientnet_b7]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import peers

from triscale.models.create import create_model

META_LIMIT = 0.2  # seconds, for B7


def seconds(make: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    with torch.device(device):
        make()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--names", nargs="+", default=["efficientnet_b0", "efficientnet_b7", "efficientnetv2_m"])
    given = parser.parse_args()
    timm = peers.timm()
    print(f"PyTorch {torch.__version__}, timm {timm.__version__}, {torch.get_num_threads()} threads; medians")
    print(f"{'':22} {'device':7} {'triscale':>10} {'timm':>10} {'ratio':>7}")
    for name in given.names:
        makers = {"triscale": lambda name=name: create_model(name), "timm": lambda name=name: timm.create_model(name)}
        for device in ("cpu", "meta"):
            taken: dict[str, list[float]] = {label: [] for label in makers}
            for turn in range(given.runs + 1):
                for label, make in makers.items():
                    spent = seconds(make, device)
                    if turn:
                        taken[label].append(spent)
            ours, theirs = (statistics.median(taken[label]) for label in ("triscale", "timm"))
            limit = f"  (limit {META_LIMIT} s)" if device == "meta" and name == "efficientnet_b7" else ""
            print(f"{name:22} {device:7} {1e3 * ours:7.0f} ms {1e3 * theirs:7.0f} ms {ours / theirs:7.2f}{limit}")


if __name__ == "__main__":
    main()
