"""A training step of B0 beside a plain PyTorch loop over timm's: time in turns, and peak memory.

Both sides hold the same weights, use the same optimiser class and settings, the same dropout and drop connect, no EMA.
Ours is what `triscale train` runs for a step (schedule, guard against values that are not finite, counts of right
answers, memory that is kept between steps); theirs is forward, cross-entropy, backward, step, and reading the loss.
Each way has a process of its own, which does one step when its turn comes, so that none runs with another's settings.
Medians; ratios to the best of theirs: below 1 is faster, or less. Compile time is printed apart. "blocks again" and
"stages again" keep only the inputs of blocks or stages for the backward pass (activation checkpointing). Memory is the
peak of the resident size above what it was before the first step, with model, optimiser and images made; on a GPU, of
what PyTorch allocated.
Run: python benchmarks/train.py [--runs 30] [--size 128] [--batch 16] [--threads N] [--compile] [--memory]
     [--device cpu|cuda] [--precision fp32|bf16|fp16]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import peers

from triscale.models.create import create_model
from triscale.models.recompute import Recompute, recomputing
from triscale.models.weights import export_state_dict
from triscale.training.allocator import freed_memory_kept
from triscale.training.compiled import Compiled
from triscale.training.objective import Supervised
from triscale.training.optim import make_optimiser
from triscale.training.plan import plan_of
from triscale.training.prepare import training_mode
from triscale.training.recipe import Recipe
from triscale.training.scaling import LossScale
from triscale.training.step import Stepper

SIDES = ("timm", "triscale")
LAYOUTS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UP = 3
MEMORY_STEPS = 3
RATES = {"dropout": 0.2, "drop_connect": 0.2}  # B0's own
Step = Callable[[], float]


def our_step(given: argparse.Namespace, layout: str, how: str) -> Step:
    """One step of ours, ready to be called again and again."""
    again: Recompute = {"blocks again": "block", "stages again": "stage"}.get(how, "none")
    torch.manual_seed(0)
    recipe = Recipe(
        batch_size=given.batch, ema_decay=0.0, precision=given.precision, checkpoint_activations=again, **RATES
    )
    model = create_model(given.name)
    model.regularise(recipe.dropout, recipe.drop_connect)
    model.to(given.device, memory_format=LAYOUTS[layout])
    training_mode(model, recipe)
    plan = plan_of(recipe, given.batch * 1000)
    optimiser = make_optimiser(model, recipe.optimiser, plan.learning_rate, recipe.momentum, recipe.weight_decay)
    forever = contextlib.ExitStack()  # what `train` enters around its steps
    forever.enter_context(freed_memory_kept(again == "none"))
    forever.enter_context(recomputing(model, again))
    network = Compiled(model, lambda line: print(line, file=sys.stderr)) if how == "compiled" else model
    scale = LossScale() if given.precision == "fp16" else None
    step = Stepper(model, Supervised(recipe.label_smoothing), optimiser, recipe, plan, 1000, network, scale)
    images, labels = batch(given, layout)
    numbers = iter(range(10**9))

    def call() -> float:
        return step(next(numbers), images, labels, ()).loss if forever else 0.0

    return call


def their_step(given: argparse.Namespace, layout: str, how: str) -> Step:
    """One step of a plain loop over timm's network."""
    torch.manual_seed(0)
    recipe = Recipe(batch_size=given.batch)
    model = peers.timm().create_model(given.name, drop_rate=RATES["dropout"], drop_path_rate=RATES["drop_connect"])
    model.load_state_dict(export_state_dict(create_model(given.name), "timm"))
    model.to(given.device, memory_format=LAYOUTS[layout]).train()
    rate = plan_of(recipe, given.batch * 1000).learning_rate
    optimiser = make_optimiser(model, recipe.optimiser, rate, recipe.momentum, recipe.weight_decay)
    scaler = torch.amp.GradScaler(given.device, enabled=given.precision == "fp16")
    run = torch.compile(model) if how == "compiled" else model
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    images, labels = batch(given, layout)

    def step() -> float:
        optimiser.zero_grad(set_to_none=True)
        dtype = DTYPES.get(given.precision, torch.bfloat16)
        with torch.autocast(given.device, dtype, enabled=given.precision != "fp32"):
            loss = criterion(run(images).float(), labels)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        return loss.item()

    return step


