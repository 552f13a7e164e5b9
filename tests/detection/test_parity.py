"""Equal outputs with effdet's detectors: the same random tensors in both, Google's and its own numerics."""

import numpy as np
import pytest
import torch

from tests import peers
from tests.detection.helpers import boxes_in_our_order, by_level, effdet_model, shaken
from tests.models.helpers import answer, photos, relative_error
from triscale.detection.boxes import decode
from triscale.detection.create import create_detector
from triscale.detection.detect import detect
from triscale.detection.weights import export_state_dict, load_weights
from triscale.spec.detector import Heads
from triscale.spec.families import network
from triscale.spec.families.efficientdet import detector_from
from triscale.spec.pyramid import Pyramid
from triscale.spec.pyramids import bifpn
from triscale.spec.suppression import Suppression

SIZES = {"d0": (128, 192), "d1": (193, 128), "d2": (128, 128), "lite0": (160, 224), "lite1": (192, 192)}
SLOW = ("d5", "d6", "d7", "d7x")
NAMES = ("d0", "d1", "d2", "d3", "d4", *SLOW, "lite0", "lite1", "lite2", "lite3", "lite3x", "lite4")


def agree(ours, peer, size):
    """Level by level: in the sums of D6 and D7 a coarse level may be a thousand times larger than a fine one."""
    images = photos(*size)
    logits, offsets = answer(ours, images)
    their_logits, their_offsets = answer(peer, images)
    classes = by_level(their_logits, ours.detector.classes)
    boxes = [boxes_in_our_order(each) for each in by_level(their_offsets, 4)]
    counts = [each.shape[1] for each in classes]
    assert sum(counts) == logits.shape[1] == ours.anchors(size).shape[0]
    for mine, theirs in zip((*logits.split(counts, 1), *offsets.split(counts, 1)), (*classes, *boxes), strict=True):
        assert relative_error(mine, theirs) < 1e-4


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES])
def test_the_released_ones_equal_effdet_under_both_names(name):
    torch.manual_seed(0)
    size = SIZES.get(name, (256, 256))
    ours = shaken(create_detector(f"efficientdet_{name}"))
    tensors = export_state_dict(ours)
    agree(ours, effdet_model(f"tf_efficientdet_{name}", size, tensors), size)

    alias = create_detector(f"tf_efficientdet_{name}")
    report = load_weights(alias, tensors)
    assert (report.naming, report.adapted, report.new, report.ignored) == ("effdet", (), (), ())
    for mine, theirs in zip(ours.state_dict().values(), alias.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert alias.detector == ours.detector


@pytest.mark.parametrize("name", ["efficientdet_d0", "efficientdet_d1"])
def test_effdets_own_are_told_by_their_missing_biases(name):
    ours = shaken(create_detector(f"effdet_{name}"))
    tensors = export_state_dict(ours)
    peer = effdet_model(name, (128, 192), tensors)
    agree(ours, peer, (128, 192))

    google = create_detector(name)
    report = load_weights(google, tensors)
    assert (report.numerics_from, google.detector) == ("the naming", ours.detector)
    agree(google, peer, (128, 192))


def test_a_detector_on_resnet_50_with_full_convolutions_equals_effdet():
    edges = bifpn(88, 4)
    pyramid = Pyramid("bifpn", edges.nodes, (3, 7), 88, 4, "fast", separable=False, activation="relu")
    made = detector_from(network("resnet50"), pyramid, heads=Heads(3, separable=False, activation="relu"))
    ours = shaken(create_detector(made))
    agree(ours, effdet_model("resdet50", (128, 128), export_state_dict(ours)), (128, 128))


@pytest.fixture(scope="module")
def pair():
    """D0 with random weights whose boxes are moderate, and effdet's; for images of 256 x 384."""
    torch.manual_seed(1)
    ours = shaken(create_detector("efficientdet_d0"))
    with torch.no_grad():
        # Every class is as likely somewhere as any other, and scores are far apart: rounding changes no order.
        numbers = ours(photos(256, 384))[0].unflatten(1, (-1, 9)).flatten(0, 1)
        spread, mean = numbers.std(0).flatten(), numbers.mean(0).flatten()
        ours.class_head.final.weight.div_(spread[:, None, None, None])
        ours.class_head.final.bias.sub_(mean).div_(spread).sub_(4)
        ours.box_head.final.weight.mul_(0.5)
    return ours, effdet_model("tf_efficientdet_d0", (256, 384), export_state_dict(ours))


def test_decoded_boxes_equal_effdets(pair):
    from effdet.anchors import Anchors, decode_box_outputs

    ours, peer = pair
    images = photos(256, 384)
    boxes = decode(answer(ours, images)[1][0], ours.anchors((256, 384)))
    anchors = Anchors.from_config(peer.config).boxes
    theirs = decode_box_outputs(torch.cat(by_level(answer(peer, images)[1], 4), 1)[0], anchors, output_xyxy=True)
    assert relative_error(boxes, theirs) < 1e-4


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_final_detections_equal_effdets(pair, method):
    from effdet.bench import DetBenchPredict

    ours, peer = pair
    images = photos(256, 384)
    bench = DetBenchPredict(peer)
    bench.soft_nms = method == "soft"
    cut = {"img_scale": torch.ones(1), "img_size": torch.tensor([[384.0, 256.0]])}  # effdet's sizes are (W, H)
    with torch.no_grad():
        (theirs,) = bench(images, cut)
    (found,) = detect(ours, images, Suppression(method))
    assert len(found) == 100 and len(set(found.labels)) > 10
    np.testing.assert_array_equal(found.labels + 1, theirs[:, 5])
    np.testing.assert_allclose(found.scores, theirs[:, 4], rtol=1e-4)
    np.testing.assert_allclose(found.boxes, theirs[:, :4], atol=1e-2)


def test_the_peers_suppression_is_the_textbooks():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 5], [20, 20, 30, 30], [0, 0, 10, 6]]).float()
    # IoU with the first: 0.5, which is not above 0.5, then 0, then 0.6
    assert peers.plain_nms(boxes, torch.tensor([0.9, 0.8, 0.95, 0.7]), 0.5).tolist() == [2, 0, 1]
