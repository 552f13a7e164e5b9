"""The arithmetic of boxes on a GPU gives what it gives on a CPU."""

import numpy as np
import pytest
import torch

from triscale.detection.anchors import anchor_boxes
from triscale.detection.boxes import clip, decode
from triscale.detection.losses import DetectionLoss
from triscale.detection.matching import match
from triscale.detection.suppress import suppress
from triscale.spec.detector import Anchors
from triscale.spec.suppression import Suppression

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA GPU"),
]

SIZE = (256, 320)
ANCHORS = anchor_boxes(Anchors(), (3, 4, 5), SIZE, [(32, 40), (16, 20), (8, 10)])


def made(seed=0):
    """(logits, offsets, targets) of three images."""
    dice = torch.Generator().manual_seed(seed)
    centres = torch.rand(3, 12, 2, generator=dice) * 256
    sides = (torch.rand(3, 12, 2, generator=dice) * 3 + 2.5).exp()
    kinds = torch.randint(-2, 7, (3, 12, 1), generator=dice)
    targets = torch.cat((centres - sides / 2, centres + sides / 2, kinds), -1)
    logits = torch.randn(3, len(ANCHORS), 7, generator=dice) - 4
    return logits, torch.randn(3, len(ANCHORS), 4, generator=dice) * 0.2, targets


def test_matches_losses_and_gradients_agree():
    found = {}
    for device in ("cpu", "cuda"):
        logits, offsets, targets = (each.to(device) for each in made())
        anchors = ANCHORS.to(device)
        matches = match(targets, anchors)
        loss = DetectionLoss(overlap="ciou")
        total = loss.total(loss.sums(logits.requires_grad_(), offsets.requires_grad_(), matches, anchors))
        total.backward()
        found[device] = [each.cpu() for each in (matches.labels, matches.boxes, total, logits.grad, offsets.grad)]
    for ours, expected in zip(found["cuda"], found["cpu"], strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["hard", "soft"])
def test_detections_agree(method):
    logits, offsets, _ = made()
    boxes = clip(decode(offsets, ANCHORS), SIZE)
    rule = Suppression(method=method)
    for ours, expected in zip(suppress(boxes.cuda(), logits.cuda(), rule), suppress(boxes, logits, rule), strict=True):
        np.testing.assert_allclose(ours.boxes, expected.boxes)
        np.testing.assert_allclose(ours.scores, expected.scores, rtol=1e-5)
        assert ours.labels.tolist() == expected.labels.tolist()