def batch(given: argparse.Namespace, layout: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of one step, on the device."""
    made = torch.Generator().manual_seed(1)
    images = torch.randn(given.batch, 3, given.size, given.size, generator=made)
    labels = torch.randint(1000, (given.batch,), generator=made)
    return images.to(given.device, memory_format=LAYOUTS[layout]), labels.to(given.device)


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def timed(step: Step, device: str) -> float:
    """Milliseconds of one call."""
    finish(device)
    start = time.perf_counter()
    step()
    finish(device)
    return 1e3 * (time.perf_counter() - start)


def step_of(given: argparse.Namespace, way: str) -> Step:
    """The step of a way, which is "SIDE, LAYOUT, HOW"."""
    side, layout, how = way.split(", ")
    return (their_step if side == "timm" else our_step)(given, layout, how)


def serve(given: argparse.Namespace, way: str) -> None:
    """One step, and its milliseconds in a line, for each line that comes in."""
    step = step_of(given, way)
    for _ in sys.stdin:
        print(timed(step, given.device), flush=True)


class Worker:
    """A process that does the steps of one way."""

    def __init__(self, way: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--serve", way],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self) -> float:
        """Milliseconds of one step, done now."""
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()


def in_turns(ways: list[str], runs: int) -> dict[str, list[float]]:
    """Milliseconds of every run of each way, taking turns so that a busy moment of the machine meets all of them."""
    workers = {way: Worker(way) for way in ways}
    for way, worker in workers.items():  # one after the other: compiling takes all cores
        seconds = sum(worker.step() for _ in range(WARM_UP)) / 1e3
        if way.endswith("compiled"):
            print(f"{way}: {seconds:.0f} s for its first {WARM_UP} steps, nearly all of it compiling", flush=True)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        for way, worker in workers.items():
            times[way].append(worker.step())
    for worker in workers.values():
        worker.end()
    return times


def print_times(given: argparse.Namespace) -> None:
    """The table of step times: eager in both layouts, and compiled where asked."""
    kinds = ("eager", "compiled") if given.compile else ("eager",)
    ways = [f"{side}, {layout}, {how}" for side in SIDES for how in kinds for layout in LAYOUTS]
    ways += [f"triscale, channels last, {how}" for how in ("blocks again", "stages again")]
    times = in_turns(ways, given.runs)
    medians = {way: statistics.median(each) for way, each in times.items()}
    print(f"\n{'step':42} {'ms':>9} {'quartiles':>17}")
    for way, each in times.items():
        low, middle, high = statistics.quantiles(each, n=4)
        print(f"{way:42} {middle:9.1f} {low:8.1f} {high:8.1f}")
    for title, among in (("eager against eager", ("eager",)), ("best against best", kinds))[: len(kinds)]:
        best = {
            side: min((taken, way) for way, taken in medians.items() if way.startswith(side) and way.endswith(among))
            for side in SIDES
        }
        (ours, how), (theirs, other) = best["triscale"], best["timm"]
        ratio = statistics.median(mine / its for mine, its in zip(times[how], times[other], strict=True))
        print(f"{title}: {ours / theirs:.3f}  (median of the turns' own ratios {ratio:.3f}; {how} to {other})")


def peak_of(given: argparse.Namespace, way: str) -> int:
    """Bytes at the peak of the first steps above what was there before them; for a process of its own."""
    step = step_of(given, way)
    if given.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(MEMORY_STEPS):
            step()
        return torch.cuda.max_memory_allocated() - before
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
    before = resident("VmRSS")
    for _ in range(MEMORY_STEPS):
        step()
    return resident("VmHWM") - before


def resident(name: str) -> int:
    """Bytes that /proc says of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def print_memory(given: argparse.Namespace) -> None:
    """The table of peaks, each the median of fresh processes."""
    sides = [f"{side}, {layout}, eager" for side in SIDES for layout in LAYOUTS]
    sides += [f"triscale, channels last, {how}" for how in ("blocks again", "stages again")]
    peaks: dict[str, list[int]] = {side: [] for side in sides}
    for _ in range(given.rounds):
        for side in sides:
            command = [sys.executable, __file__, *sys.argv[1:], "--peak-of", side]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            peaks[side].append(json.loads(said.splitlines()[-1]))
    medians = {side: statistics.median(each) for side, each in peaks.items()}
    least = min(peak for side, peak in medians.items() if side.startswith("timm"))
    print(f"\n{'peak above the size before the first step':44} {'MB':>9} {'ratio to the least of timm':>28}")
    for side, peak in medians.items():
        print(f"{side:44} {peak / 1e6:9.1f} {peak / least:28.2f}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="efficientnet_b0", help="a name that timm has too")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="fresh processes for each peak")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="compiled steps too, each a minute or two to compile")
    parser.add_argument("--memory", action="store_true", help="peaks instead of times")
    parser.add_argument("--peak-of", help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Print what was asked for."""
    given = arguments()
    torch.set_num_threads(given.threads)
    if given.peak_of:
        print(json.dumps(peak_of(given, given.peak_of)))
        return
    if given.serve:
        serve(given, given.serve)
        return
    device = torch.cuda.get_device_name() if given.device == "cuda" else f"CPU, {given.threads} threads"
    versions = f"PyTorch {torch.__version__}, timm {peers.timm().__version__}"
    print(f"{given.name}, {given.size} px, batch {given.batch}, {given.precision}, {device}; {versions}", flush=True)
    if given.memory:
        print_memory(given)
    else:
        print_times(given)


if __name__ == "__main__":
    main()
