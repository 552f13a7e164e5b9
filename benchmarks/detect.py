"""D0 at 512 pixels beside effdet's tf_efficientdet_d0, from image file to boxes, and through every way to run it.

Same random weights on both sides, fp32, batch 1, BatchNorm folded on both sides, both memory formats; interleaved,
medians. Then: the parts of one answer, from a JPEG to boxes in the image, which must add up to the wall time within
5 %, and suppression's share of it; fast fusion beside softmax fusion, in the pyramid and in the whole; the exported
file without and with suppression through ONNX Runtime and OpenVINO, beside eager.
The weights are random, so nearly every anchor is a candidate: suppression has the 5,000 that it takes at most.
Run: python benchmarks/detect.py [--runs 40] [--threads N] [--image FILE] [--only peer answer fusion engines]
Exit code 1 when the parts do not add up, or the ratio to effdet is above 0.9.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.detection.helpers import effdet_model, shaken

from triscale.data.images import image_header, open_image
from triscale.data.transforms import needed_size, preprocess
from triscale.deployment.engine import load_engine
from triscale.deployment.export import Form, export
from triscale.deployment.latency import device_name
from triscale.detection.create import create_detector
from triscale.detection.detect import detections, to_image
from triscale.detection.detector import DetectorNet
from triscale.detection.fold import fold
from triscale.detection.weights import export_state_dict
from triscale.spec.placement import place

NAME, SIZE = "efficientdet_d0", (512, 512)
FORMATS = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
WARM_UP, TARGET, ADDS_UP = 3, 0.9, 0.05
SECTIONS = ("peer", "answer", "fusion", "engines")
# effdet's and timm's names of a convolution and of the BatchNorm behind it, by the class of what holds them
PAIRS = {
    "EfficientNetFeatures": [("conv_stem", "bn1")],
    "DepthwiseSeparableConv": [("conv_dw", "bn1"), ("conv_pw", "bn2")],
    "InvertedResidual": [("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")],
    "ConvBnAct2d": [("conv", "bn")],
    "SeparableConv2d": [("conv_pw", "bn")],
}


def interleaved(ways: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median milliseconds of each way, taking turns so that a busy moment of the machine meets all of them."""
    times: dict[str, list[float]] = {label: [] for label in ways}
    for turn in range(WARM_UP + runs):
        for label, way in ways.items():
            start = time.perf_counter()
            way()
            if turn >= WARM_UP:
                times[label].append(1e3 * (time.perf_counter() - start))
    return {label: statistics.median(taken) for label, taken in times.items()}


