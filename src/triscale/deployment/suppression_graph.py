"""A detector's answers to boxes, as nodes behind its ONNX graph: so that what runs it need not know how.

Only operators of the ONNX standard are used, `NonMaxSuppression` among them, which ONNX Runtime and OpenVINO compute
natively. What comes out has a fixed size: the best first, then padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from triscale.errors import MissingExtraError, SpecError
from triscale.spec.network import Size
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnx

LOGITS, OFFSETS = "logits", "offsets"  # outputs of the graph that is given
BOXES, SCORES, LABELS, COUNT = "boxes", "scores", "labels", "count"  # outputs of the graph that is made
PADDING = -1  # the label of a row that stands for nothing; its box and score are 0
_PREFIX = "suppression/"


def with_boxes(graph: onnx.ModelProto, anchors: Tensor, classes: int, size: Size) -> onnx.ModelProto:
    """The graph with decoding behind it and no suppression; the one that is given stays.

    Arguments are those of `with_suppression`.
    Returns: a graph with the outputs BOXES (B, A, 4) float32 in pixels of the input, cut to it, and SCORES
        (B, A, classes) float32 in 0..1, of every anchor.
    Raises: SpecError for a graph without the outputs LOGITS and OFFSETS; MissingExtraError without onnx.
    """
    made = _copied(graph, "Exporting a detector")
    tail = _Tail(_opset(graph), anchors, classes, size, Suppression())
    low, high = tail.corners(OFFSETS, tail.constant(tail.centres), tail.constant(tail.sides))
    found = {BOXES: tail.add("Concat", [low, high], axis=2), SCORES: tail.add("Sigmoid", [LOGITS])}
    return _ended(made, tail, found, {BOXES: (len(anchors), 4), SCORES: (len(anchors), classes)})


def with_suppression(
    graph: onnx.ModelProto, anchors: Tensor, classes: int, size: Size, suppression: Suppression
) -> onnx.ModelProto:
    """The graph with decoding and hard suppression behind it, equal to `detect`; the one that is given stays.

    graph: with the outputs LOGITS (B, A, classes) and OFFSETS (B, A, 4), for any B. anchors: (A, 4) in pixels. size:
        (H, W) of its input, to which boxes are cut.
    Returns: a graph with the outputs BOXES (B, D, 4) float32 in pixels of the input, SCORES (B, D), LABELS (B, D)
        int64 and COUNT (B,) int64; D is `suppression.detections`, or the number of pairs where that is less. Rows
        beyond the count are PADDING.
    Raises: SpecError for soft suppression, which no ONNX operator has, or for a graph without those outputs;
        MissingExtraError without onnx.
    """
    if suppression.method != "hard":
        raise SpecError(
            "export: soft suppression cannot be part of a graph; leave it out of the file (--suppression out), which "
            'is then suppressed outside, or take Suppression(method="hard").'
        )
    made = _copied(graph, "Exporting with suppression")
    tail = _Tail(_opset(graph), anchors, classes, size, suppression)
    told = (tail.told,)
    return _ended(made, tail, tail.write(), {BOXES: (*told, 4), SCORES: told, LABELS: told, COUNT: ()})


def _copied(graph: onnx.ModelProto, what: str) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError("onnx", "deploy", what) from error
    outputs = sorted(each.name for each in graph.graph.output)
    if {LOGITS, OFFSETS} - set(outputs):
        raise SpecError(f"export: a detector's graph has the outputs {LOGITS}, {OFFSETS}; this has {outputs}.")
    made = onnx.ModelProto()
    made.CopyFrom(graph)
    return made


def _opset(graph: onnx.ModelProto) -> int:
    return next(each.version for each in graph.opset_import if each.domain in ("", "ai.onnx"))


def _ended(
    made: onnx.ModelProto, tail: _Tail, found: dict[str, str], shapes: dict[str, tuple[int, ...]]
) -> onnx.ModelProto:
    """The graph with the tail's nodes, and outputs of these shapes behind the batch's."""
    from onnx import TensorProto, helper

    batch = next(each for each in made.graph.output if each.name == LOGITS).type.tensor_type.shape.dim[0]
    made.graph.node.extend(tail.nodes)
    made.graph.initializer.extend(tail.constants)
    del made.graph.output[:]
    for name, shape in shapes.items():
        kind = TensorProto.INT64 if name in (LABELS, COUNT) else TensorProto.FLOAT
        made.graph.node.append(helper.make_node("Identity", [found[name]], [name], name=f"{_PREFIX}{name}"))
        dimensions = [batch.dim_param or batch.dim_value, *shape]
        made.graph.output.append(helper.make_tensor_value_info(name, kind, dimensions))
    return made


class _Tail:
    """Writes the nodes; each method returns the names of what it makes."""

    def __init__(self, opset: int, anchors: Tensor, classes: int, size: Size, suppression: Suppression) -> None:
        self.opset, self.classes, self.size, self.suppression = opset, classes, size, suppression
        low, high = np.split(anchors.detach().cpu().double().numpy(), 2, 1)
        self.centres, self.sides = ((low + high) / 2).astype(np.float32), (high - low).astype(np.float32)
        self.first = min(suppression.candidates, len(anchors))
        self.pairs = min(suppression.candidates, self.first * classes)
        self.told = min(suppression.detections, self.pairs)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def write(self) -> dict[str, str]:
        anchors, labels, logits = self.candidates()
        boxes, real = self.boxes(anchors)
        scores = self.add("Sigmoid", [logits])
        enough = self.add("GreaterOrEqual", [scores, self.constant(np.float32(self.suppression.score))])
        # Places instead of scores from here on: no two are equal, so that every engine decides alike.
        places = self.constant(np.arange(self.pairs, 0, -1, dtype=np.float32) / np.float32(self.pairs))
        allowed = self.add("Where", [self.add("And", [enough, real]), places, self.constant(np.float32(-1))])
        return self.chosen(boxes, scores, labels, self.kept(boxes, labels, allowed))

    def candidates(self) -> tuple[str, str, str]:
        """(anchors, labels, logits), each (B, pairs), best first; the same pairs in the same order as `candidates`."""
        axis = [2]
        options = {"axes": axis} if self.opset < 18 else {}
        best = self.add("ReduceMax", [LOGITS] if options else [LOGITS, self.integers(axis)], keepdims=0, **options)
        _, some = self.topk(best, self.first)
        some, _ = self.topk(some, self.first, largest=0)  # in their own order, which decides between equal logits
        few = self.rows(LOGITS, some)
        flat = self.add("Reshape", [few, self.integers([0, self.first * self.classes])])
        logits, pairs = self.topk(flat, self.pairs)
        classes = self.constant(np.int64(self.classes))
        anchors = self.add("GatherElements", [some, self.add("Div", [pairs, classes])], axis=1)
        return anchors, self.add("Mod", [pairs, classes]), logits

    def boxes(self, anchors: str) -> tuple[str, str]:
        """(boxes (B, pairs, 4) inside the input, whether each has an area (B, pairs))."""
        centres, sides = (
            self.add("Gather", [self.constant(each), anchors], axis=0) for each in (self.centres, self.sides)
        )
        corners = self.corners(self.rows(OFFSETS, anchors), centres, sides)
        wide = self.add("Cast", [self.add("Greater", [corners[1], corners[0]])], to=6)  # 6: int32
        both = self.add("Mul", [self.column(wide, 0), self.column(wide, 1)])
        return self.add("Concat", corners, axis=2), self.add("Cast", [both], to=9)  # 9: bool

    def corners(self, offsets: str, centres: str, sides: str) -> tuple[str, str]:
        """The upper left and the lower right corners (B, K, 2) of boxes, cut to the input; offsets: (B, K, 4)."""
        moved, grown = (self.columns(offsets, start) for start in (0, 2))
        middle = self.add("Add", [centres, self.add("Mul", [moved, sides])])
        half = self.add("Mul", [self.add("Exp", [grown]), self.add("Mul", [sides, self.constant(np.float32(0.5))])])
        height, width = self.size
        limits = [self.constant(np.float32(0)), self.constant(np.array([width, height], np.float32))]
        low, high = (
            self.add("Min", [self.add("Max", [self.add(kind, [middle, half]), limits[0]]), limits[1]])
            for kind in ("Sub", "Add")
        )
        return low, high

    def kept(self, boxes: str, labels: str, worth: str) -> str:
        """`worth` (B, pairs), which is higher the better and -1 where not allowed, with -1 for all that is not kept."""
        by_class = self.add("Unsqueeze", [worth, self.integers([1])])
        if self.suppression.per_class:
            numbers = self.constant(np.arange(self.classes, dtype=np.int64)[:, None])
            own = self.add("Equal", [self.add("Unsqueeze", [labels, self.integers([1])]), numbers])
            by_class = self.add("Where", [own, by_class, self.constant(np.float32(-1))])
        limits = [np.int64(self.told), np.float32(self.suppression.iou), np.float32(-0.5)]
        # Which side of a box is called x is all the same to an overlap.
        parts = [boxes, by_class, *(self.constant(np.array([each])) for each in limits)]
        found = self.add("NonMaxSuppression", parts)
        places = self.add("Gather", [found, self.integers([0, 2])], axis=1)  # of (image, class, candidate)
        count = self.add("Slice", [self.add("Shape", [found]), *(self.integers([each]) for each in (0, 1))])
        ones = self.add("Expand", [self.constant(np.float32(1)), count])
        none = self.add("Mul", [worth, self.constant(np.float32(0))])
        marked = self.add("ScatterND", [none, places, ones])
        half = self.constant(np.float32(0.5))
        return self.add("Where", [self.add("Greater", [marked, half]), worth, self.constant(np.float32(-1))])

    def chosen(self, boxes: str, scores: str, labels: str, kept: str) -> dict[str, str]:
        """The outputs, best first, padded."""
        best, places = self.topk(kept, self.told)
        there = self.add("Greater", [best, self.constant(np.float32(-0.5))])
        zero = self.constant(np.float32(0))
        score, label = (self.add("GatherElements", [each, places], axis=1) for each in (scores, labels))
        wide = self.add("Unsqueeze", [there, self.integers([2])])
        ones = self.add("Cast", [there], to=7)  # 7: int64
        return {
            BOXES: self.add("Where", [wide, self.rows(boxes, places), zero]),
            SCORES: self.add("Where", [there, score, zero]),
            LABELS: self.add("Where", [there, label, self.constant(np.int64(PADDING))]),
            COUNT: self.add("ReduceSum", [ones, self.integers([1])], keepdims=0),
        }

    def rows(self, data: str, numbers: str) -> str:
        """Rows `numbers` (B, K) of data (B, A, C): (B, K, C)."""
        return self.add("GatherND", [data, self.add("Unsqueeze", [numbers, self.integers([2])])], batch_dims=1)

    def columns(self, data: str, start: int) -> str:
        """Two columns of (B, K, 4)."""
        return self.add("Slice", [data, *(self.integers([each]) for each in (start, start + 2, 2))])

    def column(self, data: str, number: int) -> str:
        return self.add("Gather", [data, self.constant(np.int64(number))], axis=2)

    def topk(self, data: str, count: int, largest: int = 1) -> tuple[str, str]:
        """The values and numbers of the best `count` of each row; of equal ones the first."""
        name = f"{_PREFIX}{len(self.nodes)}"
        self.add("TopK", [data, self.integers([count])], f"{name}.values", f"{name}.indices", axis=1, largest=largest)
        return f"{name}.values", f"{name}.indices"

    def integers(self, values: list[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def constant(self, value: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        name = f"{_PREFIX}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], *outputs: str, **options: object) -> str:
        """Add a node. Returns: the name of its first output."""
        from onnx import helper

        names = outputs or (f"{_PREFIX}{len(self.nodes)}",)
        node = helper.make_node(kind, inputs, list(names), name=f"{_PREFIX}{kind}{len(self.nodes)}")
        node.attribute.extend(helper.make_attribute(name, value) for name, value in options.items())
        self.nodes.append(node)
        return names[0]
