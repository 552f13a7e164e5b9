"""What suppression costs: choosing candidates among all answers of D0, and keeping few of them, on one core.

Answers are drawn, as D0 has them at 512 pixels: its anchors, 90 classes, on scenes of 20 objects each: around an object
the anchors that overlap it answer for it, offsets a little off, and everything else says the prior with noise. Cases:
as they are; the same candidates with classes spread evenly over all 90; all in one class; and boxes far apart, of which
the most are kept. For each: candidates, hard, hard over all classes, soft. `--peer` adds effdet's soft-NMS, `--graph`
the same as part of an ONNX graph.
Medians over `--runs`, interleaved over cases; the targets are those of 5,000 candidates: 10 ms as they are and spread,
40 ms in one class.
Run: OMP_NUM_THREADS=1 python benchmarks/suppression.py [--runs 20] [--images 4] [--peer] [--graph]
Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import clip, decode, encode, iou
from triscale.detection.suppress import Candidates, candidates, keep
from triscale.spec.families.efficientdet import detector
from triscale.spec.suppression import Suppression

SIZE, CLASSES, OBJECTS = (512, 512), 90, 20
TARGETS = {"as they are": 10.0, "spread": 10.0, "one class": 40.0}  # ms, of 5,000 candidates
HARD = Suppression(score=0.0)
RULES = {
    "hard": HARD,
    "hard, all classes": Suppression(score=0.0, per_class=False),
    "soft": Suppression(method="soft", score=0.0),
}


def d0_anchors() -> Tensor:
    """(49104, 4)."""
    chosen = detector("efficientdet_d0")
    levels = chosen.pyramid.level_numbers
    return anchor_boxes(chosen.anchors, levels, SIZE, [(512 // 2**level, 512 // 2**level) for level in levels])


def scene(anchors: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """(logits (A, 90), offsets (A, 4)) for an image of 20 objects."""
    dice = torch.Generator().manual_seed(seed)
    centres = torch.rand(OBJECTS, 2, generator=dice) * 512
    sides = (torch.rand(OBJECTS, 2, generator=dice) * 2.5 + 3).exp()
    objects = torch.cat((centres - sides / 2, centres + sides / 2), 1)
    overlaps, nearest = iou(objects, anchors).max(0)
    logits = torch.randn(len(anchors), CLASSES, generator=dice) - 6.0
    kinds = torch.randint(0, CLASSES, (OBJECTS,), generator=dice)[nearest]
    logits[torch.arange(len(anchors)), kinds] += 12 * overlaps
    offsets = torch.randn(len(anchors), 4, generator=dice) * 0.1
    pulled = overlaps > 0.2
    offsets[pulled] += encode(objects[nearest[pulled]], anchors[pulled])
    return logits, offsets


def cases(few: Candidates, boxes: Tensor) -> dict[str, tuple[Tensor, Candidates]]:
    """Case -> (boxes of the candidates, candidates)."""
    count = len(few.scores)
    spread = few._replace(labels=torch.arange(count) % CLASSES)
    tiles = torch.arange(count, dtype=torch.float32)
    corner = torch.stack((tiles % 71, tiles // 71), 1) * 7
    return {
        "as they are": (boxes, few),
        "spread": (boxes, spread),
        "one class": (boxes, few._replace(labels=torch.zeros(count, dtype=torch.long))),
        "far apart": (torch.cat((corner, corner + 6), 1), few._replace(labels=torch.zeros(count, dtype=torch.long))),
    }


def timed(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begin)


def measure(images: int, runs: int, peer: bool) -> dict[tuple[str, str], float]:
    """(case, what) -> median milliseconds of one image."""
    anchors = d0_anchors()
    calls: dict[tuple[str, str], list[Callable[[], object]]] = {}
    for seed in range(images):
        logits, offsets = scene(anchors, seed)
        calls.setdefault(("", "candidates"), []).append(lambda given=logits[None]: candidates(given, HARD))
        (few,) = candidates(logits[None], HARD)
        boxes = clip(decode(offsets[few.anchors], anchors[few.anchors]), SIZE)
        for case, (own, chosen) in cases(few, boxes).items():
            for name, rule in RULES.items():
                calls.setdefault((case, name), []).append(lambda b=own, c=chosen, r=rule: keep(b, c, r))
            if peer:
                calls.setdefault((case, "effdet soft"), []).append(lambda b=own, c=chosen: peer_soft(b, c))
    seen: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for run in range(runs + 1):
        for key, several in calls.items():
            taken = [timed(call) for call in several]
            seen[key] += taken if run else []  # the first warms up
    return {key: statistics.median(taken) for key, taken in seen.items()}


def peer_soft(boxes: Tensor, few: Candidates) -> object:
    """effdet's, which goes on until nothing is left."""
    from tests.peers import effdet

    return effdet().soft_nms.batched_soft_nms(boxes, few.scores, few.labels, iou_threshold=0.3, score_threshold=0.001)


def measure_graph(runs: int) -> float:
    """Median milliseconds of decoding and hard suppression by ONNX Runtime on one core, from logits and offsets."""
    import onnxruntime
    from onnx import TensorProto, helper

    from triscale.deployment.suppression_graph import LOGITS, OFFSETS, with_suppression

    anchors = d0_anchors()
    shapes = {LOGITS: [1, len(anchors), CLASSES], OFFSETS: [1, len(anchors), 4]}
    ends = [[helper.make_tensor_value_info(end + n, TensorProto.FLOAT, s) for n, s in shapes.items()] for end in "i "]
    for value in ends[1]:
        value.name = value.name.strip()
    nodes = [helper.make_node("Identity", [f"i{name}"], [name]) for name in shapes]
    bare = helper.make_model(
        helper.make_graph(nodes, "bare", *ends), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = with_suppression(bare, anchors, CLASSES, SIZE, HARD).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    logits, offsets = scene(anchors, 0)
    fed = {f"i{LOGITS}": logits[None].numpy(), f"i{OFFSETS}": offsets[None].numpy()}
    return statistics.median([timed(lambda: session.run(None, fed)) for _ in range(runs + 1)][1:])


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--graph", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.images, options.runs, options.peer)
    missed = []
    for (case, what), milliseconds in found.items():
        target = TARGETS.get(case) if what in RULES else None
        if target is not None and milliseconds > target:
            missed.append(f"{case}, {what}")
        print(f"{case:12} {what:18} {milliseconds:8.2f} ms" + (f"  (target {target:g})" if target else ""))
    if options.graph:
        print(f"{'graph':12} {'hard, from logits':18} {measure_graph(options.runs):8.2f} ms")
    print("missed: " + "; ".join(missed) if missed else "all targets met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
