"""A detector on a CPU beside effdet's: the network, what its fusions cost, and the way from an image file to boxes.

Network: the same weights in both, fp32, batch 1, BatchNorm folded into the convolutions on both sides, both memory
formats; the ratio is to effdet's best. Fusion: the pyramid alone with fast, softmax and sum fusion, folded.
From file to boxes: decoding, preprocessing, network, suppression and mapping back, each with its share; their sum is
within 5 % of the time of the whole. Exported: the file without suppression and with it through ONNX Runtime and
OpenVINO, beside the folded network with the same end. Takes turns; medians.
Run: python benchmarks/detect.py [--name efficientdet_d0] [--size 512] [--runs 30] [--threads N]
Exit code 1 when the network takes more than 0.9 of effdet's time, or the parts do not add up.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.detection.helpers import effdet_model, shaken

from triscale.data.images import open_image
from triscale.data.transforms import needed_size, preprocess
from triscale.deployment.engine import load_engine
from triscale.deployment.export import Form, export
from triscale.detection.create import create_detector
from triscale.detection.detect import detections, to_image
from triscale.detection.detector import DetectorNet
from triscale.detection.fold import fold
from triscale.detection.weights import export_state_dict
from triscale.models.fold import folded
from triscale.spec.families.efficientdet import detector
from triscale.spec.placement import place

T = TypeVar("T")

FORMATS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
WARM_UP = 5
TARGET = 0.9
PHOTOGRAPH = (1200, 1600)  # (H, W) of the JPEG that is read


class FoldedHead(nn.Module):
    """effdet's head with a pointwise convolution for each level, as its BatchNorms are."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.depthwise = nn.ModuleList(conv.conv_dw for conv in head.conv_rep)
        self.pointwise = nn.ModuleList(
            nn.ModuleList(with_norm(conv.conv_pw, norm.bn) for norm in norms)
            for conv, norms in zip(head.conv_rep, head.bn_rep, strict=True)
        )
        self.act, self.predict = head.act, head.predict

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """One answer for each level, as effdet's."""
        answers = []
        for level, x in enumerate(maps):
            for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
                x = self.act(pointwise[level](depthwise(x)))
            answers.append(self.predict(x))
        return answers


def with_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A copy of `conv` that does what `norm` does behind it."""
    made = copy.deepcopy(conv)
    weight, bias = folded(conv, norm)
    made.weight, made.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    return made


def fold_effdet(model: nn.Module) -> nn.Module:
    """A copy of effdet's detector without BatchNorms."""
    made = copy.deepcopy(model)
    made.class_net, made.box_net = FoldedHead(made.class_net), FoldedHead(made.box_net)
    for module in list(made.modules()):
        children = list(module.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, with_norm(conv, norm))
                setattr(module, norm_name, getattr(norm, "act", nn.Identity()))  # timm's BatchNorms keep an activation
    assert not any(isinstance(module, nn.BatchNorm2d) for module in made.modules())
    return made.eval()


