"""What a detector's exported file gives, as detections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from triscale.detection.detections import Detections
from triscale.detection.suppress import candidates, keep
from triscale.spec.suppression import Suppression


def detections_of(answers: Sequence[np.ndarray], inside: bool, rule: Suppression) -> list[Detections]:
    """The detections of a batch, copied.

    answers: the file's outputs, as `suppression_graph` says. inside: whether suppression was in the file; `rule` then
        only raises the score and lowers the number.
    """
    if not inside:
        boxes, scores = (torch.from_numpy(each) for each in answers)
        chosen = candidates(scores, rule, scored=True)
        return [keep(each.index_select(0, few.anchors), few, rule) for each, few in zip(boxes, chosen, strict=True)]
    boxes, scores, labels, count = answers
    found = []
    for number, told in enumerate(count):
        enough = int((scores[number, : int(told)] >= rule.score).sum())
        rows = slice(0, min(enough, rule.detections))
        found.append(Detections(boxes[number, rows].copy(), scores[number, rows].copy(), labels[number, rows].copy()))
    return found
