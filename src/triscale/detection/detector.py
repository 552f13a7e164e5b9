"""Detector -> nn.Module: a network's stages, a pyramid and two heads, put together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from triscale.detection.anchors import anchor_boxes
from triscale.detection.heads import HeadLayer, HeadNet
from triscale.detection.pyramid import PyramidNet
from triscale.errors import SpecError
from triscale.models.assembler import ConvNet, for_channels
from triscale.models.layers import ConvNorm, Convolution
from triscale.models.model import Model
from triscale.spec.card import ModelCard
from triscale.spec.cost import cost
from triscale.spec.detector import Detector
from triscale.spec.detector_parts import fed_channels, level_sizes
from triscale.spec.families.efficientdet import letterboxed
from triscale.spec.files import detector_to_dict
from triscale.spec.network import Numerics, Size, as_size
from triscale.spec.preprocessing import Preprocessing

SIZES_KEPT = 8  # whose anchors stay in memory


class DetectorNet(Model):
    """The module of a `Detector`.

    detector: what to build. preprocessing: how its photographs are read (by default ImageNet's colours, the whole
    photograph inside the detector's resolution). card: what a person must know of its weights. device: where (by
    default PyTorch's default device); on "meta" nothing is allocated.

    Shapes: (B, detector.in_channels, H, W), any H and W -> (logits (B, A, classes), offsets (B, A, 4)). A counts the
    anchors by level (from the finest), row, column, octave and aspect; `anchors` gives their boxes. The logits are
    before the sigmoid; the offsets are (dx, dy, log dw, log dh) relative to the anchor, its centre and sides.
    Raises: SpecError when preprocessing makes other channels than the detector reads.
    """

    def __init__(
        self,
        detector: Detector,
        preprocessing: Preprocessing | None = None,
        card: ModelCard | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.detector = detector
        self.preprocessing = preprocessing or default_preprocessing(detector)
        self.card = card or ModelCard()
        if self.preprocessing.channels != detector.in_channels:
            raise SpecError(
                f"{detector.name} reads {detector.in_channels} channels, but its preprocessing makes "
                f"{self.preprocessing.channels}; give mean and std for {detector.in_channels} channels."
            )
        device = torch.get_default_device() if device is None else torch.device(device)
        with torch.device("meta"):
            self.backbone = ConvNet(detector.backbone, for_channels(Preprocessing(), detector.in_channels))
            self.pyramid = PyramidNet(detector.pyramid, fed_channels(detector), detector.numerics, self._biased)
            self.class_head = self._head(detector.classes, -math.log((1 - detector.heads.prior) / detector.heads.prior))
            self.box_head = self._head(4, 0.0)
        self._anchors: dict[tuple[Size, torch.device], Tensor] = {}
        if device.type != "meta":
            self.to_empty(device=device)
            self.reset_parameters()

    @property
    def _biased(self) -> bool:
        return self.detector.redundant_bias

    def _head(self, answers: int, bias: float) -> HeadNet:
        """The head that gives each anchor so many answers."""
        own = self.detector
        return HeadNet(
            own.heads,
            own.pyramid.channels,
            len(own.pyramid.level_numbers),
            answers * own.anchors.per_location,
            bias,
            own.numerics,
            self._biased,
        )

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    @property
    def outputs(self) -> int:
        """The detector's classes."""
        return self.detector.classes

    def costs(self, size: Size) -> tuple[int, int]:
        """(parameters, multiply-accumulates) for one image of `size` pixels (H, W), by arithmetic."""
        counted = cost(self.detector, size)
        return counted.params, counted.macs

    def classifier(self) -> str:
        """The last convolution of the class head."""
        return "class_head.final"

    def heads(self) -> tuple[str, ...]:
        """All that stands behind the backbone, which alone comes with weights of classification."""
        return ("pyramid", "class_head", "box_head")

    def stages_in_order(self) -> list[tuple[str, nn.Module]]:
        """The backbone's stem and stages, the pyramid's first projection and repeats, and the heads."""
        parts = [(f"backbone.{name}", stage) for name, stage in self.backbone.stages_in_order()]
        if self.pyramid.extra is not None:
            parts.append(("pyramid.extra", self.pyramid.extra))
        parts += [(f"pyramid.cells.{number}", cell) for number, cell in enumerate(self.pyramid.cells)]
        parts += [("class_head", self.class_head), ("box_head", self.box_head)]
        return [each for each in parts if next(each[1].parameters(), None) is not None]

    def description(self) -> dict[str, Any]:
        """The detector, from which the layers can be made again."""
        return {"detector": detector_to_dict(self.detector)}

    def reset_parameters(self) -> None:
        """Initialise all weights anew, from PyTorch's random state."""
        for part in (self.backbone, self.pyramid, self.class_head, self.box_head):
            part.reset_parameters()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Apply it; shapes as the class says."""
        maps = self.backbone.features(images)
        levels = self.pyramid([maps[2**level] for level in self.detector.fed_levels])
        logits, offsets = self.class_head(levels), self.box_head(levels)
        batch = images.shape[0]
        return logits.reshape(batch, -1, self.detector.classes), offsets.reshape(batch, -1, 4)

    def anchors(self, size: int | Size) -> Tensor:
        """(A, 4) boxes (x1, y1, x2, y2), in pixels of images of `size` (H, W), on the device of the weights.

        The same tensor is given again for the same size; copy it before writing into it.
        """
        size, device = as_size(size), self.class_head.final.weight.device
        if (size, device) not in self._anchors:
            while len(self._anchors) >= SIZES_KEPT:
                del self._anchors[next(iter(self._anchors))]
            pyramid = self.detector.pyramid
            # Training may need what a prediction has made: tensors of inference mode have no gradients behind them.
            with torch.inference_mode(False):
                made = anchor_boxes(self.detector.anchors, pyramid.level_numbers, size, level_sizes(pyramid, size))
                self._anchors[size, device] = made.to(device)
        return self._anchors[size, device]

    def fixed(self, size: int | Size | None) -> None:
        """Fold SAME padding of the backbone into static pads for images of `size` (H, W); None makes it dynamic."""
        self.backbone.fixed(size)

    def set_numerics(self, numerics: Numerics, backbone: Numerics | None = None) -> None:
        """Compute as `numerics` say in pyramid and heads, and as `backbone` says there, which None leaves as it is.

        Weights stay; both are written into `detector`.
        """
        if backbone is not None:
            self.backbone.set_numerics(backbone)
        for part in (self.pyramid, self.class_head, self.box_head):
            for module in part.modules():
                if isinstance(module, Convolution):
                    module.set_padding(numerics.padding)
                elif isinstance(module, nn.BatchNorm2d):
                    module.eps, module.momentum = numerics.eps, numerics.momentum
        self.pyramid.set_padding(numerics.padding)
        self.detector = replace(self.detector, backbone=self.backbone.network, numerics=numerics)

    def set_redundant_bias(self, wanted: bool) -> None:
        """Have biases before the BatchNorms of pyramid and heads, fresh ones at zero, or have none."""
        for conv in self._before_norms():
            if not wanted:
                conv.bias = None
            elif conv.bias is None:
                conv.bias = nn.Parameter(conv.weight.new_zeros(conv.out_channels))
        self.detector = replace(self.detector, redundant_bias=wanted)

    def _before_norms(self) -> Iterator[Convolution]:
        for part in (self.pyramid, self.class_head, self.box_head):
            for module in part.modules():
                if isinstance(module, (ConvNorm, HeadLayer)):
                    yield module.conv

    def regularise(self, dropout: float | None, drop_connect: float | None) -> tuple[str, ...]:
        """Another rate of the backbone's drop connect; pyramid and heads have neither it nor dropout."""
        self.backbone.regularise(None, drop_connect)
        self.detector = replace(self.detector, backbone=self.backbone.network)
        return (
            (f"{self.name} has no dropout layer: the recipe's dropout of {dropout:g} has no place",) if dropout else ()
        )


def default_preprocessing(detector: Detector) -> Preprocessing:
    """ImageNet's mean and deviation, the whole photograph inside the detector's resolution."""
    return for_channels(letterboxed(Preprocessing(), detector.resolution), detector.in_channels)
