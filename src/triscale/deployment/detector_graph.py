"""A detector as an ONNX graph, without suppression or with it, for any batch of images of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from triscale.deployment.detector_maps import Map, write_head, write_pyramid
from triscale.deployment.fuse import fuse_features
from triscale.deployment.onnx_graph import BATCH, INPUT, GraphWriter
from triscale.deployment.suppression_graph import Answers, write_suppression
from triscale.detection.detector import DetectorNet
from triscale.errors import MissingExtraError
from triscale.spec.network import Size
from triscale.spec.suppression import Suppression

if TYPE_CHECKING:
    import onnx

Form = Literal["out", "in"]  # where suppression is: outside of the file, or in it
OUTPUTS: dict[Form, tuple[str, ...]] = {"out": ("boxes", "scores"), "in": ("boxes", "scores", "labels", "count")}


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
    batch, anchors, classes = BATCH, answers.count, answers.classes
    if suppression is None:
        writer.add("Sigmoid", [answers.logits], "scores")
        decode(writer, "boxes", answers.offsets, answers.sides(writer), size)
        results = [("boxes", TensorProto.FLOAT, [batch, anchors, 4]), ("scores", TensorProto.FLOAT, [batch, anchors, classes])]
    else:
        told = write_suppression(writer, answers, suppression)
        results = [
            ("boxes", TensorProto.FLOAT, [batch, told, 4]),
            ("scores", TensorProto.FLOAT, [batch, told]),
            ("labels", TensorProto.INT64, [batch, told]),
            ("count", TensorProto.INT64, [batch]),
        ]
    return writer.model(
        [BATCH, model.in_channels, *size], [helper.make_tensor_value_info(*each) for each in results]
    )
