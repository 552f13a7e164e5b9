"""What the searches of the preset `tiny` find on real images, and what they take.

Two sets, of which 20 images a class are trained on: MNIST 5k ("digits"), and grey pieces of eighteen photographs
("pieces", of grow.py). Of each: `search coefficients` and `search budget` with --honesty later, then the same commands
with now, each timed: 20, 15 and twice 15 minutes are allowed. Then the found network file is given to scale, fit and
export. It prints the curves of scaling, with three seeds each, for docs/benchmarks.md; with --pictures it writes their
drawings too.

The same command goes on where it stopped; then the times are those of what was left.
Run: python benchmarks/search_images.py [--out runs/search] [--only digits|pieces] [--baseline mobilenetv3_small_100]
                                        [--budget macs<=10M] [--pictures docs/pictures]
Exit 1 above a limit.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grow
from triscale import atomic
from triscale.cli.main import main as triscale
from triscale.data.demo import mnist5k
from triscale.spec.files import read_network
from triscale.spec.limits import counted, quantity

ALLOWED = {"coefficients": 20 * 60, "budget": 15 * 60, "honesty": 15 * 60}  # seconds


def run(*words: object) -> float:
    """One command of triscale, printed first. Returns: the seconds that it took."""
    given = [str(word) for word in words]
    print(f"\n$ triscale {shlex.join(given)}", flush=True)
    began = time.perf_counter()
    if code := triscale(given):
        sys.exit(code)
    return time.perf_counter() - began


def pieces(folder: Path) -> Path:
    """The pieces of grow.py as an image folder, train and test."""
    if (folder / "test").is_dir():
        return folder
    flat = folder.with_name(f"{folder.name}-flat")
    shutil.rmtree(flat, ignore_errors=True)
    flat.mkdir(parents=True)
    task = grow.crops(flat)
    for split, samples in (("train", task.train), ("test", task.held_out)):
        for sample in samples:
            place = folder / f".{split}" / task.classes[sample.label]
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(sample.path, place)
        (folder / f".{split}").rename(folder / split)
    return folder


def curves(found: dict[str, Any]) -> list[str]:
    """A table of the ways of scaling, at each cost."""
    told = found["curves"]
    seeds, noise = told["seeds"], told["noise"]
    lines = [
        f"{told['steps']} steps, {seeds} seeds; one score has a standard deviation of {noise:.2%}",
        f"| way | MACs | top-1 on validation images, mean of {seeds} |",
        "|---|---|---|",
        f"| the baseline | | {told['baseline']['mean']:.1%} |",
    ]
    for point in told["points"]:
        score = "failed" if point["score"] is None else f"{point['score']['mean']:.1%}"
        lines.append(f"| {point['way']} | {point['macs'] / 1e6:.1f}M | {score} |")
    return lines


def picture(page: Path, file: Path) -> None:
    """The last drawing of a page, the curves of scaling, as a file of its own."""
    drawings = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    atomic.write_text(file, drawings[-1] + "\n")


def checked(network: Path, data: Path, folder: Path) -> None:
    """That scale, fit and export take what a search found."""
    own = counted(read_network(network))
    half = quantity("macs", own["macs"] / 2)
    run("scale", network, "--to", f"macs<={half}", "--out", folder / "half.json")
    run("export", network, folder / "found.onnx")
    whole = quantity("macs", own["macs"], up=True)
    run("fit", data, "--network", network, "--budget", f"macs<={whole}", "--epochs", 1, "--out", folder / "fitted")


def searched(part: str, data: Path, folder: Path, more: list[object]) -> tuple[bool, dict[str, Any]]:
    """A search without and with its comparisons; whether both were in time, and what was found."""
    command = ["search", part, data, *more, "--preset", "tiny", "--out", folder]
    alone, compared = (run(*command, "--honesty", honesty) for honesty in ("later", "now"))
    result = json.loads((folder / ("coefficients.json" if part == "coefficients" else "search.json")).read_text())
    ok = alone <= ALLOWED[part] and compared <= ALLOWED["honesty"]
    print(
        f"{part}: {alone / 60:.1f} minutes (at most {ALLOWED[part] / 60:.0f}), compared in {compared / 60:.1f} "
        f"(at most {ALLOWED['honesty'] / 60:.0f}): {'in time' if ok else 'TOO LONG'}\n{result['headline']}",
        flush=True,
    )
    return ok, result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/search"))
    parser.add_argument("--only", choices=("digits", "pieces"))
    parser.add_argument("--baseline", default="mobilenetv3_small_100")
    parser.add_argument("--budget", default="macs<=10M")
    parser.add_argument("--pictures", type=Path)
    given = parser.parse_args()
    made: dict[str, Callable[[Path], Path]] = {"digits": mnist5k, "pieces": pieces}
    ok = True
    for name, make in made.items():
        if given.only in (None, name):
            folder = given.out / name
            data, baseline = make(folder / "images"), ["--baseline", given.baseline]
            first, found = searched("coefficients", data, folder / "coefficients", baseline)
            print("\n".join(curves(found)))
            if given.pictures is not None:
                page = folder / "coefficients" / "report.html"
                picture(page, given.pictures / f"search_curves_{name}.svg")
            second, _ = searched("budget", data, folder / "budget", [*baseline, "--budget", given.budget])
            for part in ("coefficients", "budget"):
                checked(folder / part / "network.json", data, folder / f"{part}-checked")
            ok = ok and first and second
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
