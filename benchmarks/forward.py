"""Forward pass of B0 beside timm's tf_efficientnet_b0: the same weights, fp32, evaluation, both memory formats.

Interleaved; medians. The last lines compare each of ours with timm in its best memory format: below 1 is faster.
Run: python benchmarks/forward.py [--runs 60] [--size 224] [--batch 1 16] [--threads N] [--name efficientnet_b0]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import peers

from triscale.deployment.fuse import fuse
from triscale.models.create import create_model
from triscale.models.weights import export_state_dict

FORMATS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
WARM_UP = 5


def models(name: str, size: int) -> dict[str, Callable[[], nn.Module]]:
    """Label -> a maker of a model; all hold the same weights."""
    torch.manual_seed(0)
    ours = create_model(f"tf_{name}")
    theirs = peers.timm().create_model(f"tf_{name}").eval()
    theirs.load_state_dict(export_state_dict(ours, "timm"))

    def copied() -> nn.Module:
        copy = create_model(ours.network)
        copy.load_state_dict(ours.state_dict())
        return copy

    def timms() -> nn.Module:
        copy = peers.timm().create_model(f"tf_{name}").eval()
        copy.load_state_dict(theirs.state_dict())
        return copy

    return {"timm": timms, "triscale": copied, "triscale, fused": lambda: fuse(ours, size)}


def ways_to_run(name: str, size: int, batch: int) -> dict[tuple[str, str], Callable[[], torch.Tensor]]:
    """(label, memory format) -> a call that runs one batch."""
    images = torch.randn(batch, 3, size, size)
    ways: dict[tuple[str, str], Callable[[], torch.Tensor]] = {}
    for label, make in models(name, size).items():
        for layout, memory_format in FORMATS.items():
            model = make()
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.ndim == 4:
                    tensor.data = tensor.data.contiguous(memory_format=memory_format)
            batch_of_images = images.contiguous(memory_format=memory_format)
            ways[label, layout] = lambda model=model, x=batch_of_images: model(x)
    return ways


def interleaved(ways: dict[tuple[str, str], Callable[[], torch.Tensor]], runs: int) -> dict[tuple[str, str], float]:
    """Median milliseconds of each way, taking turns so that a busy moment of the machine meets all of them."""
    times: dict[tuple[str, str], list[float]] = {label: [] for label in ways}
    for turn in range(WARM_UP + runs):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= WARM_UP:
                times[label].append(1e3 * (time.perf_counter() - start))
    return {label: statistics.median(taken) for label, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="efficientnet_b0")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    versions = f"PyTorch {torch.__version__}, timm {peers.timm().__version__}"
    print(f"{given.name} at {given.size} px, {given.threads} threads, {versions}")
    with torch.inference_mode():
        for batch in given.batch:
            ways = ways_to_run(given.name, given.size, batch)
            answers = {label: way() for label, way in ways.items()}
            reference = answers["timm", "NCHW"]
            worst = max((each - reference).abs().max() for each in answers.values()) / reference.abs().max()
            medians = interleaved(ways, given.runs if batch == 1 else max(10, given.runs // 4))
            best = min(taken for (label, _), taken in medians.items() if label == "timm")
            print(f"\nbatch {batch:<36} {'ms':>9} {'ratio to the best of timm':>27}")
            for (label, layout), median in medians.items():
                print(f"  {label + ', ' + layout:40} {median:9.2f} {median / best:27.2f}")
            print(f"  answers are at most {worst:.1e} (relative) apart")


if __name__ == "__main__":
    main()
