"""What effdet calls the tensors of a detector, and Google's weights as it carries them: maps made by walking the data.

Source: keys of effdet 0.4.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triscale.detection.detector import DetectorNet
from triscale.errors import WeightsError
from triscale.models.naming import layer_names
from triscale.models.naming.walk import Pairs, convolution
from triscale.spec.detector import Detector
from triscale.spec.detector_parts import fed_channels

HEADS = (("class_head", "class_net"), ("box_head", "box_net"))
PARTS = ("fpn.", "class_net.", "box_net.")  # how its names of what a backbone has not begin
OURS = ("pyramid.", "class_head.", "box_head.")
BOXES = ("box_head.final.weight", "box_head.final.bias")


def tensor_names(model: DetectorNet) -> dict[str, str]:
    """Our name of each tensor -> effdet's. Raises: WeightsError for a detector that effdet cannot have."""
    layers = {f"backbone.{ours}": theirs for ours, theirs in layer_names(model.detector.backbone, "effdet").items()}
    layers |= dict(_names(model.detector))
    names = {}
    for key in model.state_dict():
        layer, _, tensor = key.rpartition(".")
        if key in layers:
            names[key] = layers[key]
        elif layer in layers:
            names[key] = f"{layers[layer]}.{tensor}"
    return names


def swapped(key: str, tensor: Tensor) -> Tensor:
    """A tensor of ours as effdet has it, or the other way: it tells a box as (dy, dx, log dh, log dw), we as x, y."""
    if key not in BOXES or tensor.shape[0] % 4:
        return tensor
    order = torch.tensor([1, 0, 3, 2], device=tensor.device)
    return tensor.unflatten(0, (-1, 4)).index_select(1, order).flatten(0, 1)


def _names(detector: Detector) -> Pairs:
    """(our layer or tensor, effdet's) of pyramid and heads."""
    yield from _pyramid(detector)
    for ours, theirs in HEADS:
        yield from _head(detector, ours, theirs)


def _pyramid(detector: Detector) -> Pairs:
    pyramid, fed = detector.pyramid, fed_channels(detector)
    levels = pyramid.level_numbers
    if any(node.combine != "fuse" or not node.convolve for node in pyramid.nodes) or min(pyramid.outputs) < len(levels):
        raise WeightsError(
            f"effdet has no names for the pyramid of {detector.name}: its nodes all fuse and convolve, and every level "
            f"has one; use naming 'triscale'."
        )
    if len(fed) < len(levels) and fed[-1] != pyramid.channels:
        yield from _resampled("pyramid.extra", f"fpn.resample.{len(fed)}")
    pointwise = "conv_pw" if pyramid.separable else "conv"
    reads = [*fed, *[pyramid.channels] * (len(levels) - len(fed) + len(pyramid.nodes))]
    for repeat in range(pyramid.repeats):
        for number, node in enumerate(pyramid.nodes):
            ours, theirs = f"pyramid.cells.{repeat}.nodes.{number}", f"fpn.cell.{repeat}.fnode.{number}"
            for place, read in enumerate(node.inputs):
                if reads[read] != pyramid.channels:
                    yield from _resampled(f"{ours}.projections.{place}", f"{theirs}.combine.resample.{read}")
            yield f"{ours}.weights", f"{theirs}.combine.edge_weights"
            after = f"{theirs}.after_combine.conv"
            yield f"{ours}.depthwise", f"{after}.conv_dw"
            yield from convolution(f"{ours}.convolve", f"{after}.{pointwise}", f"{after}.bn")
        reads = [pyramid.channels] * len(reads)


def _resampled(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from convolution(ours, f"{theirs}.conv.conv", f"{theirs}.conv.bn")


def _head(detector: Detector, ours: str, theirs: str) -> Pairs:
    conv = "conv_pw" if detector.heads.separable else "conv"
    for number in range(detector.heads.repeats):
        layer, rep = f"{ours}.layers.{number}", f"{theirs}.conv_rep.{number}"
        yield from ((f"{layer}.depthwise", f"{rep}.conv_dw"), (f"{layer}.conv", f"{rep}.{conv}"))
        for level in range(len(detector.pyramid.level_numbers)):
            yield f"{layer}.norms.{level}", f"{theirs}.bn_rep.{number}.{level}.bn"
    yield from ((f"{ours}.depthwise", f"{theirs}.predict.conv_dw"), (f"{ours}.final", f"{theirs}.predict.{conv}"))