def medians(ways: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median milliseconds of each way, taking turns so that a busy moment of the machine meets all of them."""
    times: dict[str, list[float]] = {label: [] for label in ways}
    for turn in range(WARM_UP + runs):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= WARM_UP:
                times[label].append(1e3 * (time.perf_counter() - start))
    return {label: statistics.median(taken) for label, taken in times.items()}


def network(model: DetectorNet, name: str, size: int, runs: int) -> float:
    """Print both networks' times; our best over effdet's best."""
    peer = effdet_model(f"tf_{name}", (size, size), export_state_dict(model))
    ours, theirs = fold(model), fold_effdet(peer)
    ours.fixed(size)
    images = torch.randn(1, 3, size, size)
    ways = {}
    for layout, memory_format in FORMATS.items():
        x = images.to(memory_format=memory_format)
        for label, module in (("effdet", theirs), ("triscale", ours)):
            placed = copy.deepcopy(module).to(memory_format=memory_format)
            ways[f"{label}, {layout}"] = lambda placed=placed, x=x: placed(x)
    expected, found = peer(images)[0][0].permute(0, 2, 3, 1).flatten(), ours(images)[0].flatten()
    apart = (found[: len(expected)] - expected).abs().max() / expected.abs().max()
    taken = medians(ways, runs)
    best = {label: min(ms for way, ms in taken.items() if way.startswith(label)) for label in ("effdet", "triscale")}
    print(f"\n{'network, BatchNorm folded':36} {'ms':>9} {'ratio to the best of effdet':>30}")
    for label, ms in taken.items():
        print(f"  {label:34} {ms:9.2f} {ms / best['effdet']:30.2f}")
    print(f"  answers are at most {apart:.1e} (relative) apart")
    return best["triscale"] / best["effdet"]


def fusions(name: str, size: int, runs: int) -> None:
    """Print what the three ways of combining maps cost; the paper has fast ones up to 1.3 times as fast as softmax."""
    made, ways = detector(name), {}
    for fusion in ("fast", "softmax", "sum"):
        model = DetectorNet(replace(made, pyramid=replace(made.pyramid, fusion=fusion))).eval()
        ready = fold(model).to(memory_format=torch.channels_last)
        maps = ready.backbone.features(torch.randn(1, 3, size, size).to(memory_format=torch.channels_last))
        fed = [maps[2**level] for level in made.fed_levels]
        ways[fusion] = lambda ready=ready, fed=fed: ready.pyramid(fed)
    taken = medians(ways, runs)
    print(f"\n{'pyramid, channels last':36} {'ms':>9} {'softmax over it':>30}")
    for label, ms in taken.items():
        print(f"  {label:34} {ms:9.2f} {taken['softmax'] / ms:30.2f}")


def from_file(model: DetectorNet, size: int, runs: int, path: Path) -> float:
    """Print the parts of the way from a JPEG to boxes in it; their sum over the time of the whole."""
    ready = fold(model).to(memory_format=torch.channels_last)
    ready.fixed(size)
    how, rule, anchors = (
        replace(model.preprocessing, size=(size, size)),
        model.detector.suppression,
        model.anchors(size),
    )
    times: dict[str, list[float]] = {}

    def timed(label: str, part: Callable[[], T]) -> T:
        start = time.perf_counter()
        made = part()
        times.setdefault(label, []).append(1e3 * (time.perf_counter() - start))
        return made

    def whole() -> None:
        image = timed("decoding", lambda: open_image(path, needed_size(how, how.size)))
        x = timed("preprocessing", lambda: preprocess(image, how)[None].to(memory_format=torch.channels_last))
        logits, offsets = timed("network", lambda: ready(x))
        found = timed("suppression", lambda: detections(logits, offsets, anchors, how.size, rule))
        placed = place(how, image.size[::-1]).of_original(image.size[::-1], PHOTOGRAPH)
        timed("mapping back", lambda: to_image(found[0], placed, PHOTOGRAPH))

    for _ in range(WARM_UP + runs):
        timed("the whole", whole)
    taken = {label: statistics.median(each[WARM_UP:]) for label, each in times.items()}
    total = taken.pop("the whole")
    print(f"\n{f'from a {PHOTOGRAPH[1]} x {PHOTOGRAPH[0]} JPEG to boxes':36} {'ms':>9} {'share':>30}")
    for label, ms in taken.items():
        print(f"  {label:34} {ms:9.2f} {ms / total:30.1%}")
    print(f"  {'the whole':34} {total:9.2f}")
    return sum(taken.values()) / total


def exported(model: DetectorNet, size: int, runs: int, threads: int) -> None:
    """Print both forms of the exported file, by engine, with the ratio to the folded network in PyTorch.

    Without suppression a file gives boxes and scores of all anchors, PyTorch its raw answers.
    """
    ready = fold(model).to(memory_format=torch.channels_last)
    ready.fixed(size)
    images = torch.randn(1, 3, size, size)
    x, array = images.to(memory_format=torch.channels_last), images.numpy()
    anchors, rule = model.anchors(size), model.detector.suppression
    eager: dict[Form, Callable[[], object]] = {
        "out": lambda: ready(x),
        "in": lambda: detections(*ready(x), anchors, (size, size), rule),
    }
    print(f"\n{'exported':42} {'ms':>9} {'ratio to PyTorch':>24}")
    for form, told in (("out", "without suppression"), ("in", "with suppression")):
        ways = {"PyTorch, folded": eager[form]}
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".onnx", ".xml"):
                path = export(model, Path(folder) / f"model{suffix}", size=size, suppression=form).path
                engine = load_engine(path, threads)
                ways[f"{engine.name} {engine.version}"] = lambda engine=engine: engine.answers(array)
            taken = medians(ways, runs)
        for label, ms in taken.items():
            print(f"  {f'{told}, {label}':40} {ms:9.2f} {ms / taken['PyTorch, folded']:24.2f}")


def main() -> int:
    """Returns: 0 when the targets are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="efficientdet_d0")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = shaken(create_detector(given.name))
    print(f"{given.name} at {given.size} px, {given.threads} threads, PyTorch {torch.__version__}")
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photograph.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (PHOTOGRAPH[0] // 8, PHOTOGRAPH[1] // 8, 3), np.uint8)
        Image.fromarray(noise).resize(PHOTOGRAPH[::-1], Image.Resampling.BICUBIC).save(path, quality=90)
        ratio = network(model, given.name, given.size, given.runs)
        fusions(given.name, given.size, given.runs)
        adds_up = from_file(model, given.size, given.runs, path)
        exported(model, given.size, given.runs, given.threads)
    print(f"\nnetwork: {ratio:.2f} of effdet's time (target {TARGET}); the parts are {adds_up:.1%} of the whole")
    return int(ratio > TARGET or abs(adds_up - 1) > 0.05)


if __name__ == "__main__":
    sys.exit(main())