def in_layout(model: nn.Module, layout: str) -> nn.Module:
    """The model with its weights in a memory format."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.contiguous(memory_format=FORMATS[layout])
    return model


def our_model(fusion: str = "fast") -> DetectorNet:
    torch.manual_seed(0)
    made = create_detector(NAME)
    if fusion != "fast":
        made = create_detector(replace(made.detector, pyramid=replace(made.detector.pyramid, fusion=fusion)))
    return shaken(made)


def folded_peer(ours: DetectorNet) -> nn.Module:
    """effdet's with the same weights, every BatchNorm folded, a head's into one convolution for each level."""
    peer = effdet_model(f"tf_{NAME}", SIZE, export_state_dict(ours)).eval()
    for module in list(peer.modules()):
        for conv, norm in PAIRS.get(type(module).__name__, ()):
            held = getattr(module, norm, None)
            if held is not None:
                plain = nn.BatchNorm2d(held.num_features, held.eps)
                plain.load_state_dict(held.state_dict())
                setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), plain.eval()))
                setattr(module, norm, nn.Identity() if getattr(held, "act", None) is None else held.act)
    for head in (peer.class_net, peer.box_net):
        for number, layer in enumerate(head.conv_rep):
            norms = [each.bn for each in head.bn_rep[number]]
            head.bn_rep[number] = nn.ModuleList(fuse_conv_bn_eval(layer.conv_pw, norm) for norm in norms)
            head.conv_rep[number] = layer.conv_dw
    left = [name for name, each in peer.named_modules() if isinstance(each, nn.BatchNorm2d)]
    assert not left, f"not folded: {left[:3]}"
    return peer


def peer(runs: int) -> float:
    """Print both networks in both formats; returns our best over their best."""
    ours, images = our_model(), torch.randn(1, 3, *SIZE)
    makers = {"effdet": lambda: folded_peer(ours), "triscale": lambda: fold(ours)}
    ways: dict[str, Callable[[], object]] = {}
    for label, make in makers.items():
        for layout, memory_format in FORMATS.items():
            model, batch = in_layout(make(), layout), images.contiguous(memory_format=memory_format)
            ways[f"{label}, {layout}"] = lambda model=model, batch=batch: model(batch)
    logits, offsets = ways["triscale, NCHW"]()
    theirs = ways["effdet, NCHW"]()
    apart = max(_apart(logits, theirs[0]), _apart(offsets[..., [1, 0, 3, 2]], theirs[1]))
    medians = interleaved(ways, runs)
    best = {side: min(ms for label, ms in medians.items() if label.startswith(side)) for side in makers}
    print(f"\nnetwork, {SIZE[0]} x {SIZE[1]}, batch 1 {'ms':>17} {'ratio to the best of effdet':>29}")
    for label, median in medians.items():
        print(f"  {label:36} {median:9.2f} {median / best['effdet']:29.2f}")
    print(f"  answers are at most {apart:.1e} (relative) apart; best over best {best['triscale'] / best['effdet']:.2f}")
    return best["triscale"] / best["effdet"]


def _apart(ours: Tensor, theirs: Sequence[Tensor]) -> float:
    last = ours.shape[-1]
    flat = torch.cat([each.permute(0, 2, 3, 1).reshape(1, -1, last) for each in theirs], 1)
    return float((ours - flat).abs().max() / flat.abs().max())


def answer(runs: int, path: Path) -> bool:
    """Print the parts of one answer; returns whether they add up to the whole."""
    model = in_layout(fold(our_model()), "channels last")
    assert isinstance(model, DetectorNet)
    rule, anchors, reads = model.detector.suppression, model.anchors(SIZE), model.preprocessing
    names = ("decode", "preprocess", "network", "suppression", "boxes in the image")
    parts: dict[str, list[float]] = {name: [] for name in (*names, "wall")}
    for turn in range(WARM_UP + runs):
        marks = [time.perf_counter()]
        _, size = image_header(path)
        image = open_image(path, needed_size(reads, SIZE))
        decoded = (image.height, image.width)
        marks.append(time.perf_counter())
        batch = preprocess(image, reads, SIZE)[None].contiguous(memory_format=torch.channels_last)
        marks.append(time.perf_counter())
        logits, offsets = model(batch)
        marks.append(time.perf_counter())
        (found,) = detections(logits, offsets, anchors, SIZE, rule)
        marks.append(time.perf_counter())
        found = to_image(found, place(reads, decoded, SIZE).of_original(decoded, size), size)
        marks.append(time.perf_counter())
        if turn >= WARM_UP:
            for name, (start, end) in zip(names, pairwise(marks), strict=True):
                parts[name].append(1e3 * (end - start))
            parts["wall"].append(1e3 * whole(model, path))
    medians = {name: statistics.median(taken) for name, taken in parts.items()}
    total = sum(medians[name] for name in names)
    print(f"\nfrom {path.name} ({size[1]} x {size[0]}) to {len(found)} boxes in it {'ms':>10} {'share':>8}")
    for name in names:
        print(f"  {name:38} {medians[name]:9.2f} {medians[name] / total:8.1%}")
    print(f"  {'sum':38} {total:9.2f}\n  {'wall time of the whole, timed apart':38} {medians['wall']:9.2f}")
    off = abs(total / medians["wall"] - 1)
    print(f"  the parts add up to {total / medians['wall']:.1%} of it")
    return off <= ADDS_UP


def whole(model: DetectorNet, path: Path) -> float:
    """Seconds from a file to boxes in its pixels, with nothing timed in between."""
    start = time.perf_counter()
    _, size = image_header(path)
    reads = model.preprocessing
    image = open_image(path, needed_size(reads, SIZE))
    decoded = (image.height, image.width)
    batch = preprocess(image, reads, SIZE)[None].contiguous(memory_format=torch.channels_last)
    logits, offsets = model(batch)
    (found,) = detections(logits, offsets, model.anchors(SIZE), SIZE, model.detector.suppression)
    to_image(found, place(reads, decoded, SIZE).of_original(decoded, size), size)
    return time.perf_counter() - start


def fusion(runs: int) -> None:
    """Print fast beside softmax fusion and the plain sum, in the pyramid alone and in the whole network."""
    batch = torch.randn(1, 3, *SIZE).contiguous(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], object]] = {}
    for kind in ("fast", "softmax", "sum"):
        model = in_layout(fold(our_model(kind)), "channels last")
        maps = model.backbone.features(batch)
        fed = [maps[2**level] for level in model.detector.fed_levels]
        ways[f"pyramid, {kind}"] = lambda model=model, fed=fed: model.pyramid(fed)
        ways[f"whole, {kind}"] = lambda model=model: model(batch)
    medians = interleaved(ways, runs)
    print(f"\nfusion {'ms':>41} {'softmax over it':>17}")
    for label, median in medians.items():
        part = label.split(",")[0]
        print(f"  {label:36} {median:9.2f} {medians[f'{part}, softmax'] / median:17.2f}")


def engines(runs: int, threads: int) -> None:
    """Print the exported file, in both forms, beside eager; with suppression, eager's is timed too."""
    model = our_model()
    eager = in_layout(fold(model), "channels last")
    images = torch.randn(1, 3, *SIZE)
    batch, array = images.contiguous(memory_format=torch.channels_last), images.numpy()
    anchors, rule = eager.anchors(SIZE), model.detector.suppression
    print(f"\nway to run it {'ms':>34} {'ratio to eager':>16}")
    for form, told in (("out", "to raw answers, or boxes and scores"), ("in", "to detections")):
        whole: dict[str, Callable[[], object]] = {
            "out": {"PyTorch, folded": lambda: eager(batch)},
            "in": {"PyTorch, folded": lambda: detections(*eager(batch), anchors, SIZE, rule)},
        }[form]
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".onnx", ".xml"):
                if suffix == ".xml" and find_spec("openvino") is None:
                    continue
                engine = load_engine(_exported(model, Path(folder) / f"model{suffix}", form), threads)
                whole[f"{engine.name} {engine.version}"] = lambda engine=engine: engine.answers(array)
            medians = interleaved(whole, runs)
        print(f"  {told}")
        for label, median in medians.items():
            print(f"    {label:34} {median:9.2f} {median / medians['PyTorch, folded']:16.2f}")


def _exported(model: DetectorNet, path: Path, form: Form) -> Path:
    return export(model, path, size=SIZE, suppression=form).path


def photograph() -> Path:
    """A photograph that scikit-learn brings, 640 x 427 pixels."""
    import sklearn

    return Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--image", type=Path)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    versions = f"PyTorch {torch.__version__}, effdet {version('effdet')}"
    print(f"{NAME}, {device_name()}, {given.threads} threads, {versions}; medians of {given.runs} interleaved runs")
    missed = []
    with torch.inference_mode():
        if "peer" in given.only and peer(given.runs) > TARGET:
            missed.append(f"more than {TARGET} of effdet's time")
        if "answer" in given.only and not answer(given.runs, given.image or photograph()):
            missed.append(f"the parts do not add up within {ADDS_UP:.0%}")
        if "fusion" in given.only:
            fusion(given.runs)
        if "engines" in given.only:
            engines(given.runs, given.threads)
    print("\nmissed: " + "; ".join(missed) if missed else "\nall targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
