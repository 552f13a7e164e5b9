"""A detector as an ONNX graph, without suppression or with it, for any batch of images of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triscale.deployment.detector_maps import Map, write_head, write_pyramid
from triscale.deployment.fuse import fuse_features
from triscale.deployment.onnx_graph import BATCH, INPUT, GraphWriter
from triscale.deployment.suppression_graph import LOGITS, OFFSETS, with_boxes, with_suppression
from triscale.detection.detector import DetectorNet
from triscale.errors import MissingExtraError
from triscale.spec.detector_parts import level_sizes
from triscale.spec.network import Size
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnx


def detector_graph(model: DetectorNet, size: Size, suppression: Suppression | None = None) -> onnx.ModelProto:
    """Write a detector, BatchNorm folded, for images of `size` (H, W) in pixels.

    suppression: to be in the graph, hard; None leaves it out.
    Returns: a graph with the outputs of `with_suppression`, or those of `with_boxes`.
    Raises: MissingExtraError without onnx; SpecError for an operation that cannot be written, or soft suppression.
    """
    graph, anchors, classes = answers_graph(model, size), model.anchors(size), model.detector.classes
    if suppression is None:
        return with_boxes(graph, anchors, classes, size)
    return with_suppression(graph, anchors, classes, size, suppression)


def answers_graph(model: DetectorNet, size: Size) -> onnx.ModelProto:
    """Backbone, pyramid and heads: the raw answers of every anchor, LOGITS (B, A, classes) and OFFSETS (B, A, 4)."""
    try:
        from onnx import TensorProto, helper
    except ImportError as error:
        raise MissingExtraError("onnx", "deploy", "Exporting to ONNX") from error
    writer = GraphWriter()
    fused = fuse_features(model.backbone, [2**level for level in model.detector.fed_levels], size)
    names = writer.body(fused.body, INPUT)
    fed = [Map(name, each) for name, each in zip(names, level_sizes(model.detector.pyramid, size), strict=False)]
    maps = write_pyramid(writer, model.pyramid, fed)
    results = []
    for name, head, answers in ((LOGITS, model.class_head, model.detector.classes), (OFFSETS, model.box_head, 4)):
        write_head(writer, name, head, maps, answers)
        shape = [BATCH, len(model.anchors(size)), answers]
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return writer.model([BATCH, model.in_channels, *size], results)
