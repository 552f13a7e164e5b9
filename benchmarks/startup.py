"""How long a user waits for the commands that need no torch: fresh processes, interleaved, medians.

Run: python benchmarks/startup.py [--rounds 7]. The requirement is 0.5 s for each.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "list": ["list"],
    "info": ["info", "efficientnet_b0", "--blocks"],
    "scale": ["scale", "efficientnet_b0", "--to", "macs<=1G, params<=8M"],
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    taken: dict[str, list[float]] = {name: [] for name in ["python -c pass", *COMMANDS]}
    for _ in range(rounds):
        for name, seconds in taken.items():
            command = ["-c", "pass"] if name not in COMMANDS else ["-m", "triscale", *COMMANDS[name]]
            start = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
    print(f"median of {rounds} fresh processes, seconds (least, most)")
    for name, seconds in taken.items():
        print(f"{name:16} {statistics.median(seconds):6.3f}  ({min(seconds):.3f}, {max(seconds):.3f})")


if __name__ == "__main__":
    main()
