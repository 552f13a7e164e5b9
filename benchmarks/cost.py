"""Networks costed per second on one core, memory included, beside what counts the same networks by running them.

Every network is another random (depth, width, resolution) of EfficientNet-B0, costed once (and of EfficientDet-D0 at
the end, without peers). The peers get the module ready built, where they can on the meta device, on which a forward
pass does no arithmetic (fvcore traces, which needs real tensors); they count MACs (torchinfo: parameters and sizes
too). Missing peers are left out; torchinfo and fvcore are no part of any extra:
pip install -c constraints.txt torchinfo fvcore

Times are CPU seconds of this process (one thread), so that what else runs on the machine counts as little as possible.

Run: python benchmarks/cost.py [--rounds 7] [--seed 0]
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

import triscale.spec.detector_parts
import triscale.spec.network
import triscale.spec.operations
import triscale.spec.parts
import triscale.spec.scaling
from triscale.models.assembler import ConvNet
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.families import network
from triscale.spec.families.efficientdet import detector
from triscale.spec.limits import Budget, parse
from triscale.spec.network import Network
from triscale.spec.scaling import scale

BASE = network("efficientnet_b0")
REQUIRED_PER_SECOND, REQUIRED_SECONDS = 30_000, 5.0
PER_ROUND, PEERS_PER_ROUND, CANDIDATES = 10_000, 2, 100_000
BUDGET = parse("macs<=1G, params<=8M, memory<=60MB")
DETECTOR, DETECTOR_BUDGET = detector("efficientdet_d0"), parse("macs<=5G, params<=6M, memory<=100MB")

Multipliers = tuple[float, float, float]
Counter = Callable[[ConvNet, torch.Tensor], float]


def multipliers(dice: random.Random, number: int) -> list[Multipliers]:
    """Random (depth, width, resolution): about B0 to B6, and as far to the small side."""
    return [(dice.uniform(0.5, 2.6), dice.uniform(0.5, 1.8), dice.uniform(0.4, 2.4)) for _ in range(number)]


def forget() -> None:
    """Empty every cache of spec/, as in a process that has just begun."""
    spec = triscale.spec
    for module in (spec.parts, spec.detector_parts, spec.network, spec.operations, spec.scaling):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def torch_counter(model: ConvNet, image: torch.Tensor) -> float:
    with FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() / 2


def torchinfo_summary(model: ConvNet, image: torch.Tensor) -> float:
    import torchinfo  # ty: ignore[import-not-found]

    return torchinfo.summary(model, input_data=image, device=image.device, verbose=0).total_mult_adds


def fvcore_analysis(model: ConvNet, image: torch.Tensor) -> float:
    from fvcore.nn import FlopCountAnalysis  # ty: ignore[import-not-found]

    analysis = FlopCountAnalysis(model, image).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    counted = analysis.by_operator()
    return counted["conv"] + counted["linear"] + counted["addmm"]


def peers() -> dict[str, Counter]:
    known: dict[str, tuple[str, Counter]] = {
        "torch FlopCounterMode": ("torch", torch_counter),
        "torchinfo summary": ("torchinfo", torchinfo_summary),
        "fvcore FlopCountAnalysis": ("fvcore", fvcore_analysis),
    }
    missing = [package for package, _ in known.values() if importlib.util.find_spec(package) is None]
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    return {name: counter for name, (package, counter) in known.items() if package not in missing}


def seconds_each(function: Callable[[], object], number: int) -> float:
    start = time.process_time()
    function()
    return (time.process_time() - start) / number


def candidates(dice: random.Random, base: Network | Detector, budget: Budget) -> tuple[float, int]:
    """Seconds to scale, cost and filter CANDIDATES of a base, and how many are inside the budget."""
    wanted = multipliers(dice, CANDIDATES)
    forget()
    start, inside = time.process_time(), 0
    for each in wanted:
        own = cost(scale(base, *each))
        inside += all(getattr(own, word) <= limit for word, limit in budget.limits.items())
    return time.process_time() - start, inside


def costed(networks: Sequence[Network]) -> None:
    for each in networks:
        cost(each)


def measure(dice: random.Random, rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds per network of every way, round by round, and the largest relative difference of each peer's MACs."""
    known = peers()
    times: dict[str, list[float]] = {name: [] for name in ("triscale, warm", "triscale, cold", *known)}
    differences = dict.fromkeys(known, 0.0)
    for counter in known.values():  # imports and first calls
        counter(ConvNet(BASE).eval(), torch.empty(1, 3, 32, 32))
    for _ in range(rounds):
        cold, warm = ([scale(BASE, *m) for m in multipliers(dice, PER_ROUND)] for _ in range(2))
        forget()
        times["triscale, cold"].append(seconds_each(lambda nets=cold: costed(nets), PER_ROUND))
        times["triscale, warm"].append(seconds_each(lambda nets=warm: costed(nets), PER_ROUND))
        for net in warm[:PEERS_PER_ROUND]:
            for name, counter in known.items():
                device = "cpu" if counter is fvcore_analysis else "meta"
                model, image = ConvNet(net, device=device).eval(), torch.empty(1, 3, *net.resolution, device=device)
                start = time.process_time()
                with torch.inference_mode():
                    macs = counter(model, image)
                times[name].append(time.process_time() - start)
                differences[name] = max(differences[name], abs(macs / cost(net).macs - 1))
    return times, differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' own
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    dice = random.Random(arguments.seed)
    times, differences = measure(dice, arguments.rounds)
    reference = statistics.median(times["triscale, warm"])
    print(f"networks of {BASE.name}, seed {arguments.seed}, one core, medians of {arguments.rounds} interleaved rounds")
    print(f"{'':26}{'networks/s':>12}{'x slower':>12}   MACs differ at most by")
    for name, measured in times.items():
        median = statistics.median(measured)
        differ = f"{differences[name]:10.2%}" if name in differences else f"{'-':>10}"
        print(f"{name:26}{1 / median:12,.1f}{median / reference:12,.1f}   {differ}")
    verdict = "met" if 1 / reference >= REQUIRED_PER_SECOND else "NOT met"
    print(f"required: {REQUIRED_PER_SECOND:,} networks/s with memory included: {verdict}")
    runs = [candidates(dice, BASE, BUDGET) for _ in range(3)]
    taken, inside = statistics.median(run[0] for run in runs), runs[-1][1]
    verdict = "met" if taken <= REQUIRED_SECONDS else "NOT met"
    print(
        f"{CANDIDATES:,} candidates scaled, costed and filtered, caches cold: {taken:.2f} s; {inside:,} inside {BUDGET}"
    )
    print(f"required: {REQUIRED_SECONDS:g} s: {verdict}")
    taken, inside = candidates(dice, DETECTOR, DETECTOR_BUDGET)
    print(f"as many of {DETECTOR.name}: {taken:.2f} s; {inside:,} inside {DETECTOR_BUDGET}")


if __name__ == "__main__":
    main()
