"""A detector as an ONNX graph, without suppression or with it, for any batch of images of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triscale.deployment.detector_maps import Map, write_head, write_pyramid
from triscale.deployment.fuse import fuse_features
from triscale.deployment.onnx_graph import BATCH, INPUT, GraphWriter
from triscale.deployment.suppression_graph import Answers, write_all_boxes, write_suppression
from triscale.detection.detector import DetectorNet
from triscale.errors import MissingExtraError
from triscale.spec.network import Size
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnx

def detector_graph(model: DetectorNet, size: Size, suppression: Suppression | None = None) -> onnx.ModelProto:
    """Write a detector, BatchNorm folded, for images of `size` (H, W) in pixels.

    suppression: to be in the graph, hard; None leaves it out.
    Outputs, boxes always (x1, y1, x2, y2) in pixels of the input:
        without suppression: boxes (B, A, 4) of all anchors, and scores (B, A, classes) in 0..1;
        with it: boxes (B, D, 4), scores (B, D), labels (B, D) int64, best first, and count (B,) int64: so many of the D
        rows are detections, and the others have score 0, label -1 and a box of zeros.
    Raises: MissingExtraError without onnx; SpecError for an operation that cannot be written, or soft suppression.
    """
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingExtraError("onnx", "deploy", "Exporting to ONNX") from error
    writer = GraphWriter()
    answers = _answers(writer, model, size)
    anchors = len(answers.anchors)
    if suppression is None:
        writer.add("Sigmoid", [answers.logits], "scores")
        write_all_boxes(writer, answers)
        shapes = {"boxes": [anchors, 4], "scores": [anchors, answers.classes]}
    else:
        told = write_suppression(writer, answers, suppression)
        shapes = {"boxes": [told, 4], "scores": [told], "labels": [told], "count": []}
    kinds = {"boxes": TensorProto.FLOAT, "scores": TensorProto.FLOAT}
    results = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.INT64), [BATCH, *shape])
        for name, shape in shapes.items()
    ]
    return writer.model([BATCH, model.in_channels, *size], results)


def _answers(writer: GraphWriter, model: DetectorNet, size: Size) -> Answers:
    """Backbone, pyramid and heads."""
    fused = fuse_features(model.backbone, [2**level for level in model.detector.fed_levels], size)
    names = writer.body(fused.body, INPUT)
    fed = [Map(name, each) for name, each in zip(names, model.map_sizes(size), strict=False)]
    maps = write_pyramid(writer, model.pyramid, fed)
    classes = model.detector.classes
    logits = write_head(writer, "logits", model.class_head, maps, classes)
    offsets = write_head(writer, "offsets", model.box_head, maps, 4)
    return Answers(logits, offsets, model.anchors(size).cpu(), classes, size)
