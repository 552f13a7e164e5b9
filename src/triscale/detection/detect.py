"""From images to boxes: the network's answers decoded, suppressed, and mapped back to the image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from triscale.detection.boxes import clip, decode
from triscale.detection.detections import Detections
from triscale.detection.detector import DetectorNet
from triscale.detection.suppress import candidates, keep
from triscale.errors import SpecError
from triscale.spec.network import Size
from triscale.spec.placement import Placement
from triscale.spec.suppression import Suppression


def detect(model: DetectorNet, images: Tensor, suppression: Suppression | None = None) -> list[Detections]:
    """Run a detector, in whatever mode it is, without gradients.

    images: (B, C, H, W), preprocessed, of any size. suppression: by default the detector's own.
    Returns: B Detections, in pixels of the network's input, inside of it; `to_image` maps them back.
    """
    with torch.inference_mode():
        logits, offsets = model(images)
        size = (images.shape[2], images.shape[3])
        return detections(logits, offsets, model.anchors(size), size, suppression or model.detector.suppression)


def detections(
    logits: Tensor, offsets: Tensor, anchors: Tensor, size: Size, suppression: Suppression
) -> list[Detections]:
    """What a network's answers tell, whatever ran it.

    logits: (B, A, classes). offsets: (B, A, 4). anchors: (A, 4). size: (H, W) of its input, to which boxes are cut.
    Only boxes of candidates are decoded.
    Raises: SpecError for shapes that do not go together.
    """
    if logits.dim() != 3 or offsets.shape != (*logits.shape[:2], 4) or anchors.shape != offsets.shape[1:]:
        raise SpecError(
            f"detections: logits (B, A, classes), offsets (B, A, 4) and anchors (A, 4) go together, got "
            f"{tuple(logits.shape)}, {tuple(offsets.shape)} and {tuple(anchors.shape)}."
        )
    found = []
    for few, each in zip(candidates(logits, suppression), offsets, strict=True):
        boxes = decode(each.index_select(0, few.anchors), anchors.index_select(0, few.anchors))
        found.append(keep(clip(boxes, size), few, suppression))
    return found


def to_image(found: Detections, placement: Placement, image: Size) -> Detections:
    """Boxes in the network's input as boxes in the image, cut to it.

    placement: where the image lies in the input; `place` says it. image: (H, W) in pixels.
    Boxes that lie in the filling beside the image are left out.
    """
    across, down = placement.scale
    left, top = placement.part[:2]
    boxes = found.boxes * np.array([across, down, across, down]) + np.array([left, top, left, top])
    boxes = np.clip(boxes, 0, [image[1], image[0], image[1], image[0]]).astype(np.float32)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return Detections(boxes[inside], found.scores[inside], found.labels[inside])
