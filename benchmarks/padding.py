"""What SAME padding costs: tf_ weights with our static pads, beside the peers that pad a copy of every strided input.

Four ways with the same weights, fp32, evaluation, unfused: ours with the pads worked out for one size (`fixed`), ours
for any size, timm's tf_ network, efficientnet_pytorch's; and ours with symmetric padding, which pads nothing unevenly.
Interleaved; medians; ratios to timm: below 1 is faster.
Run: python benchmarks/padding.py [--name efficientnet_b0] [--runs 60] [--size 224] [--batch 1 16] [--threads N]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forward import interleaved
from tests import peers

from triscale.models.create import create_model
from triscale.models.weights import export_state_dict

SHOWN = "NCHW"


def models(name: str, size: int) -> dict[str, nn.Module]:
    """Label -> a network; all hold the same weights."""
    torch.manual_seed(0)
    ours = create_model(f"tf_{name}")
    tensors = ours.state_dict()

    def copied(padding: str) -> nn.Module:
        made = create_model(replace(ours.network, numerics=replace(ours.network.numerics, padding=padding)))
        made.load_state_dict(tensors)
        return made

    fixed = copied("same")
    fixed.fixed(size)
    timms = peers.timm().create_model(f"tf_{name}").eval()
    timms.load_state_dict(export_state_dict(ours, "timm"))
    lukemelas = peers.efficientnet_pytorch().EfficientNet.from_name(name.replace("_", "-"), image_size=None).eval()
    lukemelas.load_state_dict(export_state_dict(ours, "efficientnet_pytorch"))
    return {
        "timm, SAME of any size": timms,
        "efficientnet_pytorch, SAME of any size": lukemelas,
        "triscale, SAME of one size": fixed,
        "triscale, SAME of any size": ours,
        "triscale, symmetric": copied("symmetric"),
    }


def calls(made: dict[str, nn.Module], images: torch.Tensor) -> dict[tuple[str, str], Callable[[], torch.Tensor]]:
    return {(label, SHOWN): lambda model=model: model(images) for label, model in made.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="efficientnet_b0", help="of V1, which all three libraries have")
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    made = models(given.name, given.size)
    print(f"tf_{given.name} at {given.size} px, {given.threads} threads, PyTorch {torch.__version__}")
    with torch.inference_mode():
        for batch in given.batch:
            ways = calls(made, torch.randn(batch, 3, given.size, given.size))
            same = [way() for (label, _), way in ways.items() if "SAME" in label]
            worst = max((each - same[0]).abs().max() for each in same) / same[0].abs().max()
            medians = interleaved(ways, given.runs if batch == 1 else max(10, given.runs // 4))
            reference = medians["timm, SAME of any size", SHOWN]
            print(f"\nbatch {batch:<38} {'ms':>9} {'ratio to timm':>14}")
            for (label, _), median in medians.items():
                print(f"  {label:42} {median:9.2f} {median / reference:14.2f}")
            print(f"  with SAME padding, answers are at most {worst:.1e} (relative) apart")


if __name__ == "__main__":
    main()
