import io

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from onnx import TensorProto, helper

from triscale.deployment.suppression_graph import LOGITS, OFFSETS, with_boxes, with_suppression
from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import clip, decode
from triscale.detection.detect import detections
from triscale.errors import SpecError
from triscale.spec.detector import Anchors
from triscale.spec.suppression import Suppression

SIZE, LEVELS = (96, 160), (3, 4, 5)
ANCHORS = anchor_boxes(Anchors(), LEVELS, SIZE, [(12, 20), (6, 10), (3, 5)])


def bare(classes, opset):
    """A graph that passes its two inputs on: what stands for the network."""
    values = [
        [
            helper.make_tensor_value_info(f"{end}{name}", TensorProto.FLOAT, ["batch", len(ANCHORS), count])
            for name, count in ((LOGITS, classes), (OFFSETS, 4))
        ]
        for end in ("in_", "")
    ]
    nodes = [helper.make_node("Identity", [f"in_{name}"], [name]) for name in (LOGITS, OFFSETS)]
    graph = helper.make_graph(nodes, "bare", *values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def by_onnxruntime(graph, logits, offsets):
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"in_logits": logits.numpy(), "in_offsets": offsets.numpy()})


def by_openvino(graph, logits, offsets):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(io.BytesIO(graph.SerializeToString())), "CPU")
    return [np.array(each) for each in compiled([logits.numpy(), offsets.numpy()]).values()]


def answers(classes, images=2, seed=0):
    dice = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, len(ANCHORS), classes, generator=dice) * 2 - 4
    return logits, torch.randn(images, len(ANCHORS), 4, generator=dice) * 0.3


RULES = [
    Suppression(),
    Suppression(per_class=False, iou=0.3),
    Suppression(candidates=50, detections=10),
    Suppression(score=0.6, detections=1000),
    Suppression(candidates=5, iou=0.1),
]


@pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("classes", "opset"), [(1, 17), (7, 18)])
def test_the_graph_tells_what_eager_suppression_tells(engine, rule, classes, opset):
    graph = with_suppression(bare(classes, opset), ANCHORS, classes, SIZE, rule)
    onnx.checker.check_model(graph, full_check=True)
    logits, offsets = answers(classes)
    boxes, scores, labels, count = engine(graph, logits, offsets)
    told = min(rule.detections, rule.candidates, len(ANCHORS) * classes)
    assert (boxes.shape, scores.shape, labels.shape) == ((2, told, 4), (2, told), (2, told))
    for number, expected in enumerate(detections(logits, offsets, ANCHORS, SIZE, rule)):
        found = len(expected)
        assert count[number] == found
        np.testing.assert_allclose(boxes[number, :found], expected.boxes, atol=1e-3)
        np.testing.assert_allclose(scores[number, :found], expected.scores, atol=1e-6)
        assert labels[number, :found].tolist() == expected.labels.tolist()
        assert (labels[number, found:] == -1).all()
        assert np.abs(boxes[number, found:]).sum() == scores[number, found:].sum() == 0


@pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino])
def test_an_image_in_which_nothing_is_found_is_all_padding(engine):
    graph = with_suppression(bare(3, 17), ANCHORS, 3, SIZE, Suppression())
    boxes, scores, labels, count = engine(
        graph, torch.full((1, len(ANCHORS), 3), -20.0), torch.zeros(1, len(ANCHORS), 4)
    )
    assert np.abs(boxes).sum() == scores.sum() == 0
    assert (labels == -1).all()
    assert count.tolist() == [0]


@pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino])
def test_scores_that_round_to_1_are_told_by_their_logits(engine):
    logits, offsets = answers(3)
    logits = logits * 2 + 40
    boxes, scores, labels, _ = engine(with_suppression(bare(3, 17), ANCHORS, 3, SIZE, Suppression()), logits, offsets)
    assert scores.min() == 1
    for number, expected in enumerate(detections(logits, offsets, ANCHORS, SIZE, Suppression())):
        np.testing.assert_allclose(boxes[number], expected.boxes, atol=1e-3)
        assert labels[number].tolist() == expected.labels.tolist()


def test_equal_logits_come_in_the_same_order_as_eagerly():
    rule = Suppression(iou=1.0, candidates=40, detections=40)
    logits = torch.zeros(1, len(ANCHORS), 3)
    offsets = answers(3, 1)[1]
    graph = with_suppression(bare(3, 17), ANCHORS, 3, SIZE, rule)
    boxes, _, labels, _ = by_onnxruntime(graph, logits, offsets)
    (expected,) = detections(logits, offsets, ANCHORS, SIZE, rule)
    assert 30 < len(expected) <= 40
    np.testing.assert_allclose(boxes[0, : len(expected)], expected.boxes, atol=1e-3)
    assert labels[0, : len(expected)].tolist() == expected.labels.tolist()


def test_boxes_without_area_are_not_told():
    logits, offsets = torch.full((1, len(ANCHORS), 1), -9.0), torch.zeros(1, len(ANCHORS), 4)
    logits[0, 3], offsets[0, 3, 0] = 5.0, -50.0  # far outside of the input
    logits[0, 400] = 1.0
    graph = with_suppression(bare(1, 17), ANCHORS, 1, SIZE, Suppression(score=0.5))
    _, scores, labels, _ = by_onnxruntime(graph, logits, offsets)
    assert (labels[0] >= 0).sum() == 1
    assert scores[0, 0] == pytest.approx(torch.tensor(1.0).sigmoid().item())


@pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino])
def test_without_suppression_every_anchor_has_its_box_and_scores(engine):
    logits, offsets = answers(3)
    graph = with_boxes(bare(3, 17), ANCHORS, 3, SIZE)
    onnx.checker.check_model(graph, full_check=True)
    boxes, scores = engine(graph, logits, offsets)
    np.testing.assert_allclose(boxes, clip(decode(offsets, ANCHORS), SIZE), atol=1e-3)
    np.testing.assert_allclose(scores, logits.sigmoid(), atol=1e-6)


def test_the_given_graph_stays_as_it_is():
    graph = bare(2, 17)
    before = graph.SerializeToString()
    with_suppression(graph, ANCHORS, 2, SIZE, Suppression())
    assert graph.SerializeToString() == before


def test_soft_suppression_is_refused_with_the_way_out():
    with pytest.raises(SpecError, match="soft suppression cannot be part of a graph"):
        with_suppression(bare(2, 17), ANCHORS, 2, SIZE, Suppression(method="soft"))


def test_a_graph_of_another_kind_is_refused():
    graph = bare(2, 17)
    graph.graph.output[1].name = "in_offsets"
    with pytest.raises(SpecError, match=r"has the outputs logits, offsets; this has \['in_offsets', 'logits'\]"):
        with_suppression(graph, ANCHORS, 2, SIZE, Suppression())
