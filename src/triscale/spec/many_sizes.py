"""What one network costs at many sizes at once: what a search of resolutions asks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from triscale.spec.cost import BYTES
from triscale.spec.network import Network
from triscale.spec.parts import network_parts


class Costs(NamedTuple):
    """`Cost`'s four numbers, each (N,) int64; parameters are the same at every size."""

    params: np.ndarray
    macs: np.ndarray
    activations: np.ndarray
    memory: np.ndarray


def costs(network: Network, height: np.ndarray, width: np.ndarray) -> Costs:
    """The same as `cost` at each of N sizes, in the time of a few of them.

    height, width: (N,) whole pixels.
    """
    # Whole numbers below 2^53 are exact in float64, whose products are many times faster than those of integers.
    pixels, params = np.ones((3, len(height))), 0  # read, written, one
    pixels[1] = height * width
    counted, peak = np.zeros((2, len(height))), np.zeros(len(height))
    for stride, _, (own, a, b, c, d, e, f, _, lives) in network_parts(network):
        pixels[0] = pixels[1]
        if stride > 1:
            height, width = -(-height // stride), -(-width // stride)
            pixels[1] = height * width
        params += own
        terms = np.array(((a, b, c), (d, e, f), *lives), dtype=float) @ pixels
        counted += terms[:2]
        np.maximum(peak, terms[2:].max(axis=0), out=peak)
    macs, activations = counted.astype(np.int64)
    memory = BYTES * (params + peak.astype(np.int64))
    return Costs(np.full(len(height), params), macs, activations, memory)
