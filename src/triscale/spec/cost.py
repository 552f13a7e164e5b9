"""What a network or a detector costs, by arithmetic: parameters, multiply-accumulates, activations and memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from triscale.spec.detector import Detector
from triscale.spec.detector_parts import detector_totals, level_sizes, map_operations, taps
from triscale.spec.map_operations import ALL
from triscale.spec.network import Network, PlacedBlock, Size, as_size, shrink
from triscale.spec.operations import Operation, Terms, block_operations, head_operations, stem_operations
from triscale.spec.parts import totals

BYTES = 4  # of one fp32 number


class LayerCost(NamedTuple):
    """One operation; memory in bytes, without parameters.

    where: of a network "stem", "stages.S.B" or "head"; of a detector "backbone.stem", "backbone.stages.S.B",
        "pyramid.P6" (a level that the backbone has not), "pyramid.R.N" (repeat and node), "pyramid.R.P5" (a level that
        passes), "class_head" or "box_head".
    output: (channels, H, W); of all levels at once (channels, pixels, 1).
    """

    where: str
    operation: str
    output: tuple[int, int, int]
    params: int
    macs: int
    activations: int
    memory: int


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one image through a network or a detector.

    params: trainable parameters. macs: multiply-accumulates of convolution and linear layers.
    activations: elements of all convolution outputs (pycls' definition).
    memory: bytes of fp32 inference: 4 x (parameters + the most elements alive during any one operation).
    size: (H, W) in pixels.
    """

    params: int
    macs: int
    activations: int
    memory: int
    size: Size
    _subject: Network | Detector = field(repr=False, compare=False)

    @property
    def layers(self) -> tuple[LayerCost, ...]:
        """Every operation in order; their params, macs and activations add up to the totals."""
        if isinstance(self._subject, Detector):
            return tuple(_detector_layers(self._subject, self.size))
        return tuple(_layers(self._subject, self.size))


def cost(subject: Network | Detector, size: int | tuple[int, int] | None = None) -> Cost:
    """Count what a network or a detector costs at batch 1.

    size: pixels, one number or (H, W); its own resolution by default.
    Returns: Cost; of a network equal to counting the built module to the last digit, memory equal to a liveness walk
        over the traced module with BatchNorm folded. Of a detector up to the raw answers of its heads: decoding and
        suppression have no convolutions.
    Raises: SpecError for a size that is none.
    Source: activations as in pycls, https://arxiv.org/abs/2003.13678, section 3.1.
    """
    size = subject.resolution if size is None else as_size(size)
    own = detector_totals(subject, size) if isinstance(subject, Detector) else totals(subject, size)
    return Cost(own.params, own.macs, own.activations, BYTES * (own.params + own.peak), size, subject)


def _layers(network: Network, size: Size, tapped: tuple[int, ...] = (), prefix: str = "") -> Iterator[LayerCost]:
    """tapped: stages whose output stays alive to the end."""
    read, kept = size, 0
    for where, stride, held, operations in _located(network, tapped):
        written = shrink(read, stride)
        factors = (read[0] * read[1], written[0] * written[1], 1)
        for o in operations:
            at = {"read": read, "written": written, "one": (1, 1)}[o.place]
            yield LayerCost(
                f"{prefix}{where}",
                o.name,
                (o.channels, *at),
                o.params,
                _dot(o.macs, factors),
                _dot(o.activations, factors),
                BYTES * (kept + _dot(o.live, factors)),
            )
        # A block that reads what is kept counts it itself.
        kept += held * factors[0]
        read = written


def _detector_layers(detector: Detector, size: Size) -> Iterator[LayerCost]:
    yield from _layers(detector.backbone, size, taps(detector), "backbone.")
    sizes = (*level_sizes(detector.pyramid, size), (1, 1))
    pixels = [height * width for height, width in sizes]
    everywhere = (sum(pixels[:-1]), 1)
    for o in map_operations(detector):
        height, width = everywhere if o.place == ALL else sizes[o.place]
        written = height * width
        yield LayerCost(
            o.where,
            o.name,
            (o.channels, height, width),
            o.params,
            o.weights * written,
            o.channels * written if o.weights else 0,
            BYTES * sum(elements * each for elements, each in zip(o.live, pixels, strict=True)),
        )


def _located(network: Network, tapped: tuple[int, ...]) -> Iterator[tuple[str, int, int, tuple[Operation, ...]]]:
    """Where, stride, channels read there that stay alive beyond, operations."""
    convolution, *pooling = stem_operations(network.stem, network.in_channels)
    yield "stem", network.stem.stride, 0, (convolution,)
    if pooling:
        yield "stem", 2, 0, tuple(pooling)
    last = PlacedBlock(0, 0, network.stages[0].blocks[0], network.stem.channels)
    for last in network.placed_blocks():
        held = last.index == 0 and last.stage - 1 in tapped
        operations = block_operations(last.block, last.in_channels, held)
        yield f"stages.{last.stage}.{last.index}", last.block.stride, last.in_channels if held else 0, operations
    if network.head is not None:
        yield "head", 1, 0, head_operations(network.head, last.block.channels, network.classes)


def _dot(terms: Terms, factors: tuple[int, int, int]) -> int:
    return terms[0] * factors[0] + terms[1] * factors[1] + terms[2] * factors[2]
