"""Detector: backbone, pyramid, heads and anchors as frozen data. All that is true of a Network is true of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from triscale.errors import SpecError
from triscale.spec.block import Activation
from triscale.spec.checks import one_of, positive, shown, whole
from triscale.spec.network import Network, Numerics, Size
from triscale.spec.pyramid import Pyramid
from triscale.spec.suppression import Suppression

DETECTOR_NUMERICS = Numerics(padding="same", eps=1e-3, momentum=0.01)
# (w, h) factors of the first release, which effdet and all released weights have; the later sqrt(2) is not the same.
RELEASED_ASPECTS = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
MOST_ANCHORS = 64  # at one location


@dataclass(frozen=True, slots=True)
class Heads:
    """The class head and the box head, as wide as the pyramid; each is shared by all levels, but for its BatchNorms.

    repeats: convolutions (BatchNorm, activation) before the one that answers. separable: as in `Pyramid`.
    prior: the probability that a fresh class head gives to every class of every anchor.
    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 4; prior: https://arxiv.org/abs/1708.02002.
    """

    repeats: int = 3
    separable: bool = True
    activation: Activation = "silu"
    prior: float = 0.01

    def __post_init__(self) -> None:
        whole("Heads.repeats", self.repeats, 64)
        one_of("Heads.activation", self.activation, Activation)
        positive("Heads.prior", self.prior, 0.5)


@dataclass(frozen=True, slots=True)
class Anchors:
    """The boxes from which a detector's answers are offsets: at each location of each level, scale by scale.

    scale: sides are scale x stride x 2^octave x the aspect's factors; the stride of a level is the image's size over
        the map's, which is 2^level only where that divides.
    octaves: exponents of 2. aspects: (width, height) factors.
    Source: RetinaNet, https://arxiv.org/abs/1708.02002, section 4; google/automl tf2/anchors.py.
    """

    scale: float = 4.0
    octaves: tuple[float, ...] = (0.0, 1 / 3, 2 / 3)
    aspects: tuple[tuple[float, float], ...] = RELEASED_ASPECTS

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "octaves", tuple(self.octaves))
            object.__setattr__(self, "aspects", tuple((width, height) for width, height in self.aspects))
        except (TypeError, ValueError):
            raise SpecError(
                "Anchors.octaves are numbers, and aspects pairs of (width, height), "
                f"got {shown(self.octaves)} and {shown(self.aspects)}."
            ) from None
        positive("Anchors.scale", self.scale)
        if not 1 <= self.per_location <= MOST_ANCHORS:
            raise SpecError(f"Anchors has {self.per_location} boxes at each location; 1..{MOST_ANCHORS} are allowed.")
        for each in self.octaves:
            if isinstance(each, bool) or not isinstance(each, (int, float)) or not -16 <= each <= 16:
                raise SpecError(f"Anchors.octaves must be exponents of 2 in -16..16, got {shown(each)}.")
        for pair in self.aspects:
            for side in pair:
                positive("Anchors.aspects", side)

    @property
    def per_location(self) -> int:
        """Anchors at one location of a map."""
        return len(self.octaves) * len(self.aspects)


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector as data.

    name: for people and files; two detectors that differ only in it are equal.
    backbone: any Network; its own head is left out, and its maps at strides 8, 16 and 32 feed the pyramid (those of
        the pyramid's levels that it has). Its resolution is the detector's.
    classes: outputs of the class head for each anchor; there is no background class.
    numerics: of pyramid and heads; the backbone has its own.
    redundant_bias: biases before BatchNorm, which Google's weights have and effdet's own have not.
    suppression: what is told of its answers.
    """

    name: str = field(compare=False)
    backbone: Network
    pyramid: Pyramid
    heads: Heads = field(default_factory=Heads)
    anchors: Anchors = field(default_factory=Anchors)
    classes: int = 90
    numerics: Numerics = DETECTOR_NUMERICS
    redundant_bias: bool = True
    suppression: Suppression = field(default_factory=Suppression)

    def __post_init__(self) -> None:
        whole("Detector.classes", self.classes)
        if self.backbone.head is not None:
            raise SpecError(
                f"Detector {self.name!r}: its backbone has a head; take one without: replace(net, head=None)."
            )
        if not self.fed_levels:
            raise SpecError(
                f"Detector {self.name!r}: {self.backbone.name} has no map at a stride of 2^{self.pyramid.levels[0]} to "
                f"2^{self.pyramid.levels[1]}; it has strides {', '.join(map(str, self.backbone.reductions()))}."
            )

    def __str__(self) -> str:
        pyramid, (height, width) = self.pyramid, self.resolution
        return (
            f"{self.name}: {self.backbone.name}, {pyramid.kind or 'pyramid'} {pyramid.channels} x {pyramid.repeats}, "
            f"{height} x {width} px, {self.classes} classes"
        )

    @property
    def resolution(self) -> Size:
        """(H, W) in pixels at which it is evaluated; golden counts are at it."""
        return self.backbone.resolution

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return self.backbone.in_channels

    @property
    def fed_levels(self) -> tuple[int, ...]:
        """The pyramid's levels that come from the backbone, finest first; the coarser ones are made from the last."""
        strides = self.backbone.reductions()
        fed = []
        for level in self.pyramid.level_numbers:
            if 2**level not in strides:
                break
            fed.append(level)
        return tuple(fed)
